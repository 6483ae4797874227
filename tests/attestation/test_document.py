from __future__ import annotations

import contextlib
import datetime as dt
import tracemalloc
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attestation.drafts import MODULE_ID, NOW, PCRS, Draft, good_draft
from trionitro.attestation import (
    AttestationError,
    MalformedDocument,
    NitroTpmDocument,
    UnverifiedDocument,
    decode_attestation_untrusted,
)
from trionitro.nsm import ZERO_PCR
from trionitro.testing import MapForm
from trionitro.testing._attestation_issuer import ES384_HEADER, encode_payload

#: Nothing here checks a signature, so that any will do.
UNSIGNED = bytes(96)

FIELDS = st.sampled_from(sorted(good_draft().fields))

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=60)
    | st.text(max_size=20)
)
KEYS = st.integers(-1, 40) | st.text(max_size=5) | st.binary(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=8,
)


def enclose(payload: bytes) -> bytes:
    return cbor2.dumps([ES384_HEADER, {}, payload, UNSIGNED])


def decode(draft: Draft) -> UnverifiedDocument:
    return decode_attestation_untrusted(enclose(draft.payload()))


@pytest.mark.parametrize("form", MapForm)
def test_every_field_is_told(form: MapForm) -> None:
    fields = {"public_key": b"key", "user_data": b"data", "nonce": b"nonce"}
    draft = good_draft().with_(**fields)

    document = decode_attestation_untrusted(enclose(encode_payload(draft.fields, form)))

    assert document.module_id == MODULE_ID
    assert document.instance_id == "i-0123456789abcdef0"
    assert document.timestamp == NOW
    assert document.timestamp.tzinfo is dt.UTC
    assert dict(document.pcrs) == PCRS
    assert document.certificate == draft.fields["certificate"]
    assert list(document.cabundle) == draft.fields["cabundle"]
    assert document.public_key == b"key"
    assert document.user_data == b"data"
    assert document.nonce == b"nonce"
    assert document.algorithm == -35
    assert not document.is_debug


@pytest.mark.parametrize("name", ["public_key", "user_data", "nonce"])
def test_null_and_absent_are_none_and_empty_is_not(name: str) -> None:
    null = decode(good_draft().with_(**{name: None}))
    absent = decode(good_draft().without(name))
    empty = decode(good_draft().with_(**{name: b""}))

    assert getattr(null, name) is None
    assert getattr(absent, name) is None
    assert getattr(empty, name) == b""


@pytest.mark.parametrize("name", ["public_key", "user_data", "nonce"])
def test_fields_have_up_to_1024_bytes(name: str) -> None:
    longest = good_draft().with_(**{name: bytes(1024)})
    too_long = good_draft().with_(**{name: bytes(1025)})

    assert getattr(decode(longest), name) == bytes(1024)
    with pytest.raises(MalformedDocument, match=f"{name}.*1025"):
        decode(too_long)


@pytest.mark.parametrize(
    "name", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"]
)
def test_no_other_field_may_be_absent_or_null(name: str) -> None:
    with pytest.raises(MalformedDocument, match=f"{name}.*missing"):
        decode(good_draft().without(name))
    with pytest.raises(MalformedDocument, match=f"{name}.*null"):
        decode(good_draft().with_(**{name: None}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"module_id": ""}, "module_id' is empty"),
        ({"module_id": b"i-0"}, "module_id"),
        ({"digest": "SHA256"}, "'SHA256'"),
        ({"digest": "sha384"}, "'sha384'"),
        ({"timestamp": 0}, "timestamp 0"),
        ({"timestamp": -1}, "timestamp -1"),
        ({"timestamp": 2**64 - 1}, "timestamp 18446744073709551615"),
        ({"timestamp": True}, "true or false"),
        ({"timestamp": 1.5}, "a float"),
        ({"pcrs": {}}, "no PCRs"),
        ({"pcrs": []}, "an array"),
        ({"pcrs": {32: bytes(48)}}, "no PCR 32"),
        ({"pcrs": {-1: bytes(48)}}, "no PCR -1"),
        ({"pcrs": {"0": bytes(48)}}, "index of a PCR"),
        ({"pcrs": {0: bytes(32)}}, "PCR0 has 32 bytes"),
        ({"pcrs": {0: bytes(64)}}, "PCR0 has 64 bytes"),
        ({"pcrs": {0: "0" * 48}}, "PCR0 is a text string"),
        ({"certificate": b""}, "certificate has 0 bytes"),
        ({"certificate": bytes(1025)}, "certificate has 1025 bytes"),
        ({"cabundle": []}, "cabundle is empty"),
        ({"cabundle": [b"x", b""]}, "certificate 1 of the cabundle has 0 bytes"),
        ({"cabundle": [bytes(1025)]}, "certificate 0 of the cabundle"),
        ({"cabundle": [None]}, "certificate 0 of the cabundle is null"),
        ({"cabundle": b"x"}, "cabundle"),
        ({"public_key": "text"}, "public_key"),
        ({"user_data": 0}, "user_data"),
        ({"nonce": False}, "nonce"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedDocument, match=words) as caught:
        decode(good_draft().with_(**fields))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "payload", [b"", b"\xa0", b"\x80", b"\xff", b"\xa1\x01\x02", b"\xbf"]
)
def test_a_payload_that_is_no_document_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedDocument):
        decode_attestation_untrusted(enclose(payload))


def test_a_field_that_comes_twice_is_refused() -> None:
    payload = good_draft().payload()
    twice = payload[:-1] + cbor2.dumps("nonce") + cbor2.dumps(b"other") + b"\xff"

    with pytest.raises(MalformedDocument, match="twice"):
        decode_attestation_untrusted(enclose(twice))


def test_a_field_of_tomorrow_is_passed_over() -> None:
    document = decode(good_draft().with_(weather="fine"))

    assert document == decode(good_draft())


def test_a_nitro_tpm_is_no_enclave() -> None:
    fields = {
        "module_id": "i-0123456789abcdef0-tpm0000000000000000",
        "nitrotpm_pcrs": {index: bytes(48) for index in range(24)},
    }
    draft = good_draft().without("pcrs").with_(**fields)

    with pytest.raises(NitroTpmDocument, match="not an enclave") as caught:
        decode(draft)

    assert caught.value.module_id == fields["module_id"]


@pytest.mark.parametrize(
    ("pcrs", "is_debug"),
    [
        (PCRS, False),
        (PCRS | dict.fromkeys((0, 1, 2), ZERO_PCR), True),
        (PCRS | dict.fromkeys((0, 1, 2, 3, 4), ZERO_PCR), True),
        (PCRS | dict.fromkeys((0, 1), ZERO_PCR), False),
        (dict.fromkeys(range(3, 16), ZERO_PCR) | {2: b"x" * 48}, False),
        ({4: b"x" * 48}, True),
    ],
)
def test_debug_mode_is_told_by_the_image_s_pcrs(
    pcrs: dict[int, bytes], is_debug: bool
) -> None:
    """Whatever the others are; where they are missing, nothing was measured either."""
    assert decode(good_draft().with_(pcrs=pcrs)).is_debug is is_debug


def test_the_pcrs_can_t_be_changed() -> None:
    document = decode(good_draft())

    with pytest.raises(TypeError):
        document.pcrs[0] = ZERO_PCR  # type: ignore[index]


@given(data=st.binary(max_size=300))
def test_any_payload_raises_attestation_errors_only(data: bytes) -> None:
    with pytest.raises(AttestationError):
        decode_attestation_untrusted(enclose(data))


@given(name=FIELDS, value=VALUES)
def test_any_value_of_a_field_raises_attestation_errors_only(
    name: str, value: object
) -> None:
    with contextlib.suppress(AttestationError):
        decode(good_draft().with_(**{name: value}))


@settings(max_examples=30)
@given(fields=st.dictionaries(FIELDS | st.text(max_size=5), VALUES, max_size=4))
def test_any_fields_raise_attestation_errors_only(fields: dict[str, Any]) -> None:
    with contextlib.suppress(AttestationError):
        decode_attestation_untrusted(enclose(encode_payload(fields, MapForm.DEFINITE)))


HOSTILE = {
    "deep arrays": b"\x81" * 16_000,
    "deep maps": b"\xa1\x00" * 8_000,
    "deep indefinite arrays": b"\x9f" * 16_000,
    "deep tags": b"\xd2" * 16_000,
    "array of 2^64": b"\x9b" + b"\xff" * 8,
    "map of 2^64": b"\xbb" + b"\xff" * 8,
    "bytes of 2^63": b"\x5b\x7f" + b"\xff" * 7,
    "text of 2^31": b"\x7a\x7f\xff\xff\xff",
    "four parts of 2^32": b"\x84" + b"\x5a\xff\xff\xff\xff" * 4,
    "many chunks": b"\x5f" + b"\x40" * 8_000,
    "many nulls": b"\x9f" + b"\xf6" * 8_000 + b"\xff",
    "many keys": b"\xbf" + b"".join(map(cbor2.dumps, range(4_000))) + b"\xff",
    "a big number": b"\xc2\x59\x3f\x00" + b"\xff" * 0x3F00,
    "a shared reference to itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a million bytes": bytes(10**6),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("inside", ["bare", "payload", "header"])
def test_what_is_made_to_hurt_costs_little(data: bytes, inside: str) -> None:
    """The time is what pytest-timeout allows; memory is counted."""
    document = {
        "bare": data,
        "payload": enclose(data),
        "header": cbor2.dumps([data, {}, b"", UNSIGNED]),
    }[inside]
    tracemalloc.start()
    try:
        with pytest.raises(AttestationError):
            decode_attestation_untrusted(document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * 2**20

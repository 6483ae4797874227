from __future__ import annotations

import contextlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attestation.drafts import LEAF, good_chain
from trionitro.attestation import AttestationError, BadSignature, MalformedDocument
from trionitro.attestation._chain import signing_key_of
from trionitro.attestation._cose import ES384, CoseSign1, decode_cose_untrusted
from trionitro.testing._attestation_issuer import ES384_HEADER, sign_document

SIGNER = good_chain()[LEAF]


def envelope(*parts: Any) -> bytes:
    return cbor2.dumps(list(parts))


def check(cose: CoseSign1) -> None:
    cose.check_signature(signing_key_of(SIGNER.certificate))


def test_what_was_signed_passes() -> None:
    cose = decode_cose_untrusted(sign_document(b"payload", SIGNER.key))

    check(cose)
    assert cose.payload == b"payload"
    assert cose.algorithm == ES384


@pytest.mark.parametrize("part", [0, 2, 3], ids=["header", "payload", "signature"])
def test_what_was_changed_does_not_pass(part: int) -> None:
    parts = cbor2.loads(sign_document(b"payload", SIGNER.key))
    parts[part] = {0: b"\xa1\x01\x27", 2: b"Payload", 3: bytes(96)}[part]

    with pytest.raises(BadSignature):
        check(decode_cose_untrusted(envelope(*parts)))


def test_it_may_have_tag_18() -> None:
    bare = sign_document(b"payload", SIGNER.key)

    assert decode_cose_untrusted(b"\xd2" + bare) == decode_cose_untrusted(bare)


@pytest.mark.parametrize("prefix", [b"\xd1", b"\xd8\x3d", b"\xd2\xd2", b"\xd2\xd1"])
def test_it_may_have_no_other_tag(prefix: bytes) -> None:
    with pytest.raises(MalformedDocument, match="tag"):
        decode_cose_untrusted(prefix + sign_document(b"payload", SIGNER.key))


def test_nothing_may_follow() -> None:
    with pytest.raises(MalformedDocument, match="bytes came"):
        decode_cose_untrusted(sign_document(b"payload", SIGNER.key) + b"\0")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends after 0 bytes"),
        (cbor2.dumps({}), "must be an array"),
        (envelope(ES384_HEADER, {}, b""), "has 3"),
        (envelope(ES384_HEADER, {}, b"", b"", b""), "has 5"),
        (envelope({1: -35}, {}, b"", b""), "protected header"),
        (envelope(ES384_HEADER, [], b"", b""), "unprotected header"),
        (envelope(ES384_HEADER, {}, None, b""), "payload"),
        (envelope(ES384_HEADER, {}, b"", "text"), "signature"),
        (envelope(b"", {}, b"", b""), "ends after 0 bytes"),
        (envelope(b"\x80", {}, b"", b""), "protected header"),
        (envelope(b"\xa2\x01\x38\x22\x02\x81\x04", {}, b"", b""), "critical"),
        (envelope(ES384_HEADER, {}, bytes(2**14), b""), "limit of 16384"),
    ],
)
def test_anything_else_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(MalformedDocument, match=words):
        decode_cose_untrusted(data)


@pytest.mark.parametrize(
    ("header", "algorithm"),
    [({1: -7}, -7), ({1: "ES384"}, None), ({}, None), ({3: -35}, None)],
)
def test_the_algorithm_is_told(header: object, algorithm: int | None) -> None:
    data = envelope(cbor2.dumps(header), {}, b"", b"")

    assert decode_cose_untrusted(data).algorithm == algorithm


def test_what_is_checked_is_what_came_and_not_another_encoding_of_it() -> None:
    """The header here is of a length that no encoder would choose."""
    header = b"\xbf\x01\x39\x00\x22\xff"

    cose = decode_cose_untrusted(
        sign_document(b"payload", SIGNER.key, protected=header)
    )

    check(cose)
    assert cose.algorithm == ES384


@pytest.mark.parametrize("length", [0, 64, 95, 97, 192])
def test_a_signature_has_96_bytes(length: int) -> None:
    cose = CoseSign1(ES384_HEADER, ES384, b"payload", bytes(length))

    with pytest.raises(BadSignature):
        check(cose)


def test_a_signature_can_t_be_padded() -> None:
    """A zero in front of s changes no number, and still another document comes."""
    *parts, signature = cbor2.loads(sign_document(b"payload", SIGNER.key))
    padded = signature[:48] + b"\0" + signature[48:]

    with pytest.raises(BadSignature):
        check(decode_cose_untrusted(envelope(*parts, padded)))


@given(data=st.binary(max_size=200))
def test_any_bytes_raise_attestation_errors_only(data: bytes) -> None:
    with contextlib.suppress(AttestationError):
        decode_cose_untrusted(data)

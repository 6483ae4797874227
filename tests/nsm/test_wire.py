"""What goes to the security module and comes back, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vectors
from trionitro import ProtocolError
from trionitro.nsm import NsmErrorCode
from trionitro.nsm._messages import (
    Attest,
    DescribeNsm,
    DescribePcr,
    ExtendPcr,
    GetRandom,
    LockPcr,
    LockPcrs,
    NsmDescription,
    PcrDescription,
    RandomBytes,
    Refusal,
    Request,
)
from trionitro.nsm._wire import (
    _NAMES,
    decode_request_untrusted,
    decode_response_untrusted,
    encode_request,
    encode_response,
)


def wire(part: str) -> list[Any]:
    """Read a part of the recorded messages, as parameters of a test."""
    return [
        pytest.param(example, id=example["name"])
        for path in vectors("nsm/wire.json")
        for example in json.loads(path.read_text())[part]
    ] or [pytest.param(None, marks=pytest.mark.skip("no vectors"))]


REQUESTS: dict[str, Request] = {
    "DescribeNSM": DescribeNsm(),
    "GetRandom": GetRandom(),
    "DescribePCR 0": DescribePcr(0),
    "DescribePCR 31": DescribePcr(31),
    "DescribePCR 300 (u16)": DescribePcr(300),
    "ExtendPCR 16": ExtendPcr(16, b"\1\2\3"),
    "LockPCR 16": LockPcr(16),
    "LockPCRs 20": LockPcrs(20),
    "Attestation none": Attest(),
    "Attestation empty": Attest(user_data=b"", nonce=b"", public_key=b""),
    "Attestation all": Attest(user_data=b"hello", nonce=b"\0\1", public_key=b"key"),
}


@pytest.mark.parametrize("example", wire("requests"))
def test_a_request_has_these_bytes(example: dict[str, str]) -> None:
    request, data = REQUESTS[example["name"]], bytes.fromhex(example["cbor"])

    assert encode_request(request) == data
    assert decode_request_untrusted(data) == request


@pytest.mark.parametrize("example", wire("responses"))
def test_a_response_has_these_bytes(example: dict[str, str]) -> None:
    data = bytes.fromhex(example["cbor"])
    response = decode_response_untrusted(data)

    name, _, code = example["name"].partition(" ")
    assert encode_response(response) == data
    assert response == Refusal(code) if code else _NAMES[type(response)] == name


def test_the_description_is_read_into_its_fields() -> None:
    fields = {
        "digest": "SHA384",
        "max_pcrs": 32,
        "module_id": "i-1-enc2",
        "locked_pcrs": [15, 0],
        "version_major": 1,
        "version_minor": 2,
        "version_patch": 3,
    }

    description = decode_response_untrusted(cbor2.dumps({"DescribeNSM": fields}))

    assert description == NsmDescription(
        version_major=1,
        version_minor=2,
        version_patch=3,
        module_id="i-1-enc2",
        max_pcrs=32,
        locked_pcrs=frozenset({0, 15}),
        digest="SHA384",
    )


def test_keys_come_in_any_order_and_form_and_with_others() -> None:
    data = bytes.fromhex("bf") + cbor2.dumps("DescribePCR") + bytes.fromhex("bf")
    for key, value in (("data", b"\1"), ("new", [{}]), ("lock", True)):
        data += cbor2.dumps(key) + cbor2.dumps(value)

    response = decode_response_untrusted(data + b"\xff\xff")

    assert response == PcrDescription(lock=True, data=b"\1")


def test_what_is_optional_may_be_missing() -> None:
    data = cbor2.dumps({"Attestation": {"nonce": b"x"}})

    assert decode_request_untrusted(data) == Attest(nonce=b"x")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Dance", "no message is called 'Dance'"),
        (1, "the message is an integer, must be a map"),
        ({}, "a map of 0 names"),
        ({"GetRandom": {}, "DescribeNSM": {}}, "a map of 2 names"),
        ({1: {}}, "the message's name is an integer"),
        ("GetRandom", "GetRandom.random is null"),
        ({"GetRandom": [b"x"]}, "GetRandom is an array, must be a map"),
        ({"GetRandom": {"random": "x"}}, "GetRandom.random is a text string"),
        ({"DescribePCR": {"data": b"", "lock": 0}}, "DescribePCR.lock is an integer"),
        ({"Error": 3}, "the error is an integer"),
        ({"Error": "no\nname"}, "the error is not a name"),
        ({"Error": "x" * 65}, "the error is not a name"),
    ],
    ids=str,
)
def test_what_is_no_response_is_named(message: object, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        decode_response_untrusted(cbor2.dumps(message))


@pytest.mark.parametrize("index", [-1, 2**16, True, None, 1.0, "1"], ids=repr)
def test_an_index_is_a_number_of_16_bits(index: object) -> None:
    data = cbor2.dumps({"DescribePCR": {"index": index}})

    with pytest.raises(ProtocolError, match=r"^DescribePCR.index is"):
        decode_request_untrusted(data)


def test_an_unknown_error_is_an_error_still() -> None:
    data = cbor2.dumps({"Error": "TooTired"})

    assert decode_response_untrusted(data) == Refusal("TooTired")


def test_known_errors_are_their_names() -> None:
    assert Refusal(NsmErrorCode.INVALID_INDEX) == Refusal("InvalidIndex")


def test_entropy_is_not_shown() -> None:
    assert "secret" not in repr(RandomBytes(b"secret"))


@pytest.mark.parametrize(
    ("decode", "limit"),
    [(decode_request_untrusted, 4096), (decode_response_untrusted, 12288)],
)
def test_what_is_too_long_is_refused_unseen(
    decode: Callable[[bytes], object], limit: int
) -> None:
    with pytest.raises(ProtocolError, match=f"exceeds the limit of {limit}"):
        decode(b"\x00" * (limit + 1))


names = st.sampled_from([*_NAMES.values(), "Error"])
scalars = (
    st.integers(-1, 2**16)
    | st.binary(max_size=4)
    | st.text()
    | st.booleans()
    | st.none()
)
fields = st.dictionaries(
    st.sampled_from(["index", "data", "range", "lock", "random", "nonce", "document"]),
    scalars | st.lists(scalars, max_size=3),
    max_size=3,
)


@given(
    st.binary(max_size=60)
    | st.dictionaries(names, fields | scalars, max_size=2).map(cbor2.dumps)
)
def test_arbitrary_bytes_raise_nothing_but_protocol_error(data: bytes) -> None:
    for decode in (decode_request_untrusted, decode_response_untrusted):
        try:
            record = decode(data)
        except ProtocolError:
            continue
        assert attrs.has(type(record))

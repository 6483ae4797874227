"""CBOR from strangers."""

from __future__ import annotations

import tracemalloc
from types import NoneType

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro._cbor import MAX_CBOR_DEPTH, decode_cbor_untrusted, expect_kind

keys = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=30) | st.text(max_size=30)
values = st.recursive(
    keys | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
def test_what_was_encoded_is_decoded(value: object) -> None:
    assert decode_cbor_untrusted(cbor2.dumps(value), max_depth=100) == value


@given(st.binary(max_size=200))
@example(b"\xff")
@example(b"\x9f\xff\xff")
@example(b"\xa1\xa0\x00")
def test_arbitrary_bytes_raise_nothing_but_protocol_error(data: bytes) -> None:
    try:
        value = decode_cbor_untrusted(data)
    except ProtocolError:
        return

    again = cbor2.dumps(value)  # compared as bytes, because nan is not equal to nan
    assert cbor2.dumps(decode_cbor_untrusted(again)) == again


@given(values, st.data())
def test_a_changed_byte_raises_nothing_but_protocol_error(
    value: object, data: st.DataObject
) -> None:
    encoded = bytearray(cbor2.dumps(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))
    message = "no problem"

    try:
        decode_cbor_untrusted(bytes(encoded))
    except ProtocolError as problem:
        message = str(problem)

    assert len(message.splitlines()) == 1


@given(values, st.data())
def test_a_truncated_item_is_refused(value: object, data: st.DataObject) -> None:
    encoded = cbor2.dumps(value)
    length = data.draw(st.integers(0, len(encoded) - 1))

    with pytest.raises(ProtocolError):
        decode_cbor_untrusted(encoded[:length])


@given(values, st.binary(min_size=1, max_size=5))
def test_trailing_bytes_are_refused(value: object, rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_cbor_untrusted(cbor2.dumps(value) + rest)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("9f0102ff", [1, 2]),
        ("bf616101ff", {"a": 1}),
        ("bfff", {}),
        ("5f41014102ff", b"\x01\x02"),
        ("5fff", b""),
        ("7f61616162ff", "ab"),
        ("a17f616161 62ff01", {"ab": 1}),
        ("1800", 0),
        ("1b0000000000000001", 1),
        ("3bffffffffffffffff", -(2**64)),
        ("580101", b"\x01"),
        ("f93c00", 1.0),
    ],
)
def test_every_form_is_accepted(encoded: str, value: object) -> None:
    """Definite and indefinite, and integers and lengths in any width."""
    assert decode_cbor_untrusted(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        ("", "after 0 bytes"),
        ("a20001 0002", "same key twice"),
        ("a20001 180002", "same key twice"),
        ("a2616101 7f6161ff02", "same key twice"),
        ("81a1a0", "neither integer nor string"),
        ("a100a2616101616102", "same key twice"),
        # cbor2 6.0 would read on for a second key: into what follows the map.
        ("9fa20001000203 04ff", "same key twice"),
        ("a1f500", "neither integer nor string"),
        ("a1f93c0000", "neither integer nor string"),
        ("a18000", "neither integer nor string"),
        ("c074323031332d30332d32315432303a30343a30305a", "a tag"),
        ("c101", "a tag"),
        ("c243010000", "a tag"),
        ("d81c80", "a tag"),
        ("d81d00", "a tag"),
        ("d9010080", "a tag"),
        ("d284", "a tag"),
        ("df", "a tag"),
        ("f7", "simple value"),
        ("f0", "simple value"),
        ("f820", "simple value"),
        ("ff", "a break"),
        ("82ff", "a break"),
        ("bf00ff", "a break"),
        ("1f", "indefinite length"),
        ("3f", "indefinite length"),
        ("1c", "reserved"),
        ("5f6161ff", "chunks"),
        ("5f5f4101ffff", "chunks"),
        ("7f4161ff", "chunks"),
        ("62c328", "not CBOR"),
        ("a16 2c32800", "not CBOR"),
        ("0000", "1 bytes, and 2 bytes came"),
    ],
)
def test_what_is_no_good_is_named(encoded: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        decode_cbor_untrusted(bytes.fromhex(encoded.replace(" ", "")))


@pytest.mark.parametrize("opening", ["81", "9f", "a100", "bf00"])
def test_depth_is_bounded(opening: str) -> None:
    deep = bytes.fromhex(opening) * (MAX_CBOR_DEPTH + 1) + b"\x00"
    endless = bytes.fromhex(opening) * 30_000

    for data in (deep, endless):
        with pytest.raises(ProtocolError, match=f"{MAX_CBOR_DEPTH} levels deep"):
            decode_cbor_untrusted(data)


def test_as_deep_as_is_allowed_is_fine() -> None:
    value = decode_cbor_untrusted(b"\x81" * MAX_CBOR_DEPTH + b"\x00")

    assert str(value) == "[" * MAX_CBOR_DEPTH + "0" + "]" * MAX_CBOR_DEPTH


@pytest.mark.parametrize("first", [0x5B, 0x7B, 0x9B, 0xBB])
@pytest.mark.parametrize("length", [2**31, 2**40, 2**63, 2**64 - 1])
def test_a_huge_announced_length_costs_nothing(first: int, length: int) -> None:
    data = bytes([first]) + length.to_bytes(8, "big") + bytes(range(24))
    tracemalloc.start()

    try:
        with pytest.raises(ProtocolError, match="in the middle of an item"):
            decode_cbor_untrusted(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 100_000


def test_more_bytes_than_the_limit_are_refused_unseen() -> None:
    with pytest.raises(ProtocolError, match="101 bytes exceeds the limit of 100"):
        decode_cbor_untrusted(b"\xff" * 101, max_size=100)


def test_as_many_empty_items_as_fit_are_no_trouble() -> None:
    data = b"\x9f" + b"\x80" * (2**16 - 2) + b"\xff"

    value = decode_cbor_untrusted(data)

    assert isinstance(value, list)
    assert len(value) == 2**16 - 2


@pytest.mark.parametrize(
    "value", [1, b"x", "x", [1], {1: 1}, True, 1.0, None], ids=repr
)
def test_a_value_is_of_its_own_kind_and_no_other(value: object) -> None:
    for kind in (int, bytes, str, list, dict, bool, float, NoneType):
        if type(value) is kind:
            assert expect_kind(value, kind, "it") is value
        else:
            with pytest.raises(ProtocolError, match=r"^the age is .*, must be "):
                expect_kind(value, kind, "the age")


def test_true_is_no_integer() -> None:
    with pytest.raises(ProtocolError, match=r"^the index is true or false, must be an"):
        expect_kind(decode_cbor_untrusted(b"\xf5"), int, "the index")

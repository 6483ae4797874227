"""BER that is wrong is refused for its shape, in one pass and whatever the bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kms.envelopes import END, endless, tlv
from trionitro import ProtocolError
from trionitro.kms._ber import check_ber_untrusted


def nested(depth: int) -> bytes:
    data = tlv(0x04, b"x")
    for _ in range(depth):
        data = tlv(0x30, data)
    return data


@pytest.mark.parametrize(
    "data",
    [
        tlv(0x04, b""),
        tlv(0x04, b"x" * 300),
        tlv(0x30, b""),
        tlv(0x30, tlv(0x30, b"") + tlv(0x05, b"")),
        endless(0x30),
        endless(0x30, endless(0xA0, tlv(0x04, END)), tlv(0x02, b"\1")),
        tlv(0x30, endless(0x30, tlv(0x05, b"")) + tlv(0x05, b"")),
        nested(8),
        b"\x04\x84\0\0\0\1x",
    ],
    ids=bytes.hex,
)
def test_one_whole_element_passes(data: bytes) -> None:
    check_ber_untrusted(data, max_depth=8)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "without an element"),
        (END, "stray"),
        (b"\x30", "no length"),
        (b"\x04\x80" + END, "endless bytes"),
        (b"\x30\x80", "without an element"),
        (b"\x30\x80\0", "without an element"),
        (b"\x04\x02x", "ends before"),
        (b"\x04\x84\xff\xff\xff\xff", "ends before"),
        (b"\x04\x88" + b"\xff" * 8, "no length"),
        (b"\x04\xff" + b"\xff" * 127, "no length"),
        (b"\x04\x82\1", "no length"),
        (b"\x1f\x81\x01\x00", "long tag"),
        (tlv(0x30, END), "stray"),
        (tlv(0x30, b"\x30\x80"), "without an element"),
        (tlv(0x30, b"\x30\x80\0") + b"\0", "without an element"),
        (tlv(0x30, b"\x04\x02x") + b"y", "ends before"),
        (tlv(0x30, b"\x20\x00"), "without an element"),
        (tlv(0x04, b"x") + b"y", "1 bytes after"),
        (endless(0x30) + END, "2 bytes after"),
        (nested(9), "depth"),
        (b"\x30\x80" * 100_000, "depth"),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else value,
)
def test_what_is_wrong_is_named(data: bytes, word: str) -> None:
    with pytest.raises(ProtocolError, match=word):
        check_ber_untrusted(data, max_depth=8)


ber = st.recursive(
    st.binary(max_size=20).map(lambda value: tlv(0x04, value)),
    lambda inner: st.lists(inner, max_size=4).flatmap(
        lambda elements: st.sampled_from(
            [tlv(0x30, b"".join(elements)), endless(0xA0, *elements)]
        )
    ),
    max_leaves=12,
)


@given(ber)
def test_whatever_was_written_as_ber_passes(data: bytes) -> None:
    check_ber_untrusted(data, max_depth=100)


@given(ber, st.data())
def test_what_is_cut_off_never_passes(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data) - 1))

    with pytest.raises(ProtocolError):
        check_ber_untrusted(data[:cut], max_depth=100)


@given(st.binary(max_size=100) | st.text("\0\x04\x30\x80\x82\x01\xa0").map(str.encode))
def test_any_bytes_pass_or_are_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        check_ber_untrusted(data, max_depth=8)

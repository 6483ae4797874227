"""Vsock packets, as bytes."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro.vsock._vhost_user._packets import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    Operation,
    Packet,
    decode_packet_untrusted,
    encode_addresses,
    encode_header,
    encode_refusal,
)

U32 = st.integers(0, 2**32 - 1)

#: A packet from (16, 1025) to (3, 8000) with "hello", written by hand from 5.10.6.
HELLO = (
    bytes.fromhex(
        "1000000000000000"  # src_cid
        "0300000000000000"  # dst_cid
        "01040000"  # src_port
        "401f0000"  # dst_port
        "05000000"  # len
        "0100"  # type: stream
        "0500"  # op: RW
        "00000000"  # flags
        "00000400"  # buf_alloc
        "07000000"  # fwd_cnt
    )
    + b"hello"
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut ``data`` at ``places``."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in pairwise([0, *ends, len(data)])]


def test_a_packet_is_read_as_the_specification_says() -> None:
    packet = decode_packet_untrusted([HELLO])

    assert packet == Packet(
        src_cid=16,
        dst_cid=3,
        src_port=1025,
        dst_port=8000,
        length=5,
        kind=1,
        operation=Operation.RW,
        flags=0,
        buf_alloc=2**18,
        fwd_cnt=7,
        payload=b"hello",
    )


def test_a_header_is_written_as_the_specification_says() -> None:
    header = encode_header(
        encode_addresses((16, 1025), (3, 8000)), Operation.RW, 5, 0, (2**18, 7)
    )

    assert header == HELLO[:HEADER_SIZE]


@given(places=st.lists(st.integers(0, 100), max_size=5))
def test_a_packet_may_be_cut_into_buffers_anywhere(places: list[int]) -> None:
    whole = decode_packet_untrusted([HELLO])

    assert decode_packet_untrusted(cut(HELLO, places)) == whole


def test_data_in_a_buffer_of_its_own_is_not_copied() -> None:
    data = b"hello"

    packet = decode_packet_untrusted([HELLO[:HEADER_SIZE], data])

    assert packet.payload is data


def test_what_follows_the_data_is_ignored() -> None:
    assert decode_packet_untrusted([HELLO + b"padding"]).payload == b"hello"


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([], "this has 0 in all"),
        ([HELLO[:43]], "this has 43 in all"),
        ([HELLO[:-1]], "of 5 bytes came with 4"),
        ([HELLO[:HEADER_SIZE], b""], "of 5 bytes came with 0"),
    ],
)
def test_a_packet_that_is_not_whole_is_an_error(
    pieces: list[bytes], problem: str
) -> None:
    with pytest.raises(ProtocolError, match=problem):
        decode_packet_untrusted(pieces)


def test_a_packet_that_is_too_long_is_an_error() -> None:
    header = encode_header(
        encode_addresses((16, 1), (3, 2)), Operation.RW, MAX_PAYLOAD + 1, 0, (0, 0)
    )

    with pytest.raises(ProtocolError, match="the limit is 65536"):
        decode_packet_untrusted([header, bytes(MAX_PAYLOAD + 1)])


@given(pieces=st.lists(st.binary(max_size=60), max_size=4))
def test_nothing_but_a_protocol_error_comes_of_any_bytes(pieces: list[bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        packet = decode_packet_untrusted(pieces)
        assert packet.length == len(packet.payload) <= MAX_PAYLOAD


@given(src=st.tuples(U32, U32), dst=st.tuples(U32, U32), kind=st.integers(0, 65535))
def test_a_refusal_goes_back_where_the_packet_came_from(
    src: tuple[int, int], dst: tuple[int, int], kind: int
) -> None:
    packet = Packet(src[0], dst[0], src[1], dst[1], 0, kind, 1, 0, 9, 9, b"")

    refusal = decode_packet_untrusted([encode_refusal(packet)])

    assert (refusal.src_cid, refusal.src_port) == dst
    assert (refusal.dst_cid, refusal.dst_port) == src
    assert (refusal.operation, refusal.kind) == (Operation.RST, kind)

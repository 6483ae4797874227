"""The messages of a VMM, as bytes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro.vsock._vhost_user import _messages
from trionitro.vsock._vhost_user._memory import MemoryRegion
from trionitro.vsock._vhost_user._messages import (
    MAX_REGIONS,
    MessageHeader,
    Request,
    RingAddresses,
    decode_config_request_untrusted,
    decode_message_header_untrusted,
    decode_number_untrusted,
    decode_regions_untrusted,
    decode_ring_addresses_untrusted,
    decode_ring_fd_untrusted,
    decode_ring_state_untrusted,
    encode_config,
    encode_config_request,
    encode_message,
    encode_number,
    encode_regions,
    encode_reply,
    encode_ring_addresses,
    encode_ring_state,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)

REGIONS = st.builds(
    MemoryRegion, guest_address=U64, size=U64, vmm_address=U64, offset=U64
)

BODIES: list[Callable[[bytes], object]] = [
    decode_number_untrusted,
    decode_ring_state_untrusted,
    decode_ring_fd_untrusted,
    decode_ring_addresses_untrusted,
    decode_regions_untrusted,
    decode_config_request_untrusted,
]


def header(request: int, flags: int, size: int) -> bytes:
    """Write any header."""
    return struct.pack("<III", request, flags, size)


@pytest.mark.parametrize("needs_reply", [False, True])
def test_a_message_is_read_as_it_was_written(needs_reply: bool) -> None:
    message = encode_message(Request.SET_OWNER, b"body", needs_reply=needs_reply)

    assert message[12:] == b"body"
    assert decode_message_header_untrusted(message[:12]) == MessageHeader(
        Request.SET_OWNER, needs_reply, 4
    )


def test_a_reply_is_marked_as_one() -> None:
    assert encode_reply(Request.GET_FEATURES, b"x") == header(1, 0b101, 1) + b"x"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (header(1, 0, 0), "the flags 0x0"),
        (header(1, 2, 0), "the flags 0x2"),
        (header(1, 0b101, 0), "the flags 0x5"),  # a reply, and nobody asked
        (header(1, 1, 269), "269 bytes exceeds the limit of 268"),
        (header(1, 1, 2**32 - 1), "exceeds the limit"),
        (header(0, 1, 0), "the vhost-user request 0 is not one"),
        (header(6, 1, 0), "the vhost-user request 6 is not one"),  # SET_LOG_BASE
        (header(2**32 - 1, 1, 0), "is not one that a vsock device gets"),
    ],
)
def test_a_header_that_no_device_may_get_is_an_error(data: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        decode_message_header_untrusted(data)


@given(number=U64)
def test_a_number_is_read_as_it_was_written(number: int) -> None:
    assert decode_number_untrusted(encode_number(number)) == number


@given(ring=U32, value=U32)
def test_a_ring_state_is_read_as_it_was_written(ring: int, value: int) -> None:
    assert decode_ring_state_untrusted(encode_ring_state(ring, value)) == (ring, value)


@given(ring=U32, descriptors=U64, used=U64, available=U64)
def test_addresses_are_read_as_they_were_written(
    ring: int, descriptors: int, used: int, available: int
) -> None:
    body = encode_ring_addresses(ring, descriptors, used, available)

    assert decode_ring_addresses_untrusted(body) == RingAddresses(
        ring=ring, descriptors=descriptors, used=used, available=available
    )


@given(regions=st.lists(REGIONS, max_size=MAX_REGIONS))
def test_regions_are_read_as_they_were_written(regions: list[MemoryRegion]) -> None:
    assert decode_regions_untrusted(encode_regions(regions)) == regions


@pytest.mark.parametrize(
    "body",
    [
        encode_regions([MemoryRegion(guest_address=0, size=1, vmm_address=0, offset=0)])
        + b"x",
        struct.pack("<II", 9, 0) + bytes(9 * 32),
        struct.pack("<II", 2**32 - 1, 0),
        struct.pack("<II", 1, 0),
    ],
)
def test_a_table_of_another_size_than_it_says_is_an_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="there may be 8"):
        decode_regions_untrusted(body)


def test_a_ring_may_come_without_a_file_descriptor() -> None:
    assert decode_ring_fd_untrusted(encode_number(1)) == (1, True)
    assert decode_ring_fd_untrusted(encode_number(0x101)) == (1, False)


def test_a_part_of_the_configuration_is_asked_for_and_answered() -> None:
    asked = decode_config_request_untrusted(encode_config_request(4, 8))

    assert asked == (4, 8, 0)
    assert (
        encode_config(4, 0, b"12345678") == struct.pack("<III", 4, 8, 0) + b"12345678"
    )


@pytest.mark.parametrize(("offset", "size"), [(0, 257), (256, 1), (2**32 - 1, 2**31)])
def test_there_is_no_more_configuration_than_that(offset: int, size: int) -> None:
    with pytest.raises(ProtocolError, match="there are 256"):
        decode_config_request_untrusted(struct.pack("<III", offset, size, 0))


@given(data=st.binary(min_size=12, max_size=12))
def test_nothing_but_a_protocol_error_comes_of_any_header(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert decode_message_header_untrusted(data).size <= _messages._MAX_BODY


@pytest.mark.parametrize("decode", BODIES)
@given(data=st.binary(max_size=300) | st.binary(min_size=8, max_size=8))
def test_nothing_but_a_protocol_error_comes_of_any_body(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    with contextlib.suppress(ProtocolError):
        decode(data)

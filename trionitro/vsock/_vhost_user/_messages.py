"""What a VMM says about its device, message by message (the vhost-user protocol).

A message has a header of twelve bytes, a body, and file descriptors with some. The
numbers are in the machine's own order, which is little-endian here. This module does
no I/O.

"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import attrs

from trionitro._exceptions import ProtocolError
from trionitro.vsock._vhost_user._memory import MemoryRegion

__all__ = [
    "MAX_REGIONS",
    "MESSAGE_HEADER_SIZE",
    "MessageHeader",
    "Request",
    "RingAddresses",
    "decode_config_request_untrusted",
    "decode_message_header_untrusted",
    "decode_number_untrusted",
    "decode_regions_untrusted",
    "decode_ring_addresses_untrusted",
    "decode_ring_fd_untrusted",
    "decode_ring_state_untrusted",
    "encode_config",
    "encode_config_request",
    "encode_message",
    "encode_number",
    "encode_regions",
    "encode_reply",
    "encode_ring_addresses",
    "encode_ring_state",
]

_HEADER: Final = struct.Struct("<III")
_NUMBER: Final = struct.Struct("<Q")
_RING_STATE: Final = struct.Struct("<II")
_RING_ADDRESSES: Final = struct.Struct("<IIQQQQ")
_REGION_COUNT: Final = struct.Struct("<II")
_REGION: Final = struct.Struct("<QQQQ")
_CONFIG: Final = struct.Struct("<III")

MESSAGE_HEADER_SIZE: Final = _HEADER.size

#: How many regions a memory table has at most ("Memory regions description").
MAX_REGIONS: Final = 8

#: How much of a device's configuration is passed on at most
#: (``VHOST_USER_MAX_CONFIG_SIZE``).
_MAX_CONFIG: Final = 256

#: The longest bodies are that of a full memory table, and of a full configuration.
_MAX_BODY: Final = max(
    _REGION_COUNT.size + MAX_REGIONS * _REGION.size, _CONFIG.size + _MAX_CONFIG
)

# Flags of the header.
_VERSION_MASK: Final = 0x3
_VERSION: Final = 0x1
_REPLY: Final = 0x4
_NEED_REPLY: Final = 0x8

# A ring's number and a flag share one number where a file descriptor comes.
_RING_MASK: Final = 0xFF
_NO_FD: Final = 0x100


class Request(IntEnum):
    """The messages that a vsock device gets."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    GET_CONFIG = 24
    SET_CONFIG = 25


@attrs.frozen
class MessageHeader:
    """What comes first.

    Attributes:
      request: which message it is.
      needs_reply: whether it is to be confirmed, if it has no reply of its own.
      size: how many bytes of body follow.

    """

    request: Request
    needs_reply: bool
    size: int


@attrs.frozen(kw_only=True)
class RingAddresses:
    """Where the VMM has the parts of a ring, as its own addresses."""

    ring: int
    descriptors: int
    used: int
    available: int


def decode_message_header_untrusted(data: bytes) -> MessageHeader:
    """Read a header of ``MESSAGE_HEADER_SIZE`` bytes.

    Raises:
      ProtocolError: if it is not one that a device may get.

    """
    request, flags, size = _HEADER.unpack(data)
    if flags & _VERSION_MASK != _VERSION or flags & _REPLY:
        raise ProtocolError(f"a vhost-user message has the flags {flags:#x}")
    if size > _MAX_BODY:
        raise ProtocolError(
            f"a vhost-user message of {size} bytes exceeds the limit of {_MAX_BODY}"
        )
    try:
        return MessageHeader(Request(request), bool(flags & _NEED_REPLY), size)
    except ValueError:
        raise ProtocolError(
            f"the vhost-user request {request} is not one that a vsock device gets"
        ) from None


def decode_number_untrusted(body: bytes) -> int:
    """Read a body that is one number.

    Raises:
      ProtocolError: if it has another size.

    """
    (number,) = _unpack_untrusted(_NUMBER, body)
    return number


def decode_ring_state_untrusted(body: bytes) -> tuple[int, int]:
    """Read the number of a ring, and what is to become of it.

    Raises:
      ProtocolError: if the body has another size.

    """
    ring, value = _unpack_untrusted(_RING_STATE, body)
    return ring, value


def decode_ring_fd_untrusted(body: bytes) -> tuple[int, bool]:
    """Read the number of a ring, and whether a file descriptor comes with it.

    Raises:
      ProtocolError: if the body has another size.

    """
    number = decode_number_untrusted(body)
    return number & _RING_MASK, not number & _NO_FD


def decode_ring_addresses_untrusted(body: bytes) -> RingAddresses:
    """Read where a ring is.

    Raises:
      ProtocolError: if the body has another size.

    """
    ring, _, descriptors, used, available, _ = _unpack_untrusted(_RING_ADDRESSES, body)
    return RingAddresses(
        ring=ring, descriptors=descriptors, used=used, available=available
    )


def decode_regions_untrusted(body: bytes) -> list[MemoryRegion]:
    """Read where the guest's memory is.

    Raises:
      ProtocolError: if the body has not the size for as many regions as it says, or
          there are too many.

    """
    count, _ = _unpack_untrusted(_REGION_COUNT, body[: _REGION_COUNT.size])
    table = body[_REGION_COUNT.size :]
    if count > MAX_REGIONS or len(table) != count * _REGION.size:
        raise ProtocolError(
            f"a table of {count} memory regions in {len(table)} bytes; there may be"
            f" {MAX_REGIONS}"
        )
    return [
        MemoryRegion(guest_address=guest, size=size, vmm_address=vmm, offset=offset)
        for guest, size, vmm, offset in _REGION.iter_unpack(table)
    ]


def decode_config_request_untrusted(body: bytes) -> tuple[int, int, int]:
    """Read which part of the configuration is asked for.

    Returns:
      Where it begins, how many bytes, and flags that go back as they came.

    Raises:
      ProtocolError: if that is no part of a configuration.

    """
    offset, size, flags = _unpack_untrusted(_CONFIG, body[: _CONFIG.size])
    if offset + size > _MAX_CONFIG:
        raise ProtocolError(
            f"{size} bytes of configuration at {offset}; there are {_MAX_CONFIG}"
        )
    return offset, size, flags


def encode_message(
    request: Request, body: bytes = b"", *, needs_reply: bool = False
) -> bytes:
    """Write a message, as a VMM does."""
    flags = _VERSION | (_NEED_REPLY if needs_reply else 0)
    return _HEADER.pack(request, flags, len(body)) + body


def encode_reply(request: Request, body: bytes) -> bytes:
    """Write the reply to ``request``."""
    return _HEADER.pack(request, _VERSION | _REPLY, len(body)) + body


def encode_number(number: int) -> bytes:
    """Write a body that is one number."""
    return _NUMBER.pack(number)


def encode_ring_state(ring: int, value: int) -> bytes:
    """Write the number of a ring, and what has become of it."""
    return _RING_STATE.pack(ring, value)


def encode_ring_addresses(
    ring: int, descriptors: int, used: int, available: int
) -> bytes:
    """Write where a ring is, as a VMM does."""
    return _RING_ADDRESSES.pack(ring, 0, descriptors, used, available, 0)


def encode_regions(regions: Sequence[MemoryRegion]) -> bytes:
    """Write where the guest's memory is, as a VMM does."""
    return _REGION_COUNT.pack(len(regions), 0) + b"".join(
        _REGION.pack(one.guest_address, one.size, one.vmm_address, one.offset)
        for one in regions
    )


def encode_config_request(offset: int, size: int) -> bytes:
    """Ask for a part of the configuration, as a VMM does."""
    return _CONFIG.pack(offset, size, 0) + bytes(size)


def encode_config(offset: int, flags: int, part: bytes) -> bytes:
    """Write the part of the configuration that was asked for."""
    return _CONFIG.pack(offset, len(part), flags) + part


def _unpack_untrusted(form: struct.Struct, body: bytes) -> tuple[int, ...]:
    if len(body) != form.size:
        raise ProtocolError(
            f"a vhost-user message has {len(body)} bytes where there should be"
            f" {form.size}"
        )
    return form.unpack(body)

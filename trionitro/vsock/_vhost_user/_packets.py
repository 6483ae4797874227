"""Packets on a virtio vsock: 44 bytes of header, and data after some of them.

All numbers are little-endian (virtio 1.2, 5.10.6 "Device Operation").

"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from trionitro._exceptions import ProtocolError

__all__ = [
    "HEADER_SIZE",
    "MAX_PAYLOAD",
    "NO_MORE_OF_EITHER",
    "NO_MORE_RECEIVED",
    "NO_MORE_SENT",
    "STREAM",
    "Operation",
    "Packet",
    "decode_packet_untrusted",
    "encode_addresses",
    "encode_header",
    "encode_part",
    "encode_refusal",
]

_HEADER: Final = struct.Struct("<QQIIIHHIII")
_ADDRESSES: Final = struct.Struct("<QQII")
_REST: Final = struct.Struct("<IHHIII")

HEADER_SIZE: Final = _HEADER.size

#: What Linux puts into one packet at most (``VIRTIO_VSOCK_MAX_PKT_BUF_SIZE``), and
#: accepts in one. The specification has no limit.
MAX_PAYLOAD: Final = 2**16

#: The socket type of a byte stream; the other one, seqpacket, is not offered.
STREAM: Final = 1


class Operation(IntEnum):
    """What a packet is for."""

    REQUEST = 1
    RESPONSE = 2
    RST = 3
    SHUTDOWN = 4
    RW = 5
    CREDIT_UPDATE = 6
    CREDIT_REQUEST = 7


#: Flags of ``SHUTDOWN``: what its sender won't do any more.
NO_MORE_RECEIVED: Final = 1
NO_MORE_SENT: Final = 2
NO_MORE_OF_EITHER: Final = NO_MORE_RECEIVED | NO_MORE_SENT


class Packet(NamedTuple):
    """One packet, as its sender says.

    Attributes:
      src_cid: who sends it.
      dst_cid: to whom.
      src_port: from which port.
      dst_port: to which port.
      length: how many bytes of data there are.
      kind: the socket type, ``STREAM`` if it is one that is known here.
      operation: an :class:`Operation`, or nonsense.
      flags: of ``SHUTDOWN``.
      buf_alloc: how much its sender is willing to hold for this connection.
      fwd_cnt: how much its sender has taken out of that so far, modulo 2**32.
      payload: the data.

    """

    src_cid: int
    dst_cid: int
    src_port: int
    dst_port: int
    length: int
    kind: int
    operation: int
    flags: int
    buf_alloc: int
    fwd_cnt: int
    payload: bytes


def decode_packet_untrusted(pieces: Sequence[bytes]) -> Packet:
    """Read a packet from the buffers it came in.

    A driver may cut a packet into buffers wherever it likes; Linux puts the header
    into one and the data into another, and then nothing is copied here.

    Raises:
      ProtocolError: if there is no whole header, or not as much data as it says, or
          more than ``MAX_PAYLOAD``.

    """
    if len(pieces) == 2 and len(pieces[0]) == HEADER_SIZE:
        header, data = pieces
    else:
        whole = b"".join(pieces)
        header, data = whole[:HEADER_SIZE], whole[HEADER_SIZE:]
    if len(header) < HEADER_SIZE:
        raise ProtocolError(
            f"a vsock packet has {HEADER_SIZE} bytes of header, and this has"
            f" {len(header)} in all"
        )
    fields = _HEADER.unpack(header)
    length = fields[4]
    if length > min(len(data), MAX_PAYLOAD):
        raise ProtocolError(
            f"a vsock packet of {length} bytes came with {len(data)}; the limit is"
            f" {MAX_PAYLOAD}"
        )
    payload = data if len(data) == length else data[:length]
    return Packet._make((*fields, payload))


def encode_addresses(src: tuple[int, int], dst: tuple[int, int]) -> bytes:
    """Write the beginning of a header, which is the same for a whole connection.

    Args:
      src: our CID and port.
      dst: the peer's CID and port.

    """
    return _ADDRESSES.pack(src[0], dst[0], src[1], dst[1])


def encode_header(
    addresses: bytes,
    operation: int,
    length: int,
    flags: int,
    credit: tuple[int, int],
) -> bytes:
    """Write the header of a packet on a stream.

    Args:
      addresses: what :func:`encode_addresses` has written.
      operation: what the packet is for, an :class:`Operation`.
      length: bytes of data that will follow.
      flags: of ``SHUTDOWN``, or 0.
      credit: ``buf_alloc`` and ``fwd_cnt``, see :class:`Packet`.

    """
    return addresses + _REST.pack(length, STREAM, operation, flags, *credit)


def encode_part(packet: Packet, length: int) -> bytes:
    """Write the header of ``packet`` again, for ``length`` bytes of its data."""
    return _HEADER.pack(*packet[:4], length, *packet[5:10])


def encode_refusal(packet: Packet) -> bytes:
    """Answer ``packet`` with RST: there is no such connection, and will be none."""
    # The type goes back as it came: "A VIRTIO_VSOCK_OP_RST reply MUST be sent if a
    # packet is received with an unknown type value" (5.10.6.4.1), and Linux's own
    # does the same.
    return _HEADER.pack(
        packet.dst_cid,
        packet.src_cid,
        packet.dst_port,
        packet.src_port,
        0,
        packet.kind,
        Operation.RST,
        0,
        0,
        0,
    )

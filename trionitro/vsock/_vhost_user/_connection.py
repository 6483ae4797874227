"""One connection on a virtio vsock: its state, and who may send how much.

This does no I/O: it is told which packets come, says which to answer with, and keeps
the two accounts that hold a sender back (virtio 1.2, 5.10.6.3). Each side says in
every packet how much it is willing to hold (``buf_alloc``) and how much it has taken
out since the beginning (``fwd_cnt``).

"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, final

import attrs

from trionitro.abc import VsockAddress
from trionitro.vsock._vhost_user._packets import (
    NO_MORE_OF_EITHER,
    NO_MORE_RECEIVED,
    NO_MORE_SENT,
    Operation,
    Packet,
    encode_addresses,
    encode_header,
)
from trionitro.vsock._vhost_user._receive_buffer import ReceiveBuffer

__all__ = ["Connection", "State"]

_MODULO: Final = 0xFFFF_FFFF

#: The peer is told that there is room again when this part of the buffer, one in so
#: many, was read: few packets, and long before it has to stop.
_UPDATE_FRACTION: Final = 4


class State(Enum):
    """How far a connection is."""

    CONNECTING = auto()
    ESTABLISHED = auto()
    #: This side has closed it, and waits for the peer's RST.
    CLOSING = auto()
    #: Nothing will be sent or received on it any more.
    GONE = auto()


@final
@attrs.define(eq=False)
class Connection:
    """One side of a connection.

    Attributes:
      local: this side's address.
      peer: the other side's.
      buffer_size: how many bytes may wait here to be read.
      state: how far it is.
      incoming: what waits to be read.
      was_answered: whether it has ever been established.
      received_eof: whether the peer has said that it won't send any more.
      is_deaf: whether the peer has said that it won't receive any more.
      sent_eof: whether this side has said that it won't send any more.

    """

    local: VsockAddress
    peer: VsockAddress
    buffer_size: int
    state: State = State.CONNECTING
    incoming: ReceiveBuffer = attrs.field(factory=ReceiveBuffer)
    was_answered: bool = False
    received_eof: bool = False
    is_deaf: bool = False
    sent_eof: bool = False
    _sent: int = 0
    _peer_buf_alloc: int = 0
    _peer_fwd_cnt: int = 0
    _taken: int = 0
    _announced: int = 0
    _addresses: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._addresses = encode_addresses(
            (self.local.cid, self.local.port), (self.peer.cid, self.peer.port)
        )

    def establish(self, packet: Packet) -> None:
        """Begin with the peer's ``REQUEST`` or ``RESPONSE``."""
        self.state = State.ESTABLISHED
        self.was_answered = True
        self._note_credit(packet)

    def header(self, operation: Operation, *, length: int = 0, flags: int = 0) -> bytes:
        """Write the header of a packet that is sent now."""
        self._announced = self._taken
        return encode_header(
            self._addresses,
            operation,
            length,
            flags,
            (self.buffer_size, self._taken & _MODULO),
        )

    def credit(self) -> int:
        """How many bytes the peer has room for; none if it lies."""
        in_flight = (self._sent - self._peer_fwd_cnt) & _MODULO
        return max(0, self._peer_buf_alloc - in_flight)

    def note_sent(self, size: int) -> None:
        """Count ``size`` bytes that were sent."""
        self._sent += size

    def take(self, max_bytes: int) -> bytes:
        """Read up to ``max_bytes`` of what has come."""
        data = self.incoming.take(max_bytes)
        self._taken += len(data)
        return data

    def owes_update(self) -> bool:
        """Whether the peer should be told that there is room again."""
        return (
            self.state is State.ESTABLISHED
            and not self.received_eof
            and self._taken - self._announced >= self.buffer_size // _UPDATE_FRACTION
        )

    def close(self) -> bool:
        """Stop sending and receiving, from this side.

        Returns:
          Whether the peer must be told, with ``SHUTDOWN``, and its RST awaited.

        """
        self.incoming.clear()
        if self.state is not State.ESTABLISHED:
            return False
        self.state = State.CLOSING
        self.sent_eof = True
        return True

    def vanish(self) -> None:
        """Be gone: there is no peer any more, or nobody here who wants it."""
        self.state = State.GONE
        self.is_deaf = True

    def receive_untrusted(self, packet: Packet) -> Operation | None:
        """Take in a packet from the peer; never raises, whatever it is.

        Returns:
          The operation to answer with, if any.

        """
        if packet.operation == Operation.RST:
            self.vanish()
            return None
        answer = self._answer_to(packet)
        if answer is Operation.RST:
            self.vanish()
        return answer

    def _answer_to(self, packet: Packet) -> Operation | None:
        match self.state:
            case State.CONNECTING:
                return self._receive_connecting(packet)
            case State.ESTABLISHED:
                return self._receive_established(packet)
            case State.CLOSING:
                return self._receive_closing(packet)
            case State.GONE:
                return None

    def _receive_connecting(self, packet: Packet) -> Operation | None:
        if packet.operation != Operation.RESPONSE:
            return Operation.RST
        self.establish(packet)
        return None

    def _receive_established(self, packet: Packet) -> Operation | None:
        self._note_credit(packet)
        match packet.operation:
            case Operation.RW:
                return self._receive_data(packet.payload)
            case Operation.CREDIT_UPDATE:
                return None
            case Operation.CREDIT_REQUEST:
                return Operation.CREDIT_UPDATE
            case Operation.SHUTDOWN:
                return self._receive_shutdown(packet.flags)
            case _:
                # A peer that connects again has forgotten this connection, and one
                # that says anything else makes no sense.
                return Operation.RST

    def _receive_closing(self, packet: Packet) -> Operation | None:
        # Data that comes now is dropped. It was sent before the peer knew.
        if (
            packet.operation == Operation.SHUTDOWN
            and packet.flags & NO_MORE_OF_EITHER == NO_MORE_OF_EITHER
        ):
            return Operation.RST
        return None

    def _receive_data(self, payload: bytes) -> Operation | None:
        if self.received_eof:
            return None
        if len(self.incoming) + len(payload) > self.buffer_size:
            return Operation.RST
        self.incoming.append(payload)
        return None

    def _receive_shutdown(self, flags: int) -> Operation | None:
        if flags & NO_MORE_SENT:
            self.received_eof = True
        if flags & NO_MORE_RECEIVED:
            self.is_deaf = True
        # "A clean disconnect is achieved by one or more VIRTIO_VSOCK_OP_SHUTDOWN
        # packets that indicate no more data will be sent and received, followed by a
        # VIRTIO_VSOCK_OP_RST response from the peer" (5.10.6.6). What came before
        # stays to be read.
        return Operation.RST if self.received_eof and self.is_deaf else None

    def _note_credit(self, packet: Packet) -> None:
        self._peer_buf_alloc = packet.buf_alloc
        self._peer_fwd_cnt = packet.fwd_cnt

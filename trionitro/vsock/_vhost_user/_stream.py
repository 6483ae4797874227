"""A connection on a virtio vsock, as a Trio stream."""

from __future__ import annotations

import errno
import operator
from typing import TYPE_CHECKING, Final, final

import attrs
import trio

from trionitro.abc import VsockAddress, VsockStream
from trionitro.vsock._one_at_a_time import OneAtATime
from trionitro.vsock._vhost_user._connection import Connection, State
from trionitro.vsock._vhost_user._packets import NO_MORE_SENT, Operation

if TYPE_CHECKING:
    from trionitro.vsock._vhost_user._exchange import Exchange

__all__ = ["PacketStream"]

#: How much is received at once by whoever doesn't say.
_CHUNK: Final = 2**16


@final
@attrs.define(eq=False)
class PacketStream(VsockStream):
    """A vsock connection that is packets in virtqueues.

    Attributes:
      connection: its state, which :class:`.Exchange` changes as packets come in.
      is_closed: whether this end was closed.

    """

    connection: Connection
    _exchange: Exchange
    is_closed: bool = attrs.field(default=False, init=False)
    _sending: OneAtATime = attrs.field(factory=lambda: OneAtATime("sending"))
    _receiving: OneAtATime = attrs.field(factory=lambda: OneAtATime("receiving"))
    _readers: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _writers: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    @property
    def peer(self) -> VsockAddress:
        """The other end's address."""
        return self.connection.peer

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, as :meth:`trio.abc.SendStream.send_all` says."""
        with self._sending, memoryview(data) as view, view.cast("B") as rest:
            self._check_sendable()
            await trio.lowlevel.checkpoint()
            sent = 0
            while sent < len(rest):
                try:
                    await self._wait_for_room()
                    with rest[sent:] as piece:
                        sent += self._exchange.send_some(self.connection, piece)
                finally:
                    self._exchange.pass_on()
                if sent < len(rest):
                    await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there may be room for more bytes."""
        with self._sending:
            self._check_sendable()
            await trio.lowlevel.checkpoint()
            try:
                await self._wait_for_room()
            finally:
                self._exchange.pass_on()

    async def send_eof(self) -> None:
        """Send end-of-file, and go on receiving."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_open()
            connection = self.connection
            if connection.sent_eof:
                return
            if connection.state is State.GONE and not connection.received_eof:
                raise trio.BrokenResourceError("the connection was reset")
            # Where the peer has closed already, there is nobody left to tell.
            connection.sent_eof = True
            if connection.state is State.ESTABLISHED:
                self._exchange.post(connection, Operation.SHUTDOWN, NO_MORE_SENT)
                self._exchange.flush()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what there is, or ``b""`` at end-of-file."""
        wanted = _CHUNK if max_bytes is None else operator.index(max_bytes)
        if wanted < 1:
            raise ValueError("max_bytes must be >= 1")
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_open()
                if self.connection.incoming:
                    return self._take(wanted)
                if self.connection.received_eof:
                    return b""
                if self.connection.state is State.GONE:
                    raise trio.BrokenResourceError("the connection was reset")
                await self._readers.park()

    async def aclose(self) -> None:
        """Close the connection; what was sent before still arrives."""
        if not self.is_closed:
            self.is_closed = True
            self._exchange.hang_up(self)
            self.notice()
        await trio.lowlevel.checkpoint()

    async def wait_answered(self) -> None:
        """Wait until the peer has taken the connection, or refused it.

        Raises:
          OSError: if it has refused.

        """
        await trio.lowlevel.checkpoint()
        while self.connection.state is State.CONNECTING:
            await self._readers.park()
        if not self.connection.was_answered:
            raise ConnectionResetError(
                errno.ECONNRESET,
                f"can't connect to {self.peer}: nobody listens on that port, or that"
                " machine went away",
            )

    def notice(self) -> None:
        """Have all who wait look at the connection again."""
        if self._readers:
            self._readers.unpark_all()
        if self._writers:
            self._writers.unpark_all()

    def _take(self, wanted: int) -> bytes:
        data = self.connection.take(wanted)
        if self.connection.owes_update():
            self._exchange.post(self.connection, Operation.CREDIT_UPDATE)
            self._exchange.flush()
        return data

    async def _wait_for_room(self) -> None:
        """Wait for credit and a buffer; afterwards it is the next one's turn."""
        exchange = self._exchange
        try:
            while True:
                self._check_sendable()
                if not self.connection.credit():
                    exchange.leave_queue(self)
                    exchange.pass_on()
                elif exchange.may_send(self):
                    return
                else:
                    exchange.join_queue(self)
                await self._writers.park()
        finally:
            exchange.leave_queue(self)

    def _check_sendable(self) -> None:
        self._check_open()
        if self.connection.sent_eof:
            raise trio.ClosedResourceError("can't send data after sending EOF")
        if self.connection.is_deaf:
            raise trio.BrokenResourceError("the peer doesn't receive any more")

    def _check_open(self) -> None:
        if self.is_closed:
            raise trio.ClosedResourceError("this stream was closed")

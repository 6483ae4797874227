"""A vsock connection in memory: two buffers, with the kernel's manners.

Sending to a peer that has gone is an error at once, and a connection that breaks
reads as end-of-file: a vsock has no reset.

"""

from __future__ import annotations

import math
import operator
from typing import Final, final

import attrs
import trio

from trionitro.abc import VsockAddress, VsockStream
from trionitro.vsock._one_at_a_time import OneAtATime

__all__ = ["Faults", "MemoryVsockStream", "connected_pair"]

#: What each direction holds while nobody reads; the kernel's vsock has 256 KiB.
BUFFER_SIZE: Final = 2**16


@final
@attrs.define(eq=False, kw_only=True)
class Faults:
    """What goes wrong on a wire, for a test to switch on and off at any time.

    Attributes:
      refuse: nobody can connect any more.
      delay: seconds that connecting takes.
      reset_after: bytes, in both directions together, after which a connection
          breaks. What was sent until then still arrives.
      short_writes: how many bytes at most are passed on, and received, at once.

    """

    refuse: bool = False
    delay: float = 0.0
    reset_after: float = math.inf
    short_writes: int = attrs.field(
        default=BUFFER_SIZE, validator=attrs.validators.ge(1)
    )


def connected_pair(
    left: VsockAddress, right: VsockAddress, faults: Faults
) -> tuple[MemoryVsockStream, MemoryVsockStream]:
    """Make a connection's two ends: ``left``'s, whose peer is ``right``, and its."""
    rightwards, leftwards = _Direction(), _Direction()
    connection = _Connection(rightwards, leftwards, faults)
    return (
        MemoryVsockStream(right, connection, rightwards, leftwards),
        MemoryVsockStream(left, connection, leftwards, rightwards),
    )


@attrs.define(eq=False)
class _Direction:
    """Bytes on their way from one end to the other.

    Attributes:
      buffer: what was sent and not yet received.
      ended: no more will be sent.
      deaf: nobody will receive any more.
      changed: where tasks wait for any of it to change.

    """

    buffer: bytearray = attrs.field(factory=bytearray)
    ended: bool = False
    deaf: bool = False
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def put(self, data: memoryview) -> None:
        self.buffer += data
        self.changed.unpark_all()

    def take(self, max_bytes: int) -> bytes:
        data = bytes(self.buffer[:max_bytes])
        del self.buffer[:max_bytes]
        self.changed.unpark_all()
        return data

    def end(self) -> None:
        self.ended = True
        self.changed.unpark_all()

    def abandon(self) -> None:
        self.deaf = True
        self.changed.unpark_all()

    def is_full(self) -> bool:
        return len(self.buffer) >= BUFFER_SIZE


@attrs.define(eq=False)
class _Connection:
    """What both ends share: how much they have carried, until it breaks."""

    rightwards: _Direction
    leftwards: _Direction
    faults: Faults
    carried: int = 0

    def __attrs_post_init__(self) -> None:
        self.count(0)

    def count(self, size: int) -> None:
        self.carried += size
        if self.carried >= self.faults.reset_after:
            for direction in (self.rightwards, self.leftwards):
                direction.end()
                direction.abandon()


@final
@attrs.define(eq=False)
class MemoryVsockStream(VsockStream):
    """One end of a vsock connection in memory."""

    _peer: VsockAddress
    _connection: _Connection
    _outgoing: _Direction
    _incoming: _Direction
    _sent_eof: bool = False
    _closed: bool = False
    _sending: OneAtATime = attrs.field(factory=lambda: OneAtATime("sending"))
    _receiving: OneAtATime = attrs.field(factory=lambda: OneAtATime("receiving"))

    @property
    def peer(self) -> VsockAddress:
        """The other end's address."""
        return self._peer

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, as :meth:`trio.abc.SendStream.send_all` says."""
        with self._sending, memoryview(data) as view:
            self._check_sendable()
            sent = 0
            while True:
                await trio.lowlevel.checkpoint()
                await self._wait_for_room()
                sent += self._send_some(view[sent:])
                if sent == len(view):
                    return

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for more bytes."""
        with self._sending:
            self._check_sendable()
            await trio.lowlevel.checkpoint()
            await self._wait_for_room()

    async def send_eof(self) -> None:
        """Send end-of-file, and go on receiving."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            if self._sent_eof and not self._closed:
                return
            self._check_sendable()
            self._sent_eof = True
            self._outgoing.end()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what there is, or ``b""`` at end-of-file."""
        wanted = BUFFER_SIZE if max_bytes is None else operator.index(max_bytes)
        if wanted < 1:
            raise ValueError("max_bytes must be >= 1")
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while not (self._closed or self._incoming.buffer or self._incoming.ended):
                await self._incoming.changed.park()
            if self._closed:
                raise trio.ClosedResourceError("this stream was closed")
            return self._incoming.take(min(wanted, self._faults.short_writes))

    async def aclose(self) -> None:
        """Close this end; the peer reads what was sent, and then end-of-file."""
        if not self._closed:
            self._closed = True
            self._outgoing.end()
            self._incoming.abandon()
        await trio.lowlevel.checkpoint()

    @property
    def _faults(self) -> Faults:
        return self._connection.faults

    async def _wait_for_room(self) -> None:
        self._check_sendable()
        while self._outgoing.is_full():
            await self._outgoing.changed.park()
            self._check_sendable()

    def _send_some(self, data: memoryview) -> int:
        room = BUFFER_SIZE - len(self._outgoing.buffer)
        until_reset = max(0, self._faults.reset_after - self._connection.carried)
        with data[: int(min(room, self._faults.short_writes, until_reset))] as piece:
            self._outgoing.put(piece)
            self._connection.count(len(piece))
            return len(piece)

    def _check_sendable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")
        if self._sent_eof:
            raise trio.ClosedResourceError("can't send data after sending EOF")
        if self._outgoing.deaf:
            raise trio.BrokenResourceError("the peer has gone")

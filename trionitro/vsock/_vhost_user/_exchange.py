"""All connections between this side and one guest, from its start to its end.

Packets come in through :meth:`Exchange.receive_untrusted`. What goes out is written to
the other side's buffers where it comes from: data has no queue here. When there is no
buffer, those who want to send wait, one behind the other. Only what must be said
without delay (answers, half-closes, credit) has a queue, and that is bounded.

"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Protocol, final

import attrs
import trio

from trionitro._exceptions import ProtocolError
from trionitro.abc import VsockAddress
from trionitro.vsock._port_table import PortTable
from trionitro.vsock._ports import random_port
from trionitro.vsock._vhost_user._connection import Connection, State
from trionitro.vsock._vhost_user._packets import (
    MAX_PAYLOAD,
    NO_MORE_OF_EITHER,
    STREAM,
    Operation,
    Packet,
    encode_part,
    encode_refusal,
)
from trionitro.vsock._vhost_user._stream import PacketStream

__all__ = ["Exchange", "Limits", "Transport"]

#: How many packets may wait to be sent before nobody is answered any more who has no
#: connection yet: a guest may ask and ask, and give no buffers for the answers.
_MAX_WAITING: Final = 1024

#: How much one sender may send before the next one's turn, and in how many packets: a
#: guest may give buffers of a byte each.
_TURN: Final = 2**16
_TURN_PACKETS: Final = 64

#: Our CID and port, and the peer's port.
_Key = tuple[int, int, int]


@attrs.frozen(kw_only=True)
class Limits:
    """What one peer may take up.

    Attributes:
      buffer_size: how many bytes a connection holds that nobody reads.
      max_connections: how many connections there may be at once.
      linger: seconds for the peer to confirm that a connection was closed.

    """

    buffer_size: int
    max_connections: int
    linger: float


class Transport(Protocol):
    """Where packets go out."""

    def room_untrusted(self) -> int | None:
        """How much data the next packet may have, or None if it must wait.

        Raises:
          ProtocolError: if there will never be room, through the peer's fault.

        """

    def put(self, header: bytes, payload: memoryview | bytes) -> None:
        """Send a packet; there must be room for it."""

    def flush(self) -> None:
        """Let the peer see what was sent."""


class Sender(Protocol):
    """Who waits to send."""

    def notice(self) -> None:
        """Look whether it is its turn."""


@final
@attrs.define(eq=False)
class Exchange:
    """The connections with one peer, for as long as it runs.

    Attributes:
      peer_cid: who is at the other end.
      own_cids: whom it may take this end for.
      ports: who listens at this end.
      limits: what the peer may take up.
      on_nonsense: called when the peer makes sending impossible.
      transport: where packets go out; None while the peer is not running.
      is_over: whether the peer has come to its end.

    """

    peer_cid: int
    own_cids: Collection[int]
    ports: PortTable
    limits: Limits
    on_nonsense: Callable[[ProtocolError], None]
    transport: Transport | None = None
    is_over: bool = attrs.field(default=False, init=False)
    _streams: dict[_Key, PacketStream] = attrs.field(factory=dict)
    # What the peer has closed counts until it is closed here as well: what it sent
    # before may wait to be read.
    _held: set[PacketStream] = attrs.field(factory=set)
    _waiting: deque[tuple[Connection, Operation, int] | bytes] = attrs.field(
        factory=deque
    )
    _queue: dict[Sender, None] = attrs.field(factory=dict)
    _closing: dict[PacketStream, float] = attrs.field(factory=dict)
    _someone_closes: trio.lowlevel.ParkingLot = attrs.field(
        factory=trio.lowlevel.ParkingLot
    )

    async def connect(self, cid: int, port: int) -> PacketStream:
        """Connect to ``port`` of the peer, as our own ``cid``.

        Raises:
          OSError: if nobody listens there, or the peer goes away.

        """
        stream = self._new_stream(*self._free_address(cid, port))
        self.post(stream.connection, Operation.REQUEST)
        self.flush()
        try:
            await stream.wait_answered()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    def receive_untrusted(self, packet: Packet) -> None:
        """Take in a packet; what is to be answered waits for :meth:`flush`.

        Never raises, whatever the packet is.

        """
        # A driver must not send as somebody else.
        if packet.src_cid != self.peer_cid:
            return
        key = (packet.dst_cid, packet.dst_port, packet.src_port)
        stream = self._streams.get(key)
        if stream is None or packet.kind != STREAM:
            self._receive_stranger(packet, stream)
            return
        connection = stream.connection
        answer = connection.receive_untrusted(packet)
        if answer is not None:
            self.post(connection, answer)
        if connection.state is State.GONE:
            self._forget(key)
        stream.notice()

    def post(
        self, connection: Connection, operation: Operation, flags: int = 0
    ) -> None:
        """Send a packet without data, as soon as :meth:`flush` finds room for it."""
        entry = (connection, operation, flags)
        # A peer may ask for credit again and again; one answer is enough.
        if operation is Operation.CREDIT_UPDATE and entry in self._waiting:
            return
        self._waiting.append(entry)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        if self._waiting:
            while self._waiting and self._room() is not None:
                self._send_waiting(self._waiting.popleft())
            if self.transport is not None:
                self.transport.flush()
        self.pass_on()

    def may_send(self, sender: Sender) -> bool:
        """Whether there is a buffer, and it is ``sender``'s turn."""
        first = next(iter(self._queue), sender)
        return first is sender and self._has_room()

    def join_queue(self, sender: Sender) -> None:
        """Have ``sender`` noticed when there is a buffer and all before it had one."""
        self._queue.setdefault(sender)

    def leave_queue(self, sender: Sender) -> None:
        """Forget that ``sender`` waits; then :meth:`pass_on`."""
        self._queue.pop(sender, None)

    def pass_on(self) -> None:
        """Notice the next one who waits for a buffer, if there is one."""
        if self._queue and self._has_room():
            next(iter(self._queue)).notice()

    def send_some(self, connection: Connection, data: memoryview) -> int:
        """Send as much of ``data`` as there is room and credit for, within limits.

        Returns:
          How many bytes.

        """
        sent = 0
        transport = self.transport
        if transport is None or self._waiting:
            return 0
        limit = min(len(data), connection.credit(), _TURN)
        for _ in range(_TURN_PACKETS):
            if sent == limit or (room := self._room()) is None:
                break
            size = min(limit - sent, room, MAX_PAYLOAD)
            header = connection.header(Operation.RW, length=size)
            transport.put(header, data[sent : sent + size])
            connection.note_sent(size)
            sent += size
        transport.flush()
        return sent

    def carry(self, packets: deque[Packet]) -> None:
        """Send packets of others as they are, as far as there is room, within limits.

        Args:
          packets: the first of them that are for this peer are taken out. Data is cut
              to fit, and what is left of it stays.

        """
        transport, sent = self.transport, 0
        for _ in range(_TURN_PACKETS):
            if not packets or packets[0].dst_cid != self.peer_cid:
                break
            if transport is None or (room := self._room()) is None:
                break
            packet = packets[0]
            part = packet.payload[sent : sent + room]
            transport.put(encode_part(packet, len(part)), part)
            sent += len(part)
            if sent == len(packet.payload):
                packets.popleft()
                sent = 0
        if sent:
            packets[0] = packets[0]._replace(payload=packets[0].payload[sent:])
        if transport is not None:
            transport.flush()

    def hang_up(self, stream: PacketStream) -> None:
        """Close a stream's connection; the peer has a while to confirm it."""
        connection = stream.connection
        if connection.close():
            self.post(connection, Operation.SHUTDOWN, NO_MORE_OF_EITHER)
            self._closing[stream] = trio.current_time() + self.limits.linger
            self._someone_closes.unpark_all()
        elif connection.state is State.CONNECTING:
            self._reset(stream)
        else:
            self._held.discard(stream)
        self.flush()

    def break_off(self) -> None:
        """Break all connections: there is no peer any more."""
        self.is_over = True
        self._waiting.clear()
        self.transport = None
        for key in [*self._streams]:
            stream = self._streams[key]
            stream.connection.vanish()
            self._forget(key)
            stream.notice()
        for sender in [*self._queue]:
            sender.notice()
        self._someone_closes.unpark_all()

    async def reset_what_lingers(self) -> None:
        """Reset connections that the peer doesn't confirm to be closed, until the end.

        "If no VIRTIO_VSOCK_OP_RST response is received within an
        implementation-specific amount of time, a VIRTIO_VSOCK_OP_RST packet is sent
        to forcibly disconnect" (virtio 1.2, 5.10.6.6).

        """
        while not self.is_over:
            if not self._closing:
                await self._someone_closes.park()
                continue
            # All wait equally long, so that the first is the next.
            stream, deadline = next(iter(self._closing.items()))
            await trio.sleep_until(deadline)
            if stream in self._closing:
                self._reset(stream)
                self.flush()

    def _receive_stranger(self, packet: Packet, stream: PacketStream | None) -> None:
        # An RST is never answered, or two sides that know nothing of each other would
        # go on like this for ever.
        if packet.operation == Operation.RST or len(self._waiting) >= _MAX_WAITING:
            return
        if stream is None and self._is_welcome(packet):
            self._accept(packet)
        else:
            self._waiting.append(encode_refusal(packet))

    def _is_welcome(self, packet: Packet) -> bool:
        return (
            packet.operation == Operation.REQUEST
            and packet.kind == STREAM
            and packet.dst_cid in self.own_cids
            and len(self._held) < self.limits.max_connections
            and self.ports.has_place(packet.dst_port)
        )

    def _accept(self, packet: Packet) -> None:
        local = VsockAddress(packet.dst_cid, packet.dst_port)
        peer = VsockAddress(packet.src_cid, packet.src_port)
        stream = self._new_stream(local, peer)
        stream.connection.establish(packet)
        self.post(stream.connection, Operation.RESPONSE)
        self.ports.offer(packet.dst_port, stream)

    def _free_address(self, cid: int, port: int) -> tuple[VsockAddress, VsockAddress]:
        if len(self._held) >= self.limits.max_connections:
            raise OSError(
                errno.ENOBUFS,
                f"there are {len(self._held)} connections with CID {self.peer_cid}"
                " already; close some, or allow more with max_connections",
            )
        if len(self._waiting) >= _MAX_WAITING:
            raise OSError(
                errno.ENOBUFS,
                f"CID {self.peer_cid} has not taken {len(self._waiting)} packets; is"
                " it paused?",
            )
        while (cid, own_port := random_port(), port) in self._streams:
            pass
        return VsockAddress(cid, own_port), VsockAddress(self.peer_cid, port)

    def _new_stream(self, local: VsockAddress, peer: VsockAddress) -> PacketStream:
        connection = Connection(local, peer, self.limits.buffer_size)
        stream = PacketStream(connection, self)
        self._streams[_key_of(connection)] = stream
        self._held.add(stream)
        return stream

    def _forget(self, key: _Key) -> None:
        stream = self._streams.pop(key)
        self._closing.pop(stream, None)
        if stream.is_closed:
            self._held.discard(stream)

    def _reset(self, stream: PacketStream) -> None:
        connection = stream.connection
        connection.vanish()
        self._forget(_key_of(connection))
        self.post(connection, Operation.RST)

    def _send_waiting(self, entry: tuple[Connection, Operation, int] | bytes) -> None:
        assert self.transport is not None
        if isinstance(entry, bytes):
            self.transport.put(entry, b"")
            return
        connection, operation, flags = entry
        if connection.state is State.GONE and operation is not Operation.RST:
            return
        self.transport.put(connection.header(operation, flags=flags), b"")

    def _has_room(self) -> bool:
        return not self._waiting and self._room() is not None

    def _room(self) -> int | None:
        if self.transport is None:
            return None
        try:
            return self.transport.room_untrusted()
        except ProtocolError as problem:
            self.transport = None
            self.on_nonsense(problem)
            return None


def _key_of(connection: Connection) -> _Key:
    return connection.local.cid, connection.local.port, connection.peer.port

"""What a relay stands between in a test: a client on its left, a server on its right.

A way to join streams is held to the relay's contract by running the tests on the
kinds of stream it is for: add a kind to ``KINDS``, or a pair to ``PAIRS``.

"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import pytest
import trio
import trio.abc
import trio.testing

from tests.kernel_vsock import HAS_LOOPBACK, LOCAL
from tests.wrapped import WrappedHalfCloseable
from trionitro import Ending, Progress, Transfer, relay
from trionitro.abc import VMADDR_ANY, VsockAddress
from trionitro.testing._memory_stream import Faults, connected_pair
from trionitro.vsock import KernelVsock

Stream = trio.abc.HalfCloseableStream
StreamPair = tuple[Stream, Stream]


@attrs.frozen
class Kind:
    """A kind of connection.

    Attributes:
      name: what the test's name says.
      open_pair: opens one, and returns its two ends.
      resets: whether a connection that breaks reads as an error. Where it does not,
          a close is all there is.

    """

    name: str
    open_pair: Callable[[], Awaitable[StreamPair]]
    resets: bool = False


#: What a TCP socket's buffers hold. Left to itself Linux lets them grow, some time
#: after the last byte moved, and what was full a moment ago is not any more.
TCP_BUFFER: Final = 2**16


def tcp_socket() -> trio.socket.SocketType:
    """Return a TCP socket with buffers that don't grow."""
    sock = trio.socket.socket()
    for which in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, which, TCP_BUFFER)
    return sock


async def open_tcp_pair() -> StreamPair:
    """Connect two TCP sockets."""
    near = tcp_socket()
    with tcp_socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        await near.connect(listener.getsockname())
        far, _ = await listener.accept()
    return trio.SocketStream(near), trio.SocketStream(far)


async def open_unix_pair() -> StreamPair:
    """Connect two AF_UNIX sockets."""
    near, far = trio.socket.socketpair()
    return trio.SocketStream(near), trio.SocketStream(far)


async def open_vsock_pair() -> StreamPair:
    """Connect two streams over the kernel's vsock, within this machine."""
    network = KernelVsock()
    async with await network.open_listener(VMADDR_ANY) as listener:
        near = await network.open_stream(LOCAL, listener.port)
        return near, await listener.accept()


async def open_memory_pair() -> StreamPair:
    """Connect two streams in memory, with a vsock's manners and small buffers."""
    return connected_pair(VsockAddress(3, 1), VsockAddress(16, 2), Faults())


async def open_lockstep_pair() -> StreamPair:
    """Connect two streams without any buffer: a send ends when all was received."""
    return trio.testing.lockstep_stream_pair()


async def open_hidden_pair() -> StreamPair:
    """Connect two TCP sockets, one of which doesn't show that it is one."""
    near, far = await open_tcp_pair()
    assert isinstance(near, trio.SocketStream)
    return WrappedHalfCloseable(near), far


TCP: Final = Kind("tcp", open_tcp_pair, resets=True)
HIDDEN: Final = Kind("hidden", open_hidden_pair)
UNIX: Final = Kind("unix", open_unix_pair)
MEMORY: Final = Kind("memory", open_memory_pair)
LOCKSTEP: Final = Kind("lockstep", open_lockstep_pair)
VSOCK: Final = Kind("vsock", open_vsock_pair)
SOCKETS: Final = (TCP, UNIX, *([VSOCK] if HAS_LOOPBACK else []))
KINDS: Final = (TCP, UNIX, MEMORY, LOCKSTEP)


@attrs.frozen
class Pair:
    """The kinds of the two connections that a relay joins."""

    left: Kind
    right: Kind

    def __str__(self) -> str:
        return f"{self.left.name}-{self.right.name}"


#: On the fast path, and on the portable one.
VSOCK_PAIRS: Final = (
    *(Pair(TCP, VSOCK), Pair(VSOCK, TCP), Pair(VSOCK, VSOCK)),
    *(Pair(MEMORY, VSOCK), Pair(VSOCK, MEMORY)),
)

PAIRS: Final = (
    *(Pair(left, right) for left in KINDS for right in KINDS),
    Pair(HIDDEN, HIDDEN),
    *(VSOCK_PAIRS if HAS_LOOPBACK else []),
)


def for_pairs(wanted: Callable[[Pair], bool] = lambda _: True) -> pytest.MarkDecorator:
    """Run a test on the wanted pairs of kinds."""
    pairs = [pair for pair in PAIRS if wanted(pair)]
    return pytest.mark.parametrize("pair", pairs, ids=str)


@attrs.define(eq=False)
class World:
    """``client`` and ``left`` are connected, ``right`` and ``server`` are.

    Attributes:
      progress: the relay's.
      transfer: what the relay returned, once it did.
      ended: set when the relay ended, in whatever way.
      scope: what the relay runs in.

    """

    client: Stream
    left: Stream
    right: Stream
    server: Stream
    progress: Progress = attrs.field(factory=Progress)
    transfer: Transfer | None = None
    ended: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run_relay(self, idle_timeout: float = float("inf")) -> None:
        """Relay between ``left`` and ``right``."""
        try:
            with self.scope:
                self.transfer = await relay(
                    self.left,
                    self.right,
                    idle_timeout=idle_timeout,
                    progress=self.progress,
                )
        finally:
            self.ended.set()

    async def ending(self) -> Ending:
        """Wait for the relay to return, and tell how it ended."""
        await self.ended.wait()
        assert self.transfer is not None, "the relay raised"
        return self.transfer.ending

    def mirrored(self) -> World:
        """Return the same two connections, seen from the other side."""
        return World(self.server, self.right, self.left, self.client)

    async def aclose(self) -> None:
        """Close the two outer ends at once."""
        try:
            await trio.aclose_forcefully(self.client)
        finally:
            await trio.aclose_forcefully(self.server)

    async def assert_relay_closed_its_streams(self) -> None:
        """Fail if the relay left one of its two streams open."""
        with trio.CancelScope(shield=True):
            for stream in (self.left, self.right):
                with pytest.raises(trio.ClosedResourceError):
                    await stream.receive_some(1)


async def open_world(pair: Pair) -> World:
    """Open both connections, even if cancelled meanwhile."""
    with trio.CancelScope(shield=True):
        client, left = await pair.left.open_pair()
        right, server = await pair.right.open_pair()
    return World(client, left, right, server)


@asynccontextmanager
async def relayed(
    pair: Pair, *, idle_timeout: float = float("inf")
) -> AsyncIterator[World]:
    """Give a world in which the relay is running; cancel it in the end."""
    world = await open_world(pair)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.run_relay, idle_timeout)
            yield world
            nursery.cancel_scope.cancel()
    finally:
        await world.aclose()


async def send_and_eof(stream: Stream, data: bytes) -> None:
    """Send ``data`` and then end-of-file."""
    await stream.send_all(data)
    await stream.send_eof()


async def receive_exactly(stream: Stream, size: int) -> bytes:
    """Receive ``size`` bytes, which must be there before end-of-file is."""
    received = bytearray()
    while len(received) < size:
        data = await stream.receive_some(size - len(received))
        assert data, f"end-of-file after {len(received)} of {size} bytes"
        received += data
    return bytes(received)


async def receive_all(stream: Stream) -> bytes:
    """Receive until end-of-file."""
    received = bytearray()
    async for data in stream:
        received += data
    return bytes(received)


async def flood(stream: Stream, counted: Callable[[int], object]) -> None:
    """Send for ever."""
    chunk = bytes(2**12)
    while True:
        await stream.send_all(chunk)
        counted(len(chunk))


async def clog(*streams: Stream) -> int:
    """Send on each until nothing more will go, and return how many bytes went in all.

    To clog both directions, do it at once: bytes that go one way bring the
    acknowledgements for the other.
    """
    sent: list[int] = []
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(flood, stream, sent.append)
        # The cushion is for what a kernel, or another thread, has in hand.
        await trio.testing.wait_all_tasks_blocked(cushion=0.02)
        nursery.cancel_scope.cancel()
    return sum(sent)


async def break_off(stream: Stream) -> None:
    """Close ``stream`` as a process that dies does: with a reset, if there is one."""
    if isinstance(stream, trio.SocketStream):
        with_reset = struct.pack("ii", 1, 0)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, with_reset)
    await trio.aclose_forcefully(stream)


async def assert_was_cut_off(stream: Stream, kind: Kind) -> None:
    """Fail if ``stream`` could be taken for a whole one, where that can be helped."""
    if kind.resets:
        assert await reset_error(receive_all(stream)) == errno.ECONNRESET
    else:
        await reset_error(flood(stream, lambda _: None))


async def reset_error(operation: Awaitable[object]) -> int | None:
    """Expect ``operation`` to find the stream broken; return the errno it was."""
    with pytest.raises(trio.BrokenResourceError) as caught:
        await operation
    cause = caught.value.__cause__
    return cause.errno if isinstance(cause, OSError) else None

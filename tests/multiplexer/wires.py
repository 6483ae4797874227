"""What a mover is between in a test, without Trio: sockets, and somebody to drive."""

from __future__ import annotations

import contextlib
import gc
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.kernel_vsock import HAS_LOOPBACK, vsock_pair
from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._mover import Mover
from trionitro._transfer import Progress

SocketPair = tuple[socket.socket, socket.socket]

_RESET: Final = struct.pack("ii", 1, 0)

#: Seconds that a vsock's loopback, which has a thread of its own in the kernel, gets
#: for what it has in hand.
_CUSHION: Final = 0.02 if HAS_LOOPBACK else 0.0


def tcp_pair() -> SocketPair:
    """Connect two TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


#: By the names that tests are parametrized with.
PAIRS: Final[dict[str, Callable[[], SocketPair]]] = {
    "tcp": tcp_pair,
    "unix": socket.socketpair,
} | ({"vsock": vsock_pair} if HAS_LOOPBACK else {})


@attrs.frozen(eq=False)
class Wire:
    """``client`` and ``left`` are connected, ``right`` and ``server`` are.

    Attributes:
      flow: between ``left`` and ``right``.

    """

    client: socket.socket
    left: socket.socket
    right: socket.socket
    server: socket.socket
    flow: Flow

    def close(self) -> None:
        """Close all four."""
        for sock in (self.client, self.left, self.right, self.server):
            sock.close()

    def clog(self) -> None:
        """Make ``right`` so full that no byte fits in any more."""
        fill(self.right.dup())


@contextmanager
def wired(left: str = "unix", right: str = "unix") -> Iterator[Wire]:
    """Give a wire whose two sides are ``left`` and ``right``; close it in the end."""
    client, near = PAIRS[left]()
    far, server = PAIRS[right]()
    for sock in (client, near, far, server):
        sock.setblocking(False)
    # Closed as what they are: outside of a run Trio does not close its own.
    joined = [trio.socket.from_stdlib_socket(sock) for sock in (near, far)]
    flow = Flow.between(joined[0], joined[1], Progress())
    wire = Wire(client, near, far, server, flow)
    try:
        yield wire
    finally:
        wire.close()


def make_mover(
    on_end: Callable[[Flow], None] = lambda _: None,
    on_bulk: Callable[[Flow], None] | None = None,
    on_quiet: Callable[[Flow], None] | None = None,
) -> Mover:
    """Return a mover for which no time passes."""
    return Mover(lambda: 0.0, on_end=on_end, on_bulk=on_bulk, on_quiet=on_quiet)


def settle(mover: Mover) -> int:
    """Drive until there is nothing to do; fail if there always is something."""
    for passes in range(1000):
        events = mover.poll(_CUSHION)
        if not events and not mover.has_more():
            return passes
        mover.serve(events)
    raise AssertionError(f"it spins: {mover.poll()}")


def fill(sock: socket.socket) -> None:
    """Send until nothing more fits, not even a byte; and close it."""
    with sock:
        for size in (2**16, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.send(bytes(size))


def read_all(sock: socket.socket) -> bytes:
    """Return what is there."""
    received = bytearray()
    while True:
        try:
            data = sock.recv(2**20)
        except BlockingIOError:
            return bytes(received)
        if not data:
            return bytes(received)
        received += data


def send_through(mover: Mover, wire: Wire, data: bytes) -> bytes:
    """Send ``data`` from client to server, driving meanwhile; return what arrived."""
    rest = memoryview(data)
    received = bytearray()
    while len(received) < len(data) and wire.flow.ending is None:
        with contextlib.suppress(BlockingIOError):
            rest = rest[wire.client.send(rest) :] if rest else rest
        mover.serve(mover.poll(0.01))
        received += read_all(wire.server)
    return bytes(received)


def make_bulk(mover: Mover, wire: Wire) -> None:
    """Send so much from the client that this direction becomes bulk."""
    while not wire.flow.directions[0].bulk:
        send_through(mover, wire, bytes(2**18))


def reset(sock: socket.socket) -> None:
    """Close ``sock`` as a process that dies does."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def open_descriptors() -> int:
    """Count the descriptors of this process, but those that are garbage.

    A run of Trio leaves its epolls to the collector, which would close those of an
    earlier test in the middle of this one.

    """
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))

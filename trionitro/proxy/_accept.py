"""Accepting connections, and no more of them than a route has places for."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, Self

import attrs
import structlog
import trio
import trio.abc

from trionitro._reset import socket_of
from trionitro._socket_stream import LazySocketStream
from trionitro._unix import UnixListener
from trionitro.vsock import SocketVsockListener

__all__ = ["Handler", "Places", "accept_connections"]

_log = structlog.get_logger("trionitro.proxy")

#: What is done with a connection, at once or in a nursery: it is closed in the end,
#: and its place given back.
Handler = Callable[[Any, "Places", trio.Nursery], object]

#: What accept(2) says when the system has nothing left for one more connection.
_NO_ROOM: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSR}
)

#: Seconds until accepting is tried again then, and between saying so.
_RETRY_DELAY: Final = 0.1
_LOG_INTERVAL: Final = 1.0


#: For how long others are accepted before other tasks have their turn, in seconds: as
#: long as bytes are moved.
_TURN: Final = 250e-6


#: Those that do no more than accept(2), and make a stream of it.
_SOCKET_LISTENERS: Final = (trio.SocketListener, UnixListener, SocketVsockListener)


@attrs.define(eq=False)
class Places:
    """How many connections of a route may be open at once, and how many are.

    Attributes:
      limit: the number of places; ``math.inf`` for as many as come.

    """

    limit: float
    _taken: int = 0
    _freed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def wait_free(self) -> None:
        """Wait until there is a place; not a checkpoint if there is one."""
        while not self.are_free():
            await self._freed.park()

    def are_free(self) -> bool:
        """Whether there is a place."""
        return self._taken < self.limit

    def take(self) -> None:
        """Take a place; give it back with :meth:`give_back`."""
        self._taken += 1

    def give_back(self) -> None:
        """Give a place back."""
        if not self.are_free():
            self._freed.unpark_all()
        self._taken -= 1


async def accept_connections(
    listener: trio.abc.Listener[Any],
    handler: Handler,
    places: Places,
    nursery: trio.Nursery,
) -> NoReturn:
    """Give ``handler`` each connection that there is a place for, and ``nursery``.

    Without a place none is accepted: it waits in the kernel's backlog, where
    back-pressure belongs. (Listeners that share their places may overshoot by one
    each: they all wait when the last place is taken.)

    This is what :func:`trio.serve_listeners` does, but for the places, and that the
    listener stays open for its owner to use again, and that who comes while others
    are being accepted is accepted with them, in one turn of this task.

    Error handling:
      Where the system has no room for another connection (descriptors, memory), it
      is tried again until there is; the log says so once a second. What is wrong with
      one connection only, the listener itself ignores.

    """
    silent_until = trio.current_time()
    with _Crowd.before(listener) as crowd:
        while True:
            await places.wait_free()
            try:
                stream = await listener.accept()
            except OSError as exc:
                if exc.errno not in _NO_ROOM:
                    raise
                if trio.current_time() >= silent_until:
                    silent_until = trio.current_time() + _LOG_INTERVAL
                    reason = exc.strerror
                    _log.error("can't accept", problem=reason, retry_in=_RETRY_DELAY)
                await trio.sleep(_RETRY_DELAY)
                continue
            places.take()
            handler(stream, places, nursery)
            for stream in crowd.accept_nowait(places):
                places.take()
                handler(stream, places, nursery)


@attrs.frozen
class _Crowd:
    """Those who wait to be accepted as well, where the listener is a socket.

    Attributes:
      socket: a second one for the listener's, because Trio's can't be asked without
          waiting; None where there is none.
      stream_of: makes the listener's kind of stream.

    """

    socket: socket.socket | None
    stream_of: Callable[[trio.socket.SocketType], Any]

    @classmethod
    @contextmanager
    def before(cls, listener: trio.abc.Listener[Any]) -> Iterator[Self]:
        """Make one for ``listener``."""
        stream_of = getattr(listener, "stream_of", LazySocketStream)
        found = socket_of(listener)
        # What only shows the socket of another may do more than accept.
        if found is None or not isinstance(listener, _SOCKET_LISTENERS):
            yield cls(None, stream_of)
            return
        # On the same descriptor: there may be no other left for one.
        double = socket.socket(
            found.family, found.type, found.proto, fileno=found.fileno()
        )
        try:
            double.setblocking(False)
            yield cls(double, stream_of)
        finally:
            double.detach()

    def accept_nowait(self, places: Places) -> Iterator[Any]:
        """Accept those who are there already, but for no longer than :data:`_TURN`.

        What goes wrong is left to the listener itself to meet again.

        """
        if self.socket is None:
            return
        pause_at = time.perf_counter() + _TURN
        while places.are_free() and time.perf_counter() < pause_at:
            try:
                accepted, _ = self.socket.accept()
            except OSError:
                return
            yield self.stream_of(trio.socket.from_stdlib_socket(accepted))

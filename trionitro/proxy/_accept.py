"""Accepting connections, and no more of them than a route has places for."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final, NoReturn

import attrs
import structlog
import trio
import trio.abc

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
        while self._taken >= self.limit:
            await self._freed.park()

    def take(self) -> None:
        """Take a place; give it back with :meth:`give_back`."""
        self._taken += 1

    def give_back(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._freed.unpark_all()


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
    listener stays open for its owner to use again, and that the handler cleans up
    itself: a scope and two coroutines less for each of thousands of connections.

    Error handling:
      Where the system has no room for another connection (descriptors, memory), it
      is tried again until there is; the log says so once a second. What is wrong with
      one connection only, the listener itself ignores.

    """
    silent_until = trio.current_time()
    while True:
        await places.wait_free()
        try:
            stream = await listener.accept()
        except OSError as exc:
            if exc.errno not in _NO_ROOM:
                raise
            if trio.current_time() >= silent_until:
                silent_until = trio.current_time() + _LOG_INTERVAL
                _log.error("can't accept", problem=exc.strerror, retry_in=_RETRY_DELAY)
            await trio.sleep(_RETRY_DELAY)
            continue
        places.take()
        handler(stream, places, nursery)

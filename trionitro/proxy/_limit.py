"""Accepting no more connections than a route has places for."""

from __future__ import annotations

from typing import Any

import attrs
import trio
import trio.abc

__all__ = ["LentListener", "Places"]


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
        """Wait until there is a place."""
        while self._taken >= self.limit:
            await self._freed.park()

    def take(self) -> None:
        """Take a place; give it back with :meth:`give_back`."""
        self._taken += 1

    def give_back(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._freed.unpark_all()


@attrs.define(eq=False)
class LentListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    """A listener that somebody else owns, accepting only while there are places.

    A connection that finds no place is not accepted: it waits in the kernel's
    backlog, where back-pressure belongs. (Listeners that share their places may
    overshoot by one each: they all wait when the last place is taken.)

    """

    _owned: trio.abc.Listener[Any]
    _places: Places

    async def accept(self) -> trio.abc.HalfCloseableStream:
        """Wait for a place, then for a connection, which has taken the place."""
        await self._places.wait_free()
        stream: trio.abc.HalfCloseableStream = await self._owned.accept()
        self._places.take()
        return stream

    async def aclose(self) -> None:
        """Leave the listener open: its owner may lend it again."""
        await trio.lowlevel.checkpoint()

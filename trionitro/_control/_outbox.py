"""What waits to be sent: bounded, and never waiting for whoever puts something in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs
import trio

__all__ = ["Outbox"]

T = TypeVar("T")


@attrs.define(eq=False)
class Outbox(Generic[T]):
    """A queue that drops its oldest when it is full, and counts what it dropped.

    Attributes:
      limit: the most that all items may weigh together; a single one may weigh more.
      weigh: what one weighs.
      dropped: how many were dropped since :meth:`take` last returned.
      is_finished: whether nothing more will be put in.

    """

    limit: int
    weigh: Callable[[T], int]
    dropped: int = attrs.field(init=False, default=0)
    _items: deque[T] = attrs.field(init=False, factory=deque)
    _weight: int = attrs.field(init=False, default=0)
    is_finished: bool = attrs.field(init=False, default=False)
    _changed: trio.Event = attrs.field(init=False, factory=trio.Event)

    def put(self, item: T) -> None:
        """Put an item at the end. Never waits."""
        self._items.append(item)
        self._weight += self.weigh(item)
        self._trim()
        self._changed.set()

    def finish(self) -> None:
        """Say that nothing more will be put in."""
        self.is_finished = True
        self._changed.set()

    def put_back(self, items: list[T], dropped: int) -> None:
        """Put at the front what :meth:`take` returned and nobody could be given."""
        self._items.extendleft(reversed(items))
        self._weight += sum(map(self.weigh, items))
        self.dropped += dropped
        self._trim()
        self._changed.set()

    async def take(self, most: int) -> tuple[list[T], int]:
        """Take the oldest items out, one at least, and how many were dropped before.

        None at all are left when they are finished.

        Args:
          most: what they may weigh together; the first may weigh more.

        """
        while not self._items:
            if self.is_finished:
                return [], 0
            self._changed = trio.Event()
            await self._changed.wait()
        taken = [self._pop()]
        room = most - self.weigh(taken[0])
        while self._items and (room := room - self.weigh(self._items[0])) >= 0:
            taken.append(self._pop())
        dropped, self.dropped = self.dropped, 0
        return taken, dropped

    def __len__(self) -> int:
        return len(self._items)

    def _trim(self) -> None:
        while self._weight > self.limit and len(self._items) > 1:
            self._pop()
            self.dropped += 1

    def _pop(self) -> T:
        item = self._items.popleft()
        self._weight -= self.weigh(item)
        return item

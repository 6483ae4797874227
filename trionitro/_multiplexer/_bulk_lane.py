"""The bulk lane: a second mover, in a thread of its own while there is bulk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import attrs
import trio

from trionitro._multiplexer._mover import Mover
from trionitro._multiplexer._share import Share

__all__ = ["BulkLane"]


@attrs.define(eq=False)
class BulkLane:
    """Moves bulk beside Trio's thread: the copying itself releases the interpreter.

    The thread holds a lock during a pass and no longer, and a pass never blocks. That
    makes it fit for Trio's thread to wait for: no longer than moving a megabyte or two
    in memory takes, when a flow comes, or is given up.

    Attributes:
      mover: use it within :meth:`held` only.
      on_starved: called in the thread, which holds the lock then, when it is kept from
          running: by a task that computes, or by other processes.
      share: tells that.
      is_running: whether there is a thread.

    """

    mover: Mover
    on_starved: Callable[[], None]
    share: Share = attrs.field(factory=Share)
    is_running: bool = False
    _moving: threading.Lock = attrs.field(factory=threading.Lock)
    _turnstile: threading.Lock = attrs.field(factory=threading.Lock)
    _stopping: bool = False
    #: How often the thread was kept from moving.
    _interruptions: int = 0
    #: Readable always, so that watching it ends a poll. It is there from the start:
    #: later there may be no descriptor left for one.
    _bell: int = attrs.field(factory=lambda: os.eventfd(1, os.EFD_CLOEXEC))
    #: Not Trio's default one: the application's threads keep all of their places.
    _own_place: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(1)
    )

    @contextmanager
    def held(self) -> Iterator[Mover]:
        """Keep the thread from moving anything meanwhile."""
        # The thread goes through the turnstile before each pass: without it, it would
        # have the lock again before anybody who waits for it has woken up.
        with self._turnstile, self._moving:
            self._interruptions += 1
            yield self.mover

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have a thread move the flows that are here."""
        self._stopping = False
        self.is_running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    partial(trio.to_thread.run_sync, self._run, limiter=self._own_place)
                )
                try:
                    yield
                finally:
                    self._stopping = True
                    self.mover.watch_also(self._bell)
        finally:
            self.is_running = False
            self.mover.unwatch_also(self._bell)

    def _run(self) -> None:
        while not self._stopping:
            before = self._interruptions
            events = self.mover.poll(0 if self.mover.has_more() else -1)
            with self._turnstile:
                pass
            with self._moving:
                began, ran = time.perf_counter(), time.thread_time()
                # If a flow was taken away, another may have got its descriptors since.
                # What is still so will be reported again.
                self.mover.serve(events if before == self._interruptions else ())
                taken, run = time.perf_counter() - began, time.thread_time() - ran
                if self.share.is_too_small(taken, run):
                    self.on_starved()

    def __del__(self) -> None:
        os.close(self._bell)

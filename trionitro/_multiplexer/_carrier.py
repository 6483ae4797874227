"""Carrying flows: one task waits for any number of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final, final

import attrs
import trio

from trionitro._multiplexer._flow import Flow, Group
from trionitro._multiplexer._lanes import Lanes
from trionitro._transfer import Ending, Progress

__all__ = ["Carrier", "carry"]

#: Each Trio run has lanes of its own, made when they are first needed.
_lanes: Final[trio.lowlevel.RunVar[Lanes]] = trio.lowlevel.RunVar("trionitro lanes")

#: A sweep looks at every flow. Where there are more than so many ...
_MANY: Final = 64

#: ... it is put off by this part of the timeout, so that those which have been idle for
#: nearly as long share it.
_SHARED: Final = 1 / 64


def _lanes_of_this_run() -> Lanes:
    try:
        return _lanes.get()
    except LookupError:
        # A second lane pays where there is a processor for it.
        many = len(os.sched_getaffinity(0)) > 1
        lanes = Lanes.double() if many else Lanes.single()
        _lanes.set(lanes)
        return lanes


@final
@attrs.define(eq=False)
class Carrier:
    """Passes bytes and end-of-file between pairs of sockets, in one task for all.

    A connection that only waits for its bytes to be moved needs no task of its own:
    add it here, have :meth:`run` run, and be called when it has ended.

    Attributes:
      idle_timeout: seconds after which a pair is given up, when nothing arrived and
          nothing was passed on. Where there are very many, up to a 64th later.

    """

    idle_timeout: float = math.inf
    _lanes: Lanes = attrs.field(init=False, factory=_lanes_of_this_run)
    _group: Group = attrs.field(init=False, factory=Group)
    _is_over: bool = attrs.field(init=False, default=False)
    _sweep: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)

    def add(
        self,
        left: trio.socket.SocketType,
        right: trio.socket.SocketType,
        progress: Progress,
        on_end: Callable[[Ending | None], object],
    ) -> None:
        """Carry another pair until both directions are done.

        Args:
          left: one connected socket; nobody else may use it meanwhile.
          right: the other, likewise.
          progress: counted up as bytes are passed on.
          on_end: called in Trio's thread, and from whatever task, with how it ended,
              or with None if :meth:`run` was cancelled: at once, if it was before. The
              sockets are not touched again, and stay open for it to close. It must
              not raise.

        Raises:
          trio.ClosedResourceError: if one of them is closed already.

        """
        flow = Flow.between(left, right, progress)
        if self._is_over:
            # Nobody would wait for it, nor ever let go of it.
            on_end(None)
            return
        flow.moved_at = flow.seen_at = trio.current_time()
        flow.seen = sum(flow.counts)
        flow.on_end = on_end
        if self.idle_timeout != math.inf:
            due = flow.moved_at + self.idle_timeout
            self._sweep.deadline = min(self._sweep.deadline, due)
        self._lanes.add(flow, self._group)

    def close(self) -> None:
        """Take no more; :meth:`run` returns when what is there has ended."""
        self._group.is_open = False
        self._lanes.call(self._group)

    # Control-C must not strike between the reading and the writing of somebody's
    # bytes. Trio gives it to the main task instead, at its next checkpoint.
    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Wait for everything that was or will be added, until closed.

        Cancellation:
          All that is carried is given up at once.

        """
        group, lanes = self._group, self._lanes
        try:
            while not group.is_done():
                if lanes.bulk is not None and lanes.is_stranded(group):
                    async with lanes.bulk.running():
                        await self._wait_with_thread()
                    lanes.pass_on()
                else:
                    await self._wait()
        finally:
            self._is_over = True
            lanes.give_up(group)

    async def _wait_with_thread(self) -> None:
        group, lanes = self._group, self._lanes
        lanes.drives(group)
        try:
            while not lanes.is_called(group):
                await self._wait()
        except BaseException:
            # Before the thread comes to rest, not afterwards: this takes a while.
            lanes.give_up(group)
            raise
        finally:
            lanes.drives_no_more(group)

    async def _wait(self) -> None:
        if self.idle_timeout == math.inf:
            await self._lanes.wait(self._group)
            return
        self._sweep = trio.CancelScope(deadline=self._sweep.deadline)
        with self._sweep:
            await self._lanes.wait(self._group)
        if trio.current_time() >= self._sweep.deadline:
            self._give_up_idle()

    def _give_up_idle(self) -> None:
        """Give up what has been idle for long enough, and see when to look again."""
        # It may not have been: when a clock jumps, as in tests, or a process was
        # stopped for a while, the deadline is past before all is done that was to be
        # done until then.
        self._lanes.settle()
        bulk = self._lanes.bulk
        with nullcontext() if bulk is None else bulk.held():
            now = trio.current_time()
            due = {flow: self._due(flow, now) for flow in self._group.flows}
            idle = [flow for flow, when in due.items() if when <= now]
            for flow in idle:
                self._lanes.let_go_idle(flow)
        for flow in idle:
            self._lanes.ended(flow)
        next_due = min((when for when in due.values() if when > now), default=math.inf)
        if len(due) > _MANY:
            next_due += self.idle_timeout * _SHARED
        self._sweep = trio.CancelScope(deadline=next_due)

    def _due(self, flow: Flow, now: float) -> float:
        """Return when ``flow`` will have been idle for long enough."""
        waits = any(direction.queued for direction in flow.directions)
        # Bytes that took no time at all were moved under a clock that stood still, as
        # in tests, and then jumped: it doesn't tell for how long there were none.
        stood_still = flow.moved_at <= flow.seen_at and sum(flow.counts) != flow.seen
        flow.seen, flow.seen_at = sum(flow.counts), now
        since = flow.moved_at
        if since + self.idle_timeout <= now and (waits or stood_still or flow.ending):
            since = now
        return since + self.idle_timeout


@trio.lowlevel.enable_ki_protection
async def carry(
    left: trio.socket.SocketType,
    right: trio.socket.SocketType,
    progress: Progress,
    idle_timeout: float = math.inf,
) -> Ending:
    """Carry one pair of sockets, as a :class:`Carrier` does.

    Raises:
      trio.ClosedResourceError: if one of them is closed already.

    Cancellation:
      The sockets are not touched again, and stay open for the caller to close.

    """
    carrier = Carrier(idle_timeout)
    endings: list[Ending | None] = []
    carrier.add(left, right, progress, endings.append)
    carrier.close()
    await carrier.run()
    (ending,) = endings
    assert ending is not None
    return ending

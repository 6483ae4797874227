"""The lanes of one Trio run, and the tasks that wait for their flows."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Final, Self

import attrs
import trio

from trionitro._multiplexer._bulk_lane import BulkLane
from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._linger import Habit
from trionitro._multiplexer._mover import Mover
from trionitro._transfer import Ending

__all__ = ["Lanes"]

#: How long the leader goes on before Trio's other tasks get their turn, in seconds.
_SLICE: Final = 250e-6

#: In the bulk lane nobody waits for an answer: larger budgets beside small messages.
_BULK_TURNS: Final = 4
_BULK_READ: Final = 2**16


@attrs.define(eq=False)
class Lanes:
    """Moves flows, and wakes the tasks that wait for them.

    Attributes:
      small: the mover that one of the waiting tasks drives.
      bulk: the lane beside it, or None for a single lane.
      leader: the flow whose task drives, or None.

    """

    small: Mover = attrs.field(init=False)
    bulk: BulkLane | None = attrs.field(init=False, default=None)
    leader: Flow | None = None
    _interrupt_leader: Callable[[], None] = attrs.field(init=False)
    _parked: dict[Flow, trio.lowlevel.Task] = attrs.field(factory=dict)
    _habit: Habit = attrs.field(factory=Habit)
    _token: trio.lowlevel.TrioToken = attrs.field(
        factory=trio.lowlevel.current_trio_token
    )

    @classmethod
    def single(cls) -> Self:
        """Make a single lane: everything moves in Trio's thread."""
        lanes = cls()
        clock = trio.lowlevel.current_clock().current_time
        lanes.small = Mover(clock, on_end=lanes.wake)
        return lanes

    @classmethod
    def double(cls) -> Self:
        """Make two lanes: bulk moves in a thread of its own."""
        lanes = cls.single()
        bulk = Mover(
            lanes.small.clock,
            on_end=lanes.wake_from_thread,
            on_quiet=lanes.send_home,
            turns_beside_small=_BULK_TURNS,
            read_beside_small=_BULK_READ,
        )
        lanes.bulk = BulkLane(bulk)
        lanes.small.on_bulk = lanes.move_to_bulk_lane
        return lanes

    # --- flows --------------------------------------------------------------------

    def add(self, flow: Flow) -> None:
        """Take in a new flow. Its bytes move whenever somebody leads."""
        self.small.attach(flow)

    def give_up(self, flow: Flow) -> None:
        """Let go of a flow, wherever it is, and see to it that the others go on."""
        flow.given_up = True
        if self.bulk is not None and flow.in_bulk_lane:
            with self.bulk.held() as mover:
                mover.remove(flow)
        self.small.remove(flow)
        if self.leader is None and self._parked:
            self.wake(next(iter(self._parked)))
        if self.bulk is not None and not self.bulk.is_running:
            stranded = self.bulk.mover.any_flow()
            if stranded is not None:
                self.wake(stranded)

    def is_stranded(self, flow: Flow) -> bool:
        """Say whether ``flow`` is in the bulk lane while that has no thread."""
        return flow.in_bulk_lane and self.bulk is not None and not self.bulk.is_running

    def move_to_bulk_lane(self, flow: Flow) -> None:
        """Hand a flow that has become bulk to the other mover."""
        assert self.bulk is not None
        self.small.detach(flow)
        flow.in_bulk_lane = True
        with self.bulk.held() as mover:
            mover.attach(flow)
        if not self.bulk.is_running:
            self.wake(flow)  # to give it a thread

    def send_home(self, flow: Flow) -> None:
        """Have a flow that isn't bulk any more come home; called in the thread."""
        assert self.bulk is not None
        self.bulk.mover.detach(flow)
        self._token.run_sync_soon(self._come_home, flow)

    def _come_home(self, flow: Flow) -> None:
        if not flow.given_up and flow.ending is None:
            flow.in_bulk_lane = False
            self.small.attach(flow)

    # --- tasks --------------------------------------------------------------------

    # Thousands of tasks may wait, most of them idly: what follows is written so that
    # one that is parked holds no more coroutines than it needs.

    def wait(self, flow: Flow, idle_timeout: float = math.inf) -> Awaitable[object]:
        """Wait until something is to be done about ``flow``, leading if need be.

        That it has ended, needs a thread, or has been idle; or nothing at all.

        """
        if idle_timeout == math.inf:
            return self._lead(flow) if self.leader is None else self._park(flow)
        return self._wait_impatiently(flow, idle_timeout)

    async def _wait_impatiently(self, flow: Flow, idle_timeout: float) -> None:
        counts = flow.counts.copy()
        with trio.CancelScope(deadline=flow.moved_at + idle_timeout):
            await self.wait(flow)
        # It may have moved since the deadline was set: then that was no idleness.
        if flow.ending is None and trio.current_time() >= flow.moved_at + idle_timeout:
            self._end_if_idle(flow, idle_timeout, counts)

    def _end_if_idle(
        self, flow: Flow, idle_timeout: float, counts_before: list[int]
    ) -> None:
        """Give up an idle flow, unless something has moved after all.

        It may have: when a clock jumps, as in tests, or a process was stopped for a
        while, the deadline is past before all is done that was to be done until then.

        """
        bulk = self.bulk if flow.in_bulk_lane else None
        with nullcontext(self.small) if bulk is None else bulk.held() as mover:
            mover.serve(mover.poll())
            if flow.counts != counts_before:
                flow.moved_at = trio.current_time()
            idle = trio.current_time() >= flow.moved_at + idle_timeout
            if idle and flow.ending is None:
                flow.ending = Ending.IDLE
                mover.remove(flow)

    def wake(self, flow: Flow) -> None:
        """Have the task of ``flow`` look at it, if it waits."""
        if (task := self._parked.pop(flow, None)) is not None:
            trio.lowlevel.reschedule(task)
        elif flow is self.leader:
            self._interrupt_leader()

    def wake_from_thread(self, flow: Flow) -> None:
        """Do the same, called in the thread of the bulk lane."""
        self._token.run_sync_soon(self.wake, flow)

    def _park(self, flow: Flow) -> Awaitable[object]:
        self._parked[flow] = trio.lowlevel.current_task()
        unpark = partial(self._unpark, flow)
        return trio.lowlevel.wait_task_rescheduled(unpark)  # noqa: ASYNC105  see above

    def _unpark(self, flow: Flow, raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked.pop(flow, None)
        return trio.lowlevel.Abort.SUCCEEDED

    async def _lead(self, flow: Flow) -> None:
        self.leader = flow
        with trio.CancelScope() as scope:
            self._interrupt_leader = scope.cancel
            try:
                while flow.ending is None and not self.is_stranded(flow):
                    await trio.lowlevel.wait_readable(self.small.fileno())
                    await self._drive(flow)
            finally:
                self.leader = None

    async def _drive(self, flow: Flow) -> None:
        """Go on for as long as there is something to do."""
        small = self.small
        pause_at = time.perf_counter() + _SLICE
        small.serve(small.poll())
        while flow.ending is None and not self.is_stranded(flow):
            if small.has_more():
                small.serve(small.poll())
            elif not self._linger():
                return
            if time.perf_counter() > pause_at:
                await trio.lowlevel.checkpoint()
                pause_at = time.perf_counter() + _SLICE

    def _linger(self) -> bool:
        """Look again, and again where that has paid lately; True if it did now."""
        poll = self.small.poll
        events = poll()
        if not events and self._habit.is_worth_it():
            alone = self.bulk is None or not self.bulk.is_running
            give_up_at = time.perf_counter() + self._habit.patience
            while not events and time.perf_counter() < give_up_at:
                if alone:
                    os.sched_yield()  # who is to answer may need this processor
                events = poll()
            self._habit.learn(paid=bool(events))
        self.small.serve(events)
        return bool(events)

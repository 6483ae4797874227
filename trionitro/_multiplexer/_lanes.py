"""The lanes of one Trio run, and the tasks that wait for flows in them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Self

import attrs
import trio

from trionitro._multiplexer._bulk_lane import BulkLane
from trionitro._multiplexer._flow import Flow, Group
from trionitro._multiplexer._linger import Habit
from trionitro._multiplexer._mover import Mover
from trionitro._transfer import Ending

__all__ = ["Lanes"]

#: How long the leader goes on before Trio's other tasks get their turn, in seconds.
_SLICE: Final = 250e-6

#: In the bulk lane nobody waits for an answer: larger budgets beside small messages.
_BULK_TURNS: Final = 4
_BULK_READ: Final = 2**16

#: For how long nothing is moved there, when its thread has got no share of the time.
_BULK_REST: Final = 2.0

#: How much has happened at most, in a lane with as many sockets as it ever has.
_ALL: Final = 2**17


@attrs.define(eq=False)
class Lanes:
    """Moves flows, and calls the tasks that wait for them.

    All but :meth:`send_home`, :meth:`send_all_home` and :meth:`ended_in_thread` is for
    Trio's thread.

    Attributes:
      small: the mover that one of the waiting tasks drives.
      bulk: the lane beside it, or None for a single lane.
      leader: the group whose task drives, or None.

    """

    small: Mover = attrs.field(init=False)
    bulk: BulkLane | None = attrs.field(init=False, default=None)
    leader: Group | None = None
    _interrupt_leader: Callable[[], None] = attrs.field(init=False)
    _parked: dict[Group, trio.lowlevel.Task] = attrs.field(factory=dict)
    #: The groups that have flows in the bulk lane.
    _bulky: set[Group] = attrs.field(factory=set)
    #: The group whose task runs the bulk lane's thread, or None.
    _driver: Group | None = None
    #: When the bulk lane is tried again; infinite unless it rests.
    _retry_at: float = math.inf
    #: What had become bulk when the bulk lane rested, or when it came to rest.
    _kept_here: set[Flow] = attrs.field(factory=set)
    _habit: Habit = attrs.field(factory=Habit)
    _token: trio.lowlevel.TrioToken = attrs.field(
        factory=trio.lowlevel.current_trio_token
    )

    @classmethod
    def single(cls) -> Self:
        """Make a single lane: everything moves in Trio's thread."""
        lanes = cls()
        clock = trio.lowlevel.current_clock().current_time
        lanes.small = Mover(clock, on_end=lanes.ended)
        return lanes

    @classmethod
    def double(cls) -> Self:
        """Make two lanes: bulk moves in a thread of its own."""
        lanes = cls.single()
        bulk = Mover(
            lanes.small.clock,
            on_end=lanes.ended_in_thread,
            on_quiet=lanes.send_home,
            turns_beside_small=_BULK_TURNS,
            read_beside_small=_BULK_READ,
        )
        lanes.bulk = BulkLane(bulk, on_starved=lanes.send_all_home)
        lanes.small.on_bulk = lanes.move_to_bulk_lane
        return lanes

    # --- flows --------------------------------------------------------------------

    def add(self, flow: Flow, group: Group) -> None:
        """Take in a new flow. Its bytes move whenever somebody leads."""
        flow.group = group
        group.flows.add(flow)
        self.small.attach(flow)

    def give_up(self, group: Group) -> None:
        """Let go of all flows of a group, and see to it that the others go on."""
        if group.bulky:
            assert self.bulk is not None
            with self.bulk.held() as mover:
                for flow in group.bulky:
                    mover.remove(flow)
        for flow in group.flows:
            self.small.remove(flow)
        flows = list(group.flows)
        group.flows.clear()
        group.bulky.clear()
        self._bulky.discard(group)
        self.pass_on()
        for flow in flows:
            flow.on_end(flow.ending)

    def ended(self, flow: Flow) -> None:
        """Take note that a flow has ended: no mover has it any more."""
        group = flow.group
        if flow not in group.flows:
            return  # it was given up before the thread's word of its end arrived
        group.flows.discard(flow)
        self._leaves_bulk(flow)
        flow.on_end(flow.ending)
        if group.is_done():
            self.call(group)

    def let_go_idle(self, flow: Flow) -> None:
        """End a flow that has been idle, while the thread is held.

        Then call :meth:`ended`, when it is held no more.

        """
        flow.ending = Ending.IDLE
        self.small.remove(flow)
        if self.bulk is not None:
            self.bulk.mover.remove(flow)

    def ended_in_thread(self, flow: Flow) -> None:
        """Do the same, called in the thread of the bulk lane."""
        self._token.run_sync_soon(self.ended, flow)

    def move_to_bulk_lane(self, flow: Flow) -> None:
        """Hand a flow that has become bulk to the other mover, unless that rests."""
        assert self.bulk is not None
        if self._retry_at != math.inf:
            self._kept_here.add(flow)
            return
        self.small.detach(flow)
        flow.group.bulky.add(flow)
        self._bulky.add(flow.group)
        with self.bulk.held() as mover:
            mover.attach(flow)
        if not self.bulk.is_running:
            self.call(flow.group)  # to give it a thread

    def send_home(self, flow: Flow) -> None:
        """Have a flow that isn't bulk any more come home; called in the thread."""
        assert self.bulk is not None
        self.bulk.mover.detach(flow)
        self._token.run_sync_soon(self._come_home, flow)

    def send_all_home(self) -> None:
        """Let the bulk lane rest, and have all come home; called in the thread."""
        assert self.bulk is not None
        self._retry_at = time.perf_counter() + _BULK_REST
        while (flow := self.bulk.mover.any_flow()) is not None:
            self.send_home(flow)

    def _come_home(self, flow: Flow) -> None:
        if flow in flow.group.flows and flow.ending is None:
            self._leaves_bulk(flow)
            self.small.attach(flow)
            if self._retry_at != math.inf:
                self._kept_here.add(flow)

    def _try_bulk_lane_again(self) -> None:
        self._retry_at = math.inf
        kept_here, self._kept_here = self._kept_here, set()
        for flow in kept_here:
            is_here = flow in flow.group.flows and flow.ending is None
            if is_here and any(direction.bulk for direction in flow.directions):
                self.move_to_bulk_lane(flow)

    def _leaves_bulk(self, flow: Flow) -> None:
        group = flow.group
        group.bulky.discard(flow)
        if not group.bulky:
            self._bulky.discard(group)
        if self._driver is None:
            self.pass_on()  # who was called to run the thread may not need it now
        elif not self._bulky:
            self.call(self._driver)  # to let the thread go

    def settle(self) -> None:
        """Move what can be moved now, in both lanes."""
        self.small.serve(self.small.poll(most=_ALL))
        if self.bulk is not None:
            with self.bulk.held() as mover:
                mover.serve(mover.poll(most=_ALL))

    # --- tasks --------------------------------------------------------------------

    def is_called(self, group: Group) -> bool:
        """Whether the task of ``group`` has something else to do than wait.

        That is to go, to give its bulk a thread, or to let the thread go.

        """
        if group.has_thread:
            return not self._bulky or group.is_done()
        return group.is_done() or self.is_stranded(group)

    def is_stranded(self, group: Group) -> bool:
        """Whether ``group`` has flows in the bulk lane while that has no thread."""
        return bool(group.bulky) and self.bulk is not None and not self.bulk.is_running

    def wait(self, group: Group) -> Awaitable[object]:
        """Wait until ``group`` is called, leading if need be.

        Not a coroutine of its own: thousands may wait, and most of them idly.

        """
        return self._lead(group) if self.leader is None else self._park(group)

    def call(self, group: Group) -> None:
        """Have the task of ``group`` look at it, if it waits."""
        if (task := self._parked.pop(group, None)) is not None:
            trio.lowlevel.reschedule(task)
        elif group is self.leader:
            self._interrupt_leader()

    def drives(self, group: Group) -> None:
        """Take note that the task of ``group`` runs the bulk lane's thread."""
        self._driver = group
        group.has_thread = True

    def drives_no_more(self, group: Group) -> None:
        """Take note that it is about to let the thread come to rest."""
        self._driver = None
        group.has_thread = False
        self.pass_on()

    def pass_on(self) -> None:
        """See to it that somebody leads, and that bulk has a thread."""
        if self.leader is None and self._parked:
            self.call(next(iter(self._parked)))
        if self._bulky and self.bulk is not None and not self.bulk.is_running:
            self.call(next(iter(self._bulky)))

    def _park(self, group: Group) -> Awaitable[object]:
        self._parked[group] = trio.lowlevel.current_task()
        unpark = partial(self._unpark, group)
        return trio.lowlevel.wait_task_rescheduled(unpark)  # noqa: ASYNC105  see above

    def _unpark(self, group: Group, raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked.pop(group, None)
        return trio.lowlevel.Abort.SUCCEEDED

    async def _lead(self, group: Group) -> None:
        self.leader = group
        with trio.CancelScope() as scope:
            self._interrupt_leader = scope.cancel
            try:
                while not self.is_called(group):
                    await trio.lowlevel.wait_readable(self.small.fileno())
                    await self._drive(group)
            finally:
                self.leader = None

    async def _drive(self, group: Group) -> None:
        """Go on for as long as there is something to do."""
        small = self.small
        pause_at = self._begin_slice()
        small.serve(small.poll())
        while not self.is_called(group):
            if small.has_more():
                small.serve(small.poll())
            elif not self._linger():
                return
            if time.perf_counter() > pause_at:
                await trio.lowlevel.checkpoint()
                pause_at = self._begin_slice()

    def _begin_slice(self) -> float:
        """Try the bulk lane again if it is time; return when others have their turn."""
        now = time.perf_counter()
        if now > self._retry_at:
            self._try_bulk_lane_again()
        return now + _SLICE

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

"""Who leads, and which lane a flow is in."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.multiplexer.runs import (
    BULK,
    Carried,
    carrying,
    on_each,
    swallow,
    until,
    use,
)
from tests.relay_world import SOCKETS, TCP, UNIX, Kind, break_off
from trionitro import Ending
from trionitro._multiplexer._lanes import Lanes
from trionitro._multiplexer._mover import Mover

on_each_kind = pytest.mark.parametrize("kind", SOCKETS, ids=lambda kind: kind.name)


def leading(lanes: Lanes, carried: list[Carried]) -> Carried:
    """Return the one whose flow's task leads."""
    (leader,) = [
        one
        for one in carried
        if lanes.leader is not None
        if any(flow.counts is one.progress.counts for flow in lanes.leader.flows)
    ]
    return leader


def in_bulk_lane(lanes: Lanes) -> int:
    assert lanes.bulk is not None
    return len(lanes.bulk.mover._by_source) // 2


async def come_home(lanes: Lanes, one: Carried) -> None:
    """Have one talk quietly for so long that it isn't bulk any more."""
    here = in_bulk_lane(lanes)
    while in_bulk_lane(lanes) == here:
        await one.ask()


# --- one leads ------------------------------------------------------------------------


@on_each
async def test_when_the_leader_is_cancelled_another_leads(
    make_lanes: Callable[[], Lanes],
) -> None:
    lanes = use(make_lanes)
    async with carrying(UNIX, 3) as carried:
        while carried:
            leader = leading(lanes, carried)
            for one in carried:
                await one.ask()
            await leader.cancel()
            carried.remove(leader)
            await wait_all_tasks_blocked()

        assert lanes.leader is None


@on_each
async def test_when_the_leader_s_flow_ends_another_leads(
    make_lanes: Callable[[], Lanes],
) -> None:
    lanes = use(make_lanes)
    async with carrying(UNIX, 3) as carried:
        while carried:
            leader = leading(lanes, carried)
            await leader.client.send_eof()
            await leader.server.send_eof()
            await leader.ended.wait()
            assert leader.ending is Ending.FINISHED
            carried.remove(leader)
            for one in carried:
                await one.ask()


async def test_when_all_but_one_are_cancelled_at_once_that_one_leads() -> None:
    """Whoever is woken to lead may be cancelled before it does."""
    use(Lanes.single)
    async with carrying(UNIX, 8) as carried:
        for one in carried[:-1]:
            one.scope.cancel()

        await carried[-1].ask()


async def test_a_leader_that_has_been_idle_leaves_the_lead(
    autojump_clock: MockClock,
) -> None:
    lanes = use(Lanes.single)
    async with carrying(UNIX, 1, idle_timeout=10) as idle, carrying(UNIX) as busy:
        assert leading(lanes, [*idle, *busy]) is idle[0]
        await idle[0].ended.wait()

        assert idle[0].ending is Ending.IDLE
        assert trio.current_time() == pytest.approx(10)
        await busy[0].ask()


# --- two lanes ------------------------------------------------------------------------


@on_each_kind
async def test_bulk_moves_over_and_comes_home_when_it_is_quiet(kind: Kind) -> None:
    lanes = use(Lanes.double)
    assert lanes.bulk is not None
    async with carrying(kind) as (one,):
        for _ in range(3):
            await one.become_bulk()
            assert in_bulk_lane(lanes) == 1
            assert lanes.bulk.is_running
            await one.answer()

            await come_home(lanes, one)
            await one.ask()
            await one.answer()

        await one.cancel()
        assert not lanes.bulk.is_running


async def test_who_has_the_thread_may_also_lead() -> None:
    lanes = use(Lanes.double)
    async with carrying(UNIX, 2) as carried:
        bulky = leading(lanes, carried)
        (other,) = [one for one in carried if one is not bulky]
        await bulky.become_bulk()

        for one in (other, bulky, other):
            await one.ask()
            await one.answer()


@pytest.mark.parametrize("how", ["cancelled", "finished"])
async def test_when_the_one_with_the_thread_ends_another_has_it(how: str) -> None:
    """Bulk that is left in the lane goes on, and so do small messages beside it."""
    lanes = use(Lanes.double)
    async with carrying(UNIX, 4) as carried:
        *bulky, small = carried
        for one in bulky:
            await one.become_bulk()
        assert in_bulk_lane(lanes) == 3

        for one in bulky[:]:
            if how == "cancelled":
                await one.cancel()
            else:
                await one.client.send_eof()
                await one.server.send_eof()
                await one.ended.wait()
            bulky.remove(one)
            for other in bulky:
                await other.become_bulk()
            await small.ask()

        assert lanes.bulk is not None
        await until(lambda: lanes.bulk is None or not lanes.bulk.is_running)
        assert in_bulk_lane(lanes) == 0


async def test_while_the_thread_comes_to_rest_another_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long that takes: a pass may, and so may another process's turn."""
    lanes = use(Lanes.double)
    cancelled, at_rest = threading.Event(), threading.Event()
    poll = Mover.poll

    def come_to_rest(mover: Mover, timeout: float = 0) -> list[tuple[int, int]]:
        events = poll(mover, timeout)
        if timeout and cancelled.is_set():
            assert at_rest.wait(5)
        return events

    monkeypatch.setattr(Mover, "poll", come_to_rest)
    async with carrying(UNIX, 2) as carried:
        leader = leading(lanes, carried)
        (other,) = [one for one in carried if one is not leader]
        await leader.become_bulk()
        assert leading(lanes, carried) is leader
        cancelled.set()
        leader.scope.cancel()
        try:
            with trio.fail_after(2):
                await other.ask()
            assert not leader.ended.is_set()
        finally:
            at_rest.set()


async def test_when_all_bulk_but_one_is_cancelled_at_once_that_one_goes_on() -> None:
    use(Lanes.double)
    async with carrying(UNIX, 5) as carried:
        for one in carried:
            await one.become_bulk()
        for one in carried[:-1]:
            one.scope.cancel()

        await carried[-1].become_bulk()


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_peer_that_breaks_in_the_bulk_lane_ends_its_flow(side: str) -> None:
    lanes = use(Lanes.double)
    async with carrying(TCP, 2) as carried:
        broken, whole = carried
        for one in carried:
            await one.become_bulk()
        await break_off(getattr(broken, side))
        await broken.ended.wait()

        blamed = {"client": Ending.LEFT_BROKE, "server": Ending.RIGHT_BROKE}[side]
        assert broken.ending is blamed
        await whole.become_bulk()
        assert in_bulk_lane(lanes) == 1


async def test_a_flow_that_is_given_up_on_its_way_home_stays_away() -> None:
    lanes = use(Lanes.double)
    assert lanes.bulk is not None
    async with carrying(UNIX) as (one,):
        await one.become_bulk()
        flow = lanes.bulk.mover.any_flow()
        assert flow is not None
        with lanes.bulk.held() as mover:
            mover.detach(flow)
        await one.cancel()
        lanes._come_home(flow)

        assert lanes.small.any_flow() is None
        assert flow.ending is None


async def test_a_flow_that_ends_on_its_way_home_is_not_watched_again() -> None:
    lanes = use(Lanes.double)
    assert lanes.bulk is not None
    async with carrying(UNIX) as (one,):
        await one.become_bulk()
        flow = lanes.bulk.mover.any_flow()
        assert flow is not None
        with lanes.bulk.held() as mover:
            mover.detach(flow)
            flow.ending = Ending.LEFT_BROKE
        lanes._come_home(flow)

        assert lanes.small.any_flow() is None
        lanes.ended(flow)
        await one.ended.wait()
        assert one.ending is Ending.LEFT_BROKE


async def test_bulk_on_its_way_is_no_idleness_though_the_clock_jumps(
    autojump_clock: MockClock,
) -> None:
    """All tasks wait for the thread, which Trio can not know to be at work."""
    use(Lanes.double)
    async with carrying(UNIX, 1, idle_timeout=10) as (one,):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.client.send_all, bytes(32 * BULK))
            await swallow(one.server, 32 * BULK)

        await one.ended.wait()
        assert one.ending is Ending.IDLE
        assert one.progress.left_to_right == 32 * BULK


async def test_nobody_moves_a_flow_that_was_found_idle() -> None:
    """The thread must not find another ending for it meanwhile."""
    lanes = use(Lanes.double)
    assert lanes.bulk is not None
    async with carrying(UNIX) as (one,):
        await one.become_bulk()
        flow = lanes.bulk.mover.any_flow()
        assert flow is not None

        with lanes.bulk.held():
            lanes.let_go_idle(flow)
        lanes.ended(flow)

        assert in_bulk_lane(lanes) == 0
        await one.ended.wait()
        assert one.ending is Ending.IDLE


async def test_an_idle_flow_in_the_bulk_lane_is_given_up(
    autojump_clock: MockClock,
) -> None:
    lanes = use(Lanes.double)
    async with carrying(UNIX, 1, idle_timeout=10) as (one,):
        await one.become_bulk()
        await one.ended.wait()

        assert one.ending is Ending.IDLE
        assert in_bulk_lane(lanes) == 0


# --- a bulk lane whose thread gets no time --------------------------------------------


def starve(lanes: Lanes) -> None:
    """Do what the thread does when it finds that it is kept from running."""
    assert lanes.bulk is not None
    with lanes.bulk.held():
        lanes.send_all_home()


async def end_the_rest(lanes: Lanes, one: Carried) -> None:
    """Have the bulk lane tried again, which takes somebody who leads."""
    lanes._retry_at = -math.inf
    await one.ask()


async def test_while_the_bulk_lane_s_thread_starves_bulk_moves_in_trio_s() -> None:
    lanes = use(Lanes.double)
    assert lanes.bulk is not None
    async with carrying(TCP, 3) as carried:
        for one in carried[:2]:
            await one.become_bulk()

        starve(lanes)
        await until(lambda: lanes.bulk is None or not lanes.bulk.is_running)
        for one in carried:  # two that were bulk before, and one that was not
            await one.become_bulk()
            await one.answer()

        assert in_bulk_lane(lanes) == 0


@pytest.mark.parametrize("busy", [False, True], ids=["with pauses", "without a pause"])
async def test_after_a_rest_the_bulk_lane_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, *, busy: bool
) -> None:
    lanes = use(Lanes.double)
    linger = Lanes._linger
    if busy:
        monkeypatch.setattr(Lanes, "_linger", lambda lanes: linger(lanes) or True)
    async with carrying(TCP, 4) as carried:
        quiet, small, *bulky = carried
        for one in (quiet, *bulky):
            await one.become_bulk()
        starve(lanes)
        await until(lambda: len(lanes._kept_here) == 3)
        for _ in range(100):
            await quiet.ask()

        await end_the_rest(lanes, small)

        await until(lambda: in_bulk_lane(lanes) == 2)
        for one in carried:
            await one.ask()
            await one.answer()


async def test_who_has_ended_during_the_rest_does_not_come_back() -> None:
    lanes = use(Lanes.double)
    async with carrying(UNIX, 3) as carried:
        cancelled, finished, small = carried
        for one in (cancelled, finished):
            await one.become_bulk()
        starve(lanes)
        await wait_all_tasks_blocked()
        await cancelled.cancel()
        await finished.client.send_eof()
        await finished.server.send_eof()
        await finished.ended.wait()

        await end_the_rest(lanes, small)

        assert in_bulk_lane(lanes) == 0
        assert not lanes._bulky
        assert not lanes._kept_here

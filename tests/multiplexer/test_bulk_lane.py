"""The bulk lane's thread: what it may do while, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import attrs
import pytest
import trio

from tests.multiplexer.wires import make_mover, open_descriptors, wired
from trionitro._multiplexer._bulk_lane import BulkLane
from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._mover import Mover
from trionitro._multiplexer._share import Share


def ignore(flow: Flow) -> None:
    pass


def nothing() -> None:
    pass


@attrs.define(eq=False)
class ScriptedMover(Mover):
    """Polls as the script says, and remembers what it was to serve."""

    clock: Callable[[], float] = float
    on_end: Callable[[Flow], None] = ignore
    script: list[Callable[[], list[tuple[int, int]]]] = attrs.field(factory=list)
    served: list[list[tuple[int, int]]] = attrs.field(factory=list)
    pass_time: float = 0.0

    def poll(self, timeout: float = 0, most: int = 0) -> list[tuple[int, int]]:
        """Do the next thing in the script."""
        return self.script.pop(0)()

    def serve(self, events: Iterable[tuple[int, int]]) -> None:
        """Remember them, and be kept from running for a while."""
        self.served.append(list(events))
        threading.Event().wait(self.pass_time)


def test_what_was_polled_before_a_flow_went_is_not_served_afterwards() -> None:
    """Another socket may have the descriptor by then, and not be ready for it."""
    mover = ScriptedMover()
    lane = BulkLane(mover, nothing)

    def be_interrupted() -> list[tuple[int, int]]:
        with lane.held():
            pass
        return [(7, 1)]

    def be_told_to_stop() -> list[tuple[int, int]]:
        lane._stopping = True
        return [(8, 1)]

    mover.script = [be_interrupted, be_told_to_stop]
    lane._run()

    assert mover.served == [[], [(8, 1)]]


def test_the_thread_moves_what_is_here_and_stops_when_told() -> None:
    before = threading.active_count()
    lane = BulkLane(make_mover(), nothing)

    async def main() -> None:
        with wired() as wire:
            lane.mover.attach(wire.flow)
            async with lane.running():
                wire.client.send(b"hello")
                await trio.lowlevel.wait_readable(wire.server)
                assert wire.server.recv(9) == b"hello"
            lane.mover.remove(wire.flow)

    trio.run(main)
    # Trio keeps the thread for a while, but nobody polls any more.
    assert threading.active_count() <= before + 1


def test_a_lane_runs_again_and_opens_no_more_descriptors() -> None:
    """There may be none left by the time that something becomes bulk."""
    lane = BulkLane(make_mover(), nothing)

    async def main() -> None:
        before = open_descriptors()
        for _ in range(3):
            async with lane.running():
                assert open_descriptors() == before

    trio.run(main)


def test_a_lane_closes_its_descriptors() -> None:
    before = open_descriptors()
    lane = BulkLane(make_mover(), nothing)
    assert open_descriptors() > before

    del lane

    assert open_descriptors() == before


def test_who_runs_it_hears_of_an_error_in_the_thread() -> None:
    """And the wait for the thread is over: nobody hangs."""
    mover = ScriptedMover()
    lane = BulkLane(mover, nothing)

    def fail() -> list[tuple[int, int]]:
        raise RuntimeError("no luck")

    mover.script = [fail]

    async def main() -> None:
        with trio.fail_after(5):
            async with lane.running():
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(main)

    assert caught.group_contains(RuntimeError, match="no luck")
    assert not lane.is_running


def test_a_run_that_is_cancelled_waits_for_the_thread() -> None:
    lane = BulkLane(make_mover(), nothing)

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with lane.running():
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert not lane.is_running

    trio.run(main)


def test_a_thread_that_gets_no_share_of_the_time_says_so() -> None:
    """Each pass takes a while here, of which the thread sleeps."""
    starved: list[int] = []
    mover = ScriptedMover()
    lane = BulkLane(mover, lambda: starved.append(len(mover.served)))
    lane.share = Share(patience=1e-9)

    def be_told_to_stop() -> list[tuple[int, int]]:
        lane._stopping = True
        return []

    mover.pass_time = 0.01
    mover.script = [list, list, list, be_told_to_stop]
    lane._run()

    assert starved == [2, 4]

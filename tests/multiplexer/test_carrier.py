"""Flows as a whole: cancelled anywhere, beside others, idle, interrupted."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.multiplexer.runs import (
    Carried,
    carrying,
    hang_up,
    join,
    on_each,
    swallow,
    use,
    use_as_they_are,
)
from tests.multiplexer.wires import open_descriptors
from tests.relay_world import SOCKETS, TCP, UNIX, Kind, break_off, clog
from trionitro import Ending, Progress
from trionitro._multiplexer import Carrier, _carrier, carry
from trionitro._multiplexer._lanes import Lanes
from trionitro.testing import cancel_at_every_step

#: Two, so that one of them is without its leader; each doubles the number of steps.
FLOWS = 1 if "TRIONITRO_GUEST" in os.environ else 2


@pytest.mark.parametrize("kind", SOCKETS, ids=lambda kind: kind.name)
@on_each
def test_bulk_may_be_cancelled_anywhere(
    kind: Kind, make_lanes: Callable[[], Lanes]
) -> None:
    async def scenario() -> None:
        lanes = use(make_lanes)
        try:
            async with carrying(kind, FLOWS) as carried:
                for one in carried:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(one.client.send_all, bytes(2**19))
                        await swallow(one.server, 2**19)
                for one in carried:
                    await one.client.send_eof()
                    await one.server.send_eof()
                    await one.ended.wait()
                    assert one.ending is Ending.FINISHED
                    assert one.progress.counts == [2**19, 0]
        finally:
            assert lanes.leader is None
            assert not lanes._parked
            assert lanes.small.any_flow() is None
            if lanes.bulk is not None:
                assert lanes.bulk.mover.any_flow() is None
                assert not lanes.bulk.is_running

    before = open_descriptors()
    assert cancel_at_every_step(scenario) > 20
    assert open_descriptors() == before


async def test_a_closed_socket_is_refused_and_harms_nobody() -> None:
    lanes = use(Lanes.double)
    async with carrying(UNIX) as (one,):
        near, far = trio.socket.socketpair()
        with near, far:
            far.close()
            with pytest.raises(trio.ClosedResourceError):
                await carry(near, far, Progress())

        await one.ask()
        await one.cancel()
    assert lanes.small.any_flow() is None


# --- idle -----------------------------------------------------------------------------


@on_each
@pytest.mark.parametrize("bulk", [False, True], ids=["small", "bulk"])
async def test_it_takes_no_processor_while_nothing_moves(
    bulk: bool, make_lanes: Callable[[], Lanes]
) -> None:
    """Whatever state the flows are in: open, half closed, blocked, or broken."""
    use(make_lanes)
    async with carrying(TCP, 6) as tcp, carrying(UNIX, 6) as unix:
        if bulk:
            for one in (*tcp, *unix):
                await one.become_bulk()
        for carried in (tcp, unix):
            await carried[0].client.send_eof()
            await carried[1].server.send_eof()
            await clog(carried[2].client)
            await clog(carried[3].client, carried[3].server)
            await clog(carried[4].client)
            await break_off(carried[4].client)
            await carried[5].server.send_eof()
            await break_off(carried[5].client)

        processor, wall = time.process_time(), time.monotonic()
        await trio.sleep(0.3)
        processor, wall = time.process_time() - processor, time.monotonic() - wall

    assert processor < wall / 5


# --- beside others --------------------------------------------------------------------


@contextmanager
def flooded(client: socket.socket, server: socket.socket) -> Iterator[None]:
    """Have two threads send to one, and receive from the other, for ever."""

    def send() -> None:
        with suppress(OSError):
            while True:
                client.sendall(bytes(2**18))

    def receive() -> None:
        with suppress(OSError):
            while server.recv(2**18):
                pass

    threads = [threading.Thread(target=each) for each in (send, receive)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for sock in (client, server):
            sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        client.close()
        server.close()


@on_each
async def test_other_tasks_have_their_turns_beside_a_flood(
    make_lanes: Callable[[], Lanes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not many bytes are moved between two turns, though the work never ends.

    Nor is it for long that few are: the bulk lane starves beside so many turns.

    """
    linger = Lanes._linger
    monkeypatch.setattr(Lanes, "_linger", lambda lanes: linger(lanes) or True)
    use_as_they_are(make_lanes)
    client, left = socket.socketpair()
    right, server = socket.socketpair()
    near, far = map(trio.socket.from_stdlib_socket, (left, right))
    progress = Progress()
    turns = 0
    async with trio.open_nursery() as nursery:
        with flooded(client, server), near, far:
            nursery.start_soon(carry, near, far, progress)
            while progress.left_to_right < 2**24:
                await trio.lowlevel.checkpoint()
                turns += 1
            nursery.cancel_scope.cancel()
            await trio.lowlevel.cancel_shielded_checkpoint()

    assert turns > progress.left_to_right / 2**22


# --- Control-C ------------------------------------------------------------------------


def test_control_c_strikes_between_two_moves_and_no_byte_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may come while the leader has just read what another flow is to pass on."""
    readv = os.readv

    def interrupted(descriptor: int, buffers: list[memoryview]) -> int:
        size = readv(descriptor, buffers)
        monkeypatch.setattr(os, "readv", readv)
        signal.raise_signal(signal.SIGINT)
        return size

    async def main() -> None:
        use(Lanes.single)
        async with carrying(UNIX, 2) as (_, one):
            monkeypatch.setattr(os, "readv", interrupted)
            await one.client.send_all(b"hello")
            with pytest.raises(KeyboardInterrupt):
                await trio.sleep_forever()
            assert await one.server.receive_some() == b"hello"

    trio.run(main)


# --- runs -----------------------------------------------------------------------------


def test_runs_in_several_threads_have_nothing_to_do_with_each_other() -> None:
    done = []

    async def main() -> None:
        use(Lanes.double)
        async with carrying(UNIX, 2) as carried:
            for one in carried:
                await one.become_bulk()
                await one.answer()
        done.append(carried)

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) == 3


@on_each
def test_a_run_that_ends_in_an_error_leaves_no_descriptor(
    make_lanes: Callable[[], Lanes],
) -> None:
    async def main() -> None:
        use(make_lanes)
        async with carrying(TCP, 2) as carried:
            for one in carried:
                await one.become_bulk()
                await clog(one.client)
            raise RuntimeError("enough")

    before = open_descriptors()
    with pytest.raises(ExceptionGroup):
        trio.run(main)
    assert open_descriptors() == before


@pytest.mark.parametrize(("processors", "bulk_lane"), [(1, False), (2, True)])
async def test_a_second_lane_is_used_where_there_is_a_processor_for_it(
    processors: int, bulk_lane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)))
    async with carrying(UNIX) as (one,):
        await one.ask()

        assert (_carrier._lanes.get().bulk is not None) is bulk_lane


# --- many in one task -----------------------------------------------------------------


async def finish(one: Carried) -> None:
    """Have both sides say that they are done, and wait until that is noticed."""
    await one.client.send_eof()
    await one.server.send_eof()
    await one.ended.wait()
    assert one.ending is Ending.FINISHED


@on_each
async def test_one_task_carries_many_and_tells_of_each_when_it_has_ended(
    make_lanes: Callable[[], Lanes],
) -> None:
    use(make_lanes)
    carrier = Carrier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        await wait_all_tasks_blocked()
        many = [await join(carrier) for _ in range(50)]
        for one in many[::2]:
            await one.ask()
            await one.answer()
            await finish(one)
        assert not any(one.ended.is_set() for one in many[1::2])
        carrier.close()
        for one in many[1::2]:
            await one.ask()
            await finish(one)

    await hang_up(*many)


@on_each
async def test_a_carrier_that_is_cancelled_gives_up_all_it_has(
    make_lanes: Callable[[], Lanes],
) -> None:
    lanes = use(make_lanes)
    carrier = Carrier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        many = [await join(carrier) for _ in range(9)]
        for one in many[::3]:
            await one.become_bulk()
        await finish(many[0])
        nursery.cancel_scope.cancel()

    assert many[0].ending is Ending.FINISHED
    assert all(one.ended.is_set() and one.ending is None for one in many[1:])
    assert lanes.small.any_flow() is None
    await hang_up(*many)


async def test_a_carrier_s_bulk_has_a_thread_for_as_long_as_there_is_bulk() -> None:
    lanes = use(Lanes.double)
    assert lanes.bulk is not None
    carrier = Carrier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        bulky, small = await join(carrier), await join(carrier)
        for _ in range(3):
            await bulky.become_bulk()
            assert lanes.bulk.is_running
            await small.ask()
            await small.answer()
            while lanes.bulk.is_running:
                await bulky.ask()
        await small.ask()
        await bulky.ask()
        nursery.cancel_scope.cancel()

    await hang_up(bulky, small)


async def test_of_many_idle_ones_each_is_given_up_in_its_time(
    autojump_clock: MockClock,
) -> None:
    """Never before, and no more than a sixty-fourth later."""
    use(Lanes.single)
    carrier = Carrier(idle_timeout=64)
    idle_for = {}

    async def be_idle() -> None:
        one = await join(carrier)
        began = trio.current_time()
        await one.ended.wait()
        assert one.ending is Ending.IDLE
        idle_for[one] = trio.current_time() - began
        await hang_up(one)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        await trio.sleep(1000)
        async with trio.open_nursery() as idle:
            for _ in range(100):
                idle.start_soon(be_idle)
                await trio.sleep(0.5)
        carrier.close()

    assert len(idle_for) == 100
    assert min(idle_for.values()) >= 64 - 1e-6
    assert max(idle_for.values()) <= 65 + 1e-6


def test_a_carrier_may_be_cancelled_anywhere() -> None:
    async def scenario() -> None:
        lanes = use(Lanes.double)
        many: list[Carried] = []
        carrier = Carrier()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carrier.run)
                for _ in range(3):
                    many.append(await join(carrier))  # noqa: PERF401  what is there is closed
                await many[1].become_bulk()
                await finish(many[0])
                carrier.close()
                for one in many[1:]:
                    await finish(one)
        finally:
            assert lanes.leader is None
            assert not lanes._parked
            assert lanes.small.any_flow() is None
            with trio.CancelScope(shield=True):
                await hang_up(*many)

    before = open_descriptors()
    assert cancel_at_every_step(scenario) > 20
    assert open_descriptors() == before

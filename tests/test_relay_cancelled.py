"""The relay's contract: when it is cancelled, and when nothing happens any more."""

from __future__ import annotations

import errno
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.kernel_vsock import HAS_LOOPBACK
from tests.relay_world import (
    LOCKSTEP,
    MEMORY,
    TCP,
    UNIX,
    VSOCK,
    Pair,
    World,
    assert_was_cut_off,
    clog,
    for_pairs,
    open_world,
    receive_all,
    receive_exactly,
    relayed,
    reset_error,
    send_and_eof,
)
from trionitro import Ending, Transfer
from trionitro.testing import cancel_at_every_step

autojump = partial(MockClock, autojump_threshold=0)

#: Enough to see every path of a relay cancelled, and few enough to stay quick.
SWEPT = (
    Pair(TCP, UNIX),
    Pair(UNIX, TCP),
    Pair(MEMORY, MEMORY),
    Pair(LOCKSTEP, MEMORY),
    Pair(TCP, MEMORY),
    *([Pair(TCP, VSOCK), Pair(VSOCK, TCP)] if HAS_LOOPBACK else []),
)


async def converse(world: World) -> None:
    """Ask and answer, and end both directions."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_eof, world.client, b"question")
        assert await receive_all(world.server) == b"question"
        nursery.start_soon(send_and_eof, world.server, b"answer")
        assert await receive_all(world.client) == b"answer"


@pytest.mark.parametrize("pair", SWEPT, ids=str)
def test_cancelled_anywhere_it_leaves_both_streams_closed(pair: Pair) -> None:
    async def scenario() -> None:
        world = await open_world(pair)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.run_relay)
                await converse(world)
            assert world.transfer == Transfer(8, 6, Ending.FINISHED)
        finally:
            await world.assert_relay_closed_its_streams()
            await world.aclose()

    assert cancel_at_every_step(scenario) > 20


@pytest.mark.parametrize("pair", [Pair(TCP, UNIX), Pair(TCP, MEMORY)], ids=str)
def test_cancelled_anywhere_it_never_gives_a_clean_end_of_file(pair: Pair) -> None:
    """What the server had sent so far is never taken for all that it had to say."""

    async def scenario() -> None:
        world = await open_world(pair)
        try:
            with trio.CancelScope(shield=True):
                await world.server.send_all(b"some")
            with trio.move_on_after(1):
                await world.run_relay()
        finally:
            with trio.CancelScope(shield=True):
                assert await reset_error(receive_all(world.client)) == errno.ECONNRESET
            await world.aclose()

    assert cancel_at_every_step(scenario, clock=autojump) > 10


@for_pairs(lambda pair: pair.left.resets or pair.right.resets)
async def test_a_cancelled_relay_resets_its_peers(pair: Pair) -> None:
    async with relayed(pair) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.server.send_all, b"some")
            assert await receive_exactly(world.client, 4) == b"some"
        world.scope.cancel()
        await world.ended.wait()

        await assert_was_cut_off(world.client, pair.left)
        await assert_was_cut_off(world.server, pair.right)


@for_pairs()
async def test_a_relay_that_is_clogged_both_ways_is_cancelled_at_once(
    pair: Pair, autojump_clock: MockClock
) -> None:
    """At once: no time passes, though whoever waits for a timeout could have it."""
    async with relayed(pair) as world:
        await clog(world.client, world.server)
        world.scope.cancel()
        with trio.fail_after(1):
            await world.ended.wait()

        await world.assert_relay_closed_its_streams()
        assert trio.current_time() < 1


@for_pairs()
async def test_an_idle_relay_is_given_up_and_resets_its_peers(
    pair: Pair, autojump_clock: MockClock
) -> None:
    async with relayed(pair, idle_timeout=10) as world:
        assert await world.ending() is Ending.IDLE
        await world.assert_relay_closed_its_streams()
        await assert_was_cut_off(world.client, pair.left)
        await assert_was_cut_off(world.server, pair.right)


async def test_any_byte_puts_off_the_idle_timeout(autojump_clock: MockClock) -> None:
    async with relayed(Pair(MEMORY, MEMORY), idle_timeout=10) as world:
        for stream in (world.client, world.server, world.client):
            await trio.sleep(8)
            await stream.send_all(b"x")
        await world.ended.wait()

        assert trio.current_time() == pytest.approx(34)
        assert world.transfer == Transfer(2, 1, Ending.IDLE)


async def test_what_is_passed_on_puts_off_the_idle_timeout(
    autojump_clock: MockClock,
) -> None:
    """The reader took eight seconds, and then it took what the relay was stuck with."""
    async with relayed(Pair(MEMORY, LOCKSTEP), idle_timeout=10) as world:
        await world.client.send_all(b"x")
        await trio.sleep(8)
        assert await receive_exactly(world.server, 1) == b"x"

        assert await world.ending() is Ending.IDLE
        assert trio.current_time() == pytest.approx(18)


async def test_what_arrives_puts_off_the_idle_timeout_before_it_is_passed_on(
    autojump_clock: MockClock,
) -> None:
    async with relayed(Pair(MEMORY, LOCKSTEP), idle_timeout=10) as world:
        await trio.sleep(8)
        await world.client.send_all(b"x")

        assert await world.ending() is Ending.IDLE
        assert trio.current_time() == pytest.approx(18)


async def test_an_end_of_file_is_no_end_of_idling(autojump_clock: MockClock) -> None:
    """A peer that said all it had to say is waited for no longer than others."""
    async with relayed(Pair(MEMORY, MEMORY), idle_timeout=10) as world:
        await trio.sleep(8)
        await world.client.send_eof()

        assert await world.ending() is Ending.IDLE
        assert trio.current_time() == pytest.approx(10)


async def test_without_an_idle_timeout_nothing_ends_it(
    autojump_clock: MockClock,
) -> None:
    async with relayed(Pair(MEMORY, MEMORY)) as world:
        await trio.sleep(10**9)
        await world.client.send_all(b"still there?")
        assert await receive_exactly(world.server, 12) == b"still there?"

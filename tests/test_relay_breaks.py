"""The relay's contract: a peer that breaks, breaks the other side too.

Where the survivor's connection has resets it must see one, so that nobody takes half
an answer for a whole one.

"""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import (
    MemoryReceiveStream,
    MemorySendStream,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from tests.relay_world import (
    MEMORY,
    TCP,
    UNIX,
    Pair,
    Stream,
    World,
    assert_was_cut_off,
    break_off,
    clog,
    flood,
    for_pairs,
    open_world,
    receive_all,
    receive_exactly,
    relayed,
    reset_error,
)
from trionitro import Ending, relay


def left_resets(pair: Pair) -> bool:
    return pair.left.resets


def right_resets(pair: Pair) -> bool:
    return pair.right.resets


@for_pairs(left_resets)
async def test_a_client_that_is_reset_while_idle_breaks_the_server(pair: Pair) -> None:
    async with relayed(pair) as world:
        await break_off(world.client)

        assert await world.ending() is Ending.LEFT_BROKE
        await assert_was_cut_off(world.server, pair.right)
        await world.assert_relay_closed_its_streams()


@for_pairs(right_resets)
async def test_a_server_that_is_reset_while_idle_breaks_the_client(pair: Pair) -> None:
    async with relayed(pair) as world:
        await break_off(world.server)

        assert await world.ending() is Ending.RIGHT_BROKE
        await assert_was_cut_off(world.client, pair.left)
        await world.assert_relay_closed_its_streams()


@for_pairs(right_resets)
async def test_a_server_that_is_reset_in_the_middle_of_its_answer(pair: Pair) -> None:
    async with relayed(pair) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.server.send_all, b"half an ans")
            assert await receive_exactly(world.client, 11) == b"half an ans"
        await break_off(world.server)

        assert await world.ending() is Ending.RIGHT_BROKE
        await assert_was_cut_off(world.client, pair.left)


@for_pairs()
async def test_a_server_that_goes_away_while_the_client_sends(pair: Pair) -> None:
    async with relayed(pair) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reset_error, flood(world.client, lambda _: None))
            await receive_exactly(world.server, 1)
            await break_off(world.server)

        assert await world.ending() is Ending.RIGHT_BROKE


@for_pairs()
async def test_a_client_that_goes_away_while_the_server_sends(pair: Pair) -> None:
    async with relayed(pair) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reset_error, flood(world.server, lambda _: None))
            await receive_exactly(world.client, 1)
            await break_off(world.client)

        assert await world.ending() is Ending.LEFT_BROKE


@for_pairs()
async def test_a_slow_reader_that_goes_away_breaks_who_waits_for_it(pair: Pair) -> None:
    async with relayed(pair) as world:
        await clog(world.client)
        await break_off(world.server)

        assert await world.ending() is Ending.RIGHT_BROKE
        await world.assert_relay_closed_its_streams()


@for_pairs(right_resets)
async def test_a_break_is_noticed_when_that_direction_has_finished(pair: Pair) -> None:
    """The pump that read from the right has gone home; the other one finds out."""
    async with relayed(pair) as world:
        await world.server.send_eof()
        assert await receive_all(world.client) == b""
        await break_off(world.server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reset_error, flood(world.client, lambda _: None))

        assert await world.ending() is Ending.RIGHT_BROKE


@for_pairs(right_resets)
async def test_an_end_of_file_can_not_be_passed_on_to_a_peer_that_broke(
    pair: Pair,
) -> None:
    async with relayed(pair) as world:
        await world.server.send_eof()
        assert await receive_all(world.client) == b""
        await break_off(world.server)
        await wait_all_tasks_blocked()
        await world.client.send_eof()

        assert await world.ending() is Ending.RIGHT_BROKE


@pytest.mark.parametrize("size", [0, 1, 2**20])
async def test_a_truncated_answer_never_looks_whole(size: int) -> None:
    """Whatever had been sent when the server was reset, the client sees an error."""
    async with relayed(Pair(TCP, TCP)) as world, trio.open_nursery() as nursery:
        nursery.start_soon(send_then_break_off, world.server, size)

        assert await reset_error(receive_all(world.client)) == errno.ECONNRESET


async def send_then_break_off(stream: Stream, size: int) -> None:
    await stream.send_all(bytes(size))
    await break_off(stream)


async def test_a_unix_server_that_closes_unread_data_resets_the_tcp_client() -> None:
    """This is how a unix peer that dies shows: as a reset, if it left data unread."""
    async with relayed(Pair(TCP, UNIX)) as world:
        await world.client.send_all(b"unread")
        await wait_all_tasks_blocked()
        await world.server.aclose()

        assert await world.ending() is Ending.RIGHT_BROKE
        await assert_was_cut_off(world.client, TCP)


async def test_an_end_of_file_that_is_read_after_a_break_is_not_passed_on() -> None:
    """A socket tells of a reset once: the next call finds an end-of-file."""
    left_sends, left_receives = MemorySendStream(), MemoryReceiveStream()
    right, server = memory_stream_pair()
    ends: list[str] = []

    async def break_once() -> None:
        left_receives.put_eof()
        raise trio.BrokenResourceError

    left_sends.send_all_hook = break_once
    right.send_stream.close_hook = lambda: ends.append("closed")
    await server.send_all(b"hello")

    transfer = await relay(trio.StapledStream(left_sends, left_receives), right)

    assert transfer.ending is Ending.LEFT_BROKE
    assert ends == ["closed"]  # and not by an end-of-file before that


async def test_the_first_to_break_gets_the_blame() -> None:
    left, client = memory_stream_pair()
    right, server = memory_stream_pair()
    waiting, broken = trio.Event(), trio.Event()

    async def break_first() -> None:
        await waiting.wait()
        broken.set()
        raise trio.BrokenResourceError

    async def break_second() -> None:
        waiting.set()
        with trio.CancelScope(shield=True):
            await broken.wait()
        raise trio.BrokenResourceError

    right.send_stream.send_all_hook = break_first
    left.send_stream.send_all_hook = break_second
    await client.send_all(b"to the right")
    await server.send_all(b"to the left")

    assert (await relay(left, right)).ending is Ending.RIGHT_BROKE


async def test_both_streams_are_closed_even_if_closing_one_fails() -> None:
    def fail() -> None:
        raise OSError("no luck")

    left, client = memory_stream_pair()
    right, server = memory_stream_pair()
    left.receive_stream.close_hook = right.receive_stream.close_hook = fail
    await client.send_eof()
    await server.send_eof()

    with pytest.raises(OSError, match="no luck"):
        await relay(left, right)

    for stream in (left, right):
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()


async def test_a_stream_that_somebody_else_closes_is_a_bug_and_raises() -> None:
    """Where the sockets themselves are moved nobody would notice, so nobody may."""
    world = await open_world(Pair(MEMORY, MEMORY))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_group, world)
        await wait_all_tasks_blocked()
        await world.left.aclose()

    await world.assert_relay_closed_its_streams()
    await world.aclose()


async def expect_group(world: World) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await world.run_relay()
    assert caught.group_contains(trio.ClosedResourceError)

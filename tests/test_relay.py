"""The relay's contract: bytes, ends of file, counts and time.

How it breaks is in ``test_relay_breaks.py``, how it is cancelled in
``test_relay_cancelled.py``.

"""

from __future__ import annotations

import math
import random
import socket

import pytest
import trio
import trio.abc
import trio.testing
from trio.testing import (
    check_half_closeable_stream,
    lockstep_stream_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from tests.relay_world import (
    LOCKSTEP,
    PAIRS,
    VSOCK,
    Pair,
    Stream,
    StreamPair,
    World,
    clog,
    for_pairs,
    open_world,
    receive_all,
    receive_exactly,
    relayed,
    send_and_eof,
)
from trionitro import Ending, Transfer, relay
from trionitro.abc import VsockStream

#: More than sockets hold, so that it has to be carried in many pieces.
MUCH = random.Random(1).randbytes(2**20)


@for_pairs()
async def test_every_byte_arrives_in_order_in_both_directions_at_once(
    pair: Pair,
) -> None:
    received = {}

    async def receive(name: str, stream: Stream) -> None:
        received[name] = await receive_all(stream)

    async with relayed(pair) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_and_eof, world.client, MUCH)
            nursery.start_soon(send_and_eof, world.server, MUCH[::-1])
            nursery.start_soon(receive, "client", world.client)
            nursery.start_soon(receive, "server", world.server)

        assert received == {"server": MUCH, "client": MUCH[::-1]}
        assert await world.ending() is Ending.FINISHED


@for_pairs()
async def test_one_small_message_is_not_held_back(pair: Pair) -> None:
    async with relayed(pair) as world:
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.client.send_all, b"ping")
                assert await receive_exactly(world.server, 4) == b"ping"
                nursery.start_soon(world.server.send_all, b"pong")
                assert await receive_exactly(world.client, 4) == b"pong"


@for_pairs()
async def test_a_slow_reader_holds_little_and_stops_its_own_direction_only(
    pair: Pair,
) -> None:
    async with relayed(pair) as world:
        sent = await clog(world.client)

        assert sent <= capacity_of(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_and_eof, world.server, MUCH)
            assert await receive_all(world.client) == MUCH


def capacity_of(world: World) -> int:
    """Return what lies in the four buffers between the ends, and in one relay."""
    size = 2**16
    for stream in (world.client, world.left, world.right, world.server):
        if isinstance(stream, trio.SocketStream):
            for which in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                size += stream.socket.getsockopt(socket.SOL_SOCKET, which)
        elif isinstance(stream, VsockStream):
            size += 2**18  # the kernel's window, unless somebody sets another
        else:
            size += 2**16
    return size


@for_pairs()
async def test_a_clogged_direction_goes_on_when_its_reader_does(pair: Pair) -> None:
    async with relayed(pair) as world, trio.open_nursery() as nursery:
        nursery.start_soon(send_and_eof, world.client, MUCH * 4)
        await wait_all_tasks_blocked()

        assert await receive_all(world.server) == MUCH * 4


@pytest.mark.parametrize("side", ["left", "right"])
@for_pairs()
async def test_an_end_of_file_is_passed_on_and_the_other_direction_lives_on(
    pair: Pair, side: str
) -> None:
    async with relayed(pair) as world:
        seen = world if side == "left" else world.mirrored()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_and_eof, seen.client, b"question")
            assert await receive_all(seen.server) == b"question"
        assert not world.ended.is_set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_and_eof, seen.server, MUCH)
            assert await receive_all(seen.client) == MUCH
        assert await world.ending() is Ending.FINISHED
        await world.assert_relay_closed_its_streams()


@for_pairs()
async def test_an_end_of_file_without_a_byte_before_it_is_passed_on(pair: Pair) -> None:
    async with relayed(pair) as world:
        await world.client.send_eof()
        assert await receive_all(world.server) == b""
        await world.server.send_eof()
        assert await receive_all(world.client) == b""

        await world.ended.wait()
        assert world.transfer == Transfer(0, 0, Ending.FINISHED)


async def test_a_finished_stream_is_closed_with_all_the_time_it_takes() -> None:
    """A forceful close would be a reset, and lose what the peer has yet to read."""
    left, client = memory_stream_pair()
    right, server = memory_stream_pair()
    deadlines: list[float] = []

    for stream in (left, right):
        stream.receive_stream.close_hook = lambda: deadlines.append(
            trio.current_effective_deadline()
        )
    await client.send_eof()
    await server.send_eof()
    await relay(left, right)

    assert deadlines == [math.inf, math.inf]


async def test_it_takes_one_buffer_at_a_time_of_what_a_stream_has_to_give() -> None:
    left, client = memory_stream_pair()
    right, server = lockstep_stream_pair()
    await client.send_all(MUCH)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay, left, right)
        assert len(await server.receive_some()) <= 2**16
        nursery.cancel_scope.cancel()


@for_pairs()
async def test_it_counts_the_bytes_of_each_direction_while_it_runs(pair: Pair) -> None:
    async with relayed(pair) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.client.send_all, b"question")
            assert await receive_exactly(world.server, 8) == b"question"
        await wait_all_tasks_blocked()
        assert (world.progress.left_to_right, world.progress.right_to_left) == (8, 0)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.client.send_eof)
            nursery.start_soon(send_and_eof, world.server, b"answer")
            assert await receive_all(world.client) == b"answer"
        await world.ended.wait()
        assert world.transfer == Transfer(8, 6, Ending.FINISHED)
        assert (world.progress.left_to_right, world.progress.right_to_left) == (8, 6)


# Trio's checks turn the streams around themselves.
@for_pairs(lambda pair: PAIRS.index(pair) <= PAIRS.index(Pair(pair.right, pair.left)))
async def test_a_relayed_pair_of_streams_is_a_half_closeable_stream(pair: Pair) -> None:
    async with trio.open_nursery() as nursery:

        async def open_pair() -> StreamPair:
            world = await open_world(pair)
            nursery.start_soon(world.run_relay)
            return world.client, world.server

        async def open_clogged_pair() -> StreamPair:
            client, server = await open_pair()
            await clog(client, server)
            return client, server

        # A lockstep stream takes nothing more after a send that was cancelled; and
        # the kernel's vsock doesn't wake a sender whose peer goes away while there is
        # something to read.
        can_be_clogged = {LOCKSTEP, VSOCK}.isdisjoint({pair.left, pair.right})
        await check_half_closeable_stream(
            open_pair, open_clogged_pair if can_be_clogged else None
        )
        nursery.cancel_scope.cancel()

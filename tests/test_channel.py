from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.abc
import trio.testing
from trio.testing import assert_checkpoints, memory_stream_pair, wait_all_tasks_blocked

from trionitro import ProtocolError
from trionitro._channel import FramedChannel
from trionitro._framing import encode_frame
from trionitro.testing import cancel_at_every_step

Pair = tuple[FramedChannel, trio.abc.HalfCloseableStream]


def channel_and_peer(max_size: int = 100) -> Pair:
    """Return a channel, and the bare stream at its other end."""
    near, far = memory_stream_pair()
    return FramedChannel(near, max_size=max_size), far


async def collect(channel: FramedChannel, received: list[bytes]) -> None:
    async for message in channel:
        received.append(message)  # noqa: PERF401  # whoever is cancelled keeps these


def clogged_channel_and_peer() -> Pair:
    """Return a channel that sends no faster than the peer receives, and the peer."""
    near, far = trio.testing.lockstep_stream_pair()
    return FramedChannel(near), far


async def test_messages_go_both_ways_whole_and_in_order() -> None:
    here, there = (FramedChannel(stream) for stream in memory_stream_pair())
    async with here, there:
        for message in (b"one", b"", b"x" * 65536):
            with assert_checkpoints():
                await here.send(message)
        await there.send(b"back")

        assert [await there.receive() for _ in range(3)] == [b"one", b"", b"x" * 65536]
        assert await here.receive() == b"back"


async def test_receive_is_a_checkpoint_even_when_a_frame_is_there_already() -> None:
    channel, peer = channel_and_peer()
    await peer.send_all(encode_frame(b"1") + encode_frame(b"2"))
    for expected in (b"1", b"2"):
        with assert_checkpoints():
            assert await channel.receive() == expected


async def test_a_clean_end_of_file_ends_the_channel_and_iteration() -> None:
    channel, peer = channel_and_peer()
    await peer.send_all(encode_frame(b"1") + encode_frame(b"2"))
    await peer.send_eof()

    assert [message async for message in channel] == [b"1", b"2"]
    with pytest.raises(trio.EndOfChannel):
        await channel.receive()


async def test_half_close_ends_one_direction_only() -> None:
    here, there = (FramedChannel(stream) for stream in memory_stream_pair())
    await here.send(b"question")
    await here.send_eof()

    assert [message async for message in there] == [b"question"]
    await there.send(b"answer")
    assert await here.receive() == b"answer"
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError):
            await here.send(b"more")


async def test_an_unclean_end_of_file_is_a_protocol_error_for_ever() -> None:
    channel, peer = channel_and_peer()
    await peer.send_all(encode_frame(b"abc")[:-1])
    await peer.aclose()

    for _ in range(2):
        with pytest.raises(ProtocolError, match="6 of 7 bytes"):
            await channel.receive()


async def test_too_long_a_message_from_the_peer_is_a_protocol_error() -> None:
    channel, peer = channel_and_peer(max_size=2)
    await peer.send_all(encode_frame(b"abc"))

    with pytest.raises(ProtocolError, match="3 bytes exceeds the limit of 2"):
        await channel.receive()


async def test_too_long_a_message_is_refused_before_anything_is_sent() -> None:
    channel, peer = channel_and_peer(max_size=2)
    with pytest.raises(ValueError, match="3 bytes exceeds the limit of 2"):
        await channel.send(b"abc")

    await channel.send(b"ok")
    assert await peer.receive_some() == encode_frame(b"ok")


async def test_a_limit_that_makes_no_sense_is_refused() -> None:
    near, _ = memory_stream_pair()
    with pytest.raises(ValueError, match="max_size must be"):
        FramedChannel(near, max_size=-1)


def test_a_receive_cancelled_anywhere_loses_nothing() -> None:
    messages = [bytes([n]) * n for n in range(4)]

    async def drip(peer: trio.abc.HalfCloseableStream) -> None:
        data = b"".join(encode_frame(message) for message in messages)
        with trio.CancelScope(shield=True):
            for start in range(0, len(data), 3):
                await peer.send_all(data[start : start + 3])
            await peer.send_eof()

    async def conversation() -> None:
        channel, peer = channel_and_peer()
        received: list[bytes] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drip, peer)
                await collect(channel, received)
        finally:
            with trio.CancelScope(shield=True):
                await collect(channel, received)
            assert received == messages

    assert cancel_at_every_step(conversation) > 10


async def test_a_cancelled_send_breaks_sending_but_not_receiving() -> None:
    channel, peer = clogged_channel_and_peer()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.send, b"abc")
            assert await peer.receive_some(5) == encode_frame(b"abc")[:5]
            scope.cancel()

    for operation in (channel.send(b"more"), channel.send_eof()):
        with pytest.raises(trio.BrokenResourceError, match="middle of its frame"):
            await operation
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.send_all, encode_frame(b"still here"))
        assert await channel.receive() == b"still here"


async def test_a_send_that_was_cancelled_before_it_began_breaks_nothing() -> None:
    channel, peer = channel_and_peer()
    with trio.CancelScope() as scope:
        scope.cancel()
        await channel.send(b"never mind")
    assert scope.cancelled_caught

    await channel.send(b"whole")
    assert await peer.receive_some() == encode_frame(b"whole")


async def test_a_peer_that_is_gone_breaks_sending() -> None:
    channel, peer = channel_and_peer()
    await peer.aclose()

    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            await channel.send(b"anyone?")


async def test_one_task_at_a_time_may_send_or_receive() -> None:
    channel, _peer = clogged_channel_and_peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.send, b"1")
        nursery.start_soon(collect, channel, [])
        await wait_all_tasks_blocked()

        with pytest.raises(trio.BusyResourceError, match="sending on this channel"):
            await channel.send(b"2")
        with pytest.raises(trio.BusyResourceError, match="sending on this channel"):
            await channel.send_eof()
        with pytest.raises(trio.BusyResourceError, match="receiving from this channel"):
            await channel.receive()
        nursery.cancel_scope.cancel()


async def test_nothing_works_after_aclose_and_the_stream_is_closed_too() -> None:
    channel, peer = channel_and_peer()
    await peer.send_all(encode_frame(b"1") + encode_frame(b"2"))
    assert await channel.receive() == b"1"
    await channel.aclose()
    await channel.aclose()

    with pytest.raises(trio.ClosedResourceError):
        await channel.receive()
    with pytest.raises(trio.ClosedResourceError):
        await channel.send(b"3")
    with pytest.raises(trio.ClosedResourceError):
        await channel.send_eof()
    assert await peer.receive_some() == b""


async def test_aclose_wakes_whoever_is_sending_or_receiving() -> None:
    channel, _peer = clogged_channel_and_peer()

    async def expect_closed(operation: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await operation()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, channel.receive)
        nursery.start_soon(expect_closed, partial(channel.send, b"1"))
        await wait_all_tasks_blocked()
        await channel.aclose()

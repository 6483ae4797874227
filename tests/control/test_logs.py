"""The logs, from both of their ends."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.control.ends import (
    OURS,
    Ears,
    accept_one,
    enclave_logs,
    parent_logs,
    say_hello,
)
from trionitro import FramedChannel
from trionitro._control import (
    Hello,
    Line,
    Lines,
    Purpose,
    Stop,
)
from trionitro._control._messages import encode_message
from trionitro.testing import MemoryVsock


async def test_lines_arrive_in_order_and_the_last_before_the_end() -> None:
    network, ears = MemoryVsock(), Ears()
    logs = enclave_logs(network)
    async with trio.open_nursery() as nursery:
        logs.put("boot", b"before anybody is there")
        nursery.start_soon(logs.serve)
        await nursery.start(parent_logs(network, ears).serve)
        for number in range(3):
            logs.put("application", b"%d" % number)

        assert await logs.finish()
        nursery.cancel_scope.cancel()

    assert ears.heard == [
        ("boot", b"before anybody is there"),
        *(("application", b"%d" % number) for number in range(3)),
    ]


async def test_what_the_buffer_has_no_room_for_is_dropped_and_counted() -> None:
    network, ears = MemoryVsock(), Ears()
    logs = enclave_logs(network, buffer=4096)
    for number in range(1000):
        logs.put("application", b"%03d" % number + b"x" * 933)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.serve)
        await nursery.start(parent_logs(network, ears).serve)
        assert await logs.finish()
        nursery.cancel_scope.cancel()

    dropped, *lines = ears.heard
    assert dropped == "996 dropped"
    assert [line[1][:3] for line in lines] == [b"996", b"997", b"998", b"999"]  # type: ignore[index]


async def test_full_batches_of_long_lines_fit_in_messages() -> None:
    network, ears = MemoryVsock(), Ears()
    logs = enclave_logs(network, buffer=2**20)
    lines = [b"x" * size for size in (8192, 8192, 0, 1, 5000, 8192)] + [b""] * 1000
    for line in lines:
        logs.put("s" * 32, line)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.serve)
        await nursery.start(parent_logs(network, ears).serve)
        assert await logs.finish()
        nursery.cancel_scope.cancel()

    assert [line[1] for line in ears.heard] == lines  # type: ignore[index]


async def test_logs_go_on_when_the_parent_is_back(autojump_clock: MockClock) -> None:
    network, ears = MemoryVsock(), Ears()
    logs = enclave_logs(network)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.serve)
        async with trio.open_nursery() as first_life:
            await first_life.start(parent_logs(network, Ears()).serve)
            await trio.sleep(2)
            first_life.cancel_scope.cancel()
        await trio.sleep(2)
        logs.put("application", b"meanwhile")
        await nursery.start(parent_logs(network, ears).serve)
        assert await logs.finish()
        nursery.cancel_scope.cancel()

    assert ears.heard == [("application", b"meanwhile")]


async def test_a_batch_that_was_cut_off_is_sent_to_the_next_parent(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    logs = enclave_logs(network, buffer=2**20)
    size, lines = 8000, [b"%08d" % number for number in range(40)]
    for line in lines:
        logs.put("application", line.ljust(size))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.serve)
        async with FramedChannel(await accept_one(network)) as channel:
            await channel.send(encode_message(Hello(purpose=Purpose.LOGS, digest=OURS)))
            await wait_all_tasks_blocked()
        await nursery.start(parent_logs(network, ears).serve)
        assert await logs.finish()
        nursery.cancel_scope.cancel()

    heard = [line[1][:8] for line in ears.heard]  # type: ignore[index]
    first = int(heard[0])
    assert heard == lines[first:]
    assert 0 < first <= 2**16 // size  # what the connection itself had room for


async def test_a_parent_that_speaks_on_the_port_for_logs_is_left(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    logs = enclave_logs(network)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.serve)
        async with FramedChannel(await accept_one(network)) as channel:
            await channel.send(encode_message(Hello(purpose=Purpose.LOGS, digest=OURS)))
            await channel.receive()
            await channel.send(encode_message(Stop()))

            with pytest.raises(trio.EndOfChannel):
                await channel.receive()
        nursery.cancel_scope.cancel()


async def connect_logs(network: MemoryVsock) -> FramedChannel:
    """Connect as an enclave does that has lines to tell, and be welcome."""
    channel = await say_hello(network, Purpose.LOGS)
    await channel.receive()
    return channel


def line(text: bytes) -> bytes:
    return encode_message(Lines(dropped=0, lines=(Line("application", text),)))


async def test_enclaves_that_went_without_a_word_are_in_no_successor_s_way(
    autojump_clock: MockClock,
) -> None:
    """What is connected to a machine that was killed never ends by itself."""
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_logs(network, ears).serve)
        for number in range(20):
            channel = await connect_logs(network)
            await channel.send(line(b"%d" % number))
            await trio.sleep(30)
        nursery.cancel_scope.cancel()

    assert ears.heard == [("application", b"%d" % number) for number in range(20)]


async def test_what_an_enclave_said_before_it_connects_again_is_heard(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_logs(network, ears).serve)
        first = await connect_logs(network)
        await connect_logs(network)
        await trio.sleep(1)

        await first.send(line(b"late"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert ears.heard == [("application", b"late")]


async def test_a_parent_that_went_without_a_word_is_sent_no_more_lines(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    logs = enclave_logs(network)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.serve)
        channel = FramedChannel(await accept_one(network))
        await channel.receive()
        await channel.send(encode_message(Hello(purpose=Purpose.LOGS, digest=OURS)))
        await wait_all_tasks_blocked()

        logs.hang_up()
        logs.put("application", b"for who comes next")
        await nursery.start(parent_logs(network, ears).serve)
        assert await logs.finish()
        nursery.cancel_scope.cancel()

    assert ears.heard == [("application", b"for who comes next")]

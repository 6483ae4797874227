"""Exchange: a guest that breaks the rules, or keeps them to the letter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.vsock.vhost_user.worlds import (
    RudeGuest,
    hear_all,
    open_world,
    rude_guest,
    serving,
)
from trionitro.abc import VsockListener, VsockStream
from trionitro.vsock import VhostUserVsock
from trionitro.vsock._vhost_user import _exchange
from trionitro.vsock._vhost_user._connection import State
from trionitro.vsock._vhost_user._packets import (
    NO_MORE_OF_EITHER,
    NO_MORE_RECEIVED,
    NO_MORE_SENT,
    Operation,
    encode_addresses,
    encode_header,
)

BUFFER = 2**12

_COMING_AND_GOING = (Operation.REQUEST, Operation.CREDIT_REQUEST, Operation.RST)


@pytest.fixture(name="network")
async def _network(tmp_path: Path) -> AsyncIterator[VhostUserVsock]:
    path = tmp_path / "v.sock"
    async with serving(path, buffer_size=BUFFER, max_connections=3) as network:
        yield network


@pytest.fixture(name="listener")
async def _listener(network: VhostUserVsock) -> VsockListener:
    return await network.open_listener(8000)


@pytest.fixture(name="guest")
async def _guest(network: VhostUserVsock) -> AsyncIterator[RudeGuest]:
    async with rude_guest(Path(network.socket_path)) as guest:
        yield guest


@pytest.fixture(name="stream")
async def _stream(guest: RudeGuest, listener: VsockListener) -> VsockStream:
    await guest.connect()
    return await listener.accept()


async def test_a_connection_is_answered_with_what_there_is_room_for(
    guest: RudeGuest, listener: VsockListener
) -> None:
    guest.send(Operation.REQUEST)

    answer = await guest.expect(Operation.RESPONSE)

    assert (answer.src_cid, answer.src_port) == (3, 8000)
    assert (answer.dst_cid, answer.dst_port) == (16, 1025)
    assert (answer.buf_alloc, answer.fwd_cnt) == (BUFFER, 0)


@pytest.mark.parametrize("operation", [0, 1, 2, 4, 5, 6, 7, 8, 65535])
async def test_where_nobody_listens_everything_is_reset(
    operation: int, guest: RudeGuest
) -> None:
    guest.send(operation, port=52)

    reset = await guest.expect(Operation.RST)

    assert (reset.src_cid, reset.src_port) == (3, 52)
    assert (reset.dst_cid, reset.dst_port) == (16, 1025)


async def test_a_reset_is_never_answered(
    guest: RudeGuest, listener: VsockListener
) -> None:
    guest.send(Operation.RST)
    guest.send(Operation.RST, port=52)
    guest.send(Operation.REQUEST)

    await guest.expect(Operation.RESPONSE)


async def test_a_type_that_is_not_known_is_reset_and_ends_nothing(
    guest: RudeGuest, stream: VsockStream
) -> None:
    """As 5.10.6.4.1 has it; type 2 is seqpacket."""
    addresses = encode_addresses((16, 1025), (3, 8000))
    header = bytearray(encode_header(addresses, Operation.RW, 0, 0, (0, 0)))
    header[28] = 2
    guest.say(bytes(header))

    assert (await guest.expect(Operation.RST)).kind == 2
    guest.send(Operation.RW, b"still here")
    assert await stream.receive_some() == b"still here"


async def test_who_sends_as_somebody_else_is_ignored(
    guest: RudeGuest, listener: VsockListener
) -> None:
    guest.send(Operation.REQUEST, own_cid=17)
    guest.send(Operation.REQUEST, own_cid=2**32 + 16)
    guest.send(Operation.REQUEST)

    assert (await guest.expect(Operation.RESPONSE)).dst_cid == 16


async def test_a_cid_beyond_32_bits_is_nobodys(
    guest: RudeGuest, listener: VsockListener
) -> None:
    guest.send(Operation.REQUEST, cid=2**32 + 3)

    assert (await guest.expect(Operation.RST)).src_cid == 2**32 + 3


async def test_who_connects_twice_is_reset(
    guest: RudeGuest, stream: VsockStream
) -> None:
    guest.send(Operation.REQUEST)

    await guest.expect(Operation.RST)
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


async def test_more_than_the_buffer_holds_is_reset(
    guest: RudeGuest, stream: VsockStream
) -> None:
    guest.send(Operation.RW, bytes(BUFFER))
    guest.send(Operation.RW, b"x")

    await guest.expect(Operation.RST)
    assert await stream.receive_some() == bytes(BUFFER)
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


async def test_who_reads_tells_that_there_is_room_again(
    guest: RudeGuest, stream: VsockStream
) -> None:
    guest.send(Operation.RW, bytes(BUFFER))

    await stream.receive_some(BUFFER // 4)
    update = await guest.expect(Operation.CREDIT_UPDATE)

    assert update.fwd_cnt == BUFFER // 4
    guest.send(Operation.RW, b"more")
    await wait_all_tasks_blocked()
    assert len(await stream.receive_some()) == BUFFER - BUFFER // 4 + 4


async def test_many_requests_for_credit_get_one_answer(
    guest: RudeGuest, stream: VsockStream
) -> None:
    for _ in range(5):
        guest.send(Operation.CREDIT_REQUEST)
    await guest.expect(Operation.CREDIT_UPDATE)
    guest.send(Operation.SHUTDOWN, flags=NO_MORE_OF_EITHER)

    await guest.expect(Operation.RST)


async def test_no_more_is_sent_than_there_is_credit_for(
    guest: RudeGuest, stream: VsockStream, nursery: trio.Nursery
) -> None:
    guest.send(Operation.CREDIT_UPDATE, credit=(10, 0))
    await wait_all_tasks_blocked()
    nursery.start_soon(stream.send_all, b"0123456789abc")

    assert (await guest.expect(Operation.RW)).payload == b"0123456789"
    await wait_all_tasks_blocked()
    guest.send(Operation.CREDIT_UPDATE, credit=(10, 10))
    assert (await guest.expect(Operation.RW)).payload == b"abc"


async def test_a_half_close_says_which_half(
    guest: RudeGuest, stream: VsockStream
) -> None:
    await stream.send_eof()
    await stream.send_eof()

    assert (await guest.expect(Operation.SHUTDOWN)).flags == NO_MORE_SENT
    guest.send(Operation.RW, b"I can still speak")
    assert await stream.receive_some() == b"I can still speak"


async def test_a_peer_that_stops_receiving_may_still_send(
    guest: RudeGuest, stream: VsockStream
) -> None:
    guest.send(Operation.SHUTDOWN, flags=NO_MORE_RECEIVED)
    guest.send(Operation.RW, b"my last word")
    await wait_all_tasks_blocked()

    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"hello?")
    assert await stream.receive_some() == b"my last word"


async def test_a_peer_that_stops_receiving_wakes_who_sends(
    guest: RudeGuest, stream: VsockStream
) -> None:
    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(bytes(2**20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        guest.send(Operation.SHUTDOWN, flags=NO_MORE_RECEIVED)


async def test_a_peer_that_closes_is_told_that_it_was_heard(
    guest: RudeGuest, stream: VsockStream
) -> None:
    guest.send(Operation.RW, b"goodbye")
    guest.send(Operation.SHUTDOWN, flags=NO_MORE_OF_EITHER)

    await guest.expect(Operation.RST)
    assert await stream.receive_some() == b"goodbye"
    assert await stream.receive_some() == b""
    await stream.send_eof()  # there is nobody left to tell
    await stream.aclose()
    guest.send(Operation.REQUEST)  # the same addresses, for a new connection
    await guest.expect(Operation.RESPONSE)


async def test_a_reset_is_no_end_of_file(guest: RudeGuest, stream: VsockStream) -> None:
    guest.send(Operation.RW, b"half a sen")
    guest.send(Operation.RST)
    await wait_all_tasks_blocked()

    assert await stream.receive_some() == b"half a sen"
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_eof()


async def test_closing_waits_for_the_peer_and_drops_what_comes(
    guest: RudeGuest, stream: VsockStream, listener: VsockListener
) -> None:
    await stream.aclose()

    assert (await guest.expect(Operation.SHUTDOWN)).flags == NO_MORE_OF_EITHER
    guest.send(Operation.RW, b"sent before I knew")
    guest.send(Operation.RST)
    guest.send(Operation.REQUEST)
    await guest.expect(Operation.RESPONSE)


async def test_a_peer_that_does_not_confirm_is_reset_after_8_seconds(
    guest: RudeGuest, stream: VsockStream, autojump_clock: MockClock
) -> None:
    await stream.aclose()
    await guest.expect(Operation.SHUTDOWN)
    started = trio.current_time()

    await trio.sleep(7.9)
    guest.rings.receive(guest.received.append)
    assert not guest.received
    await trio.sleep(0.2)

    await guest.expect(Operation.RST)
    assert trio.current_time() - started < 9


async def test_connections_that_linger_end_one_after_the_other(
    guest: RudeGuest, listener: VsockListener, autojump_clock: MockClock
) -> None:
    streams = []
    for own_port in (1, 2):
        await guest.connect(own_port=own_port)
        streams.append(await listener.accept())
    for stream in streams:
        await stream.aclose()
        await guest.expect(Operation.SHUTDOWN)
        await trio.sleep(3)
    guest.send(Operation.RST, own_port=1)

    await trio.sleep(10)

    assert (await guest.expect(Operation.RST)).dst_port == 2


async def test_there_are_only_so_many_connections(
    guest: RudeGuest, network: VhostUserVsock, listener: VsockListener
) -> None:
    for own_port in range(3):
        await guest.connect(own_port=own_port)

    guest.send(Operation.REQUEST, own_port=4)
    await guest.expect(Operation.RST)
    with pytest.raises(OSError, match="3 connections with CID 16 already"):
        await network.open_stream(16, 52)

    guest.send(Operation.RST, own_port=0)
    guest.send(Operation.REQUEST, own_port=4)
    await guest.expect(Operation.RST)  # what it sent before may still be unread
    await (await listener.accept()).aclose()
    await guest.connect(own_port=4)


async def test_where_the_backlog_is_full_a_connection_is_reset(
    guest: RudeGuest, network: VhostUserVsock
) -> None:
    await network.open_listener(52, backlog=1)
    await guest.connect(52, own_port=1)

    guest.send(Operation.REQUEST, port=52, own_port=2)

    await guest.expect(Operation.RST)


async def test_a_cancelled_dial_is_taken_back(
    guest: RudeGuest, network: VhostUserVsock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.open_stream, 16, 52)
        request = await guest.expect(Operation.REQUEST)
        nursery.cancel_scope.cancel()

    reset = await guest.expect(Operation.RST)
    assert reset.src_port == request.src_port


async def test_an_answer_with_an_end_is_a_connection_that_was(
    guest: RudeGuest, network: VhostUserVsock
) -> None:
    streams: list[VsockStream] = []

    async def dial() -> None:
        streams.append(await network.open_stream(16, 52))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        port = (await guest.expect(Operation.REQUEST)).src_port
        for operation, data, flags in (
            (Operation.RESPONSE, b"", 0),
            (Operation.RW, b"too busy", 0),
            (Operation.SHUTDOWN, b"", NO_MORE_OF_EITHER),
        ):
            guest.send(operation, data, port=port, own_port=52, flags=flags)

    assert await streams[0].receive_some() == b"too busy"
    assert await streams[0].receive_some() == b""


async def test_a_guest_that_takes_nothing_is_not_remembered_for_ever(
    guest: RudeGuest, network: VhostUserVsock, nursery: trio.Nursery
) -> None:
    """Its receive queue is full, and it asks and asks: only so much waits for it."""
    exchange = network._exchange
    assert exchange is not None
    for number in range(3000):
        await guest.wait_for_room()
        guest.send(Operation.REQUEST, port=52, own_port=number)
    await wait_all_tasks_blocked()

    assert len(exchange._waiting) == _exchange._MAX_WAITING
    with pytest.raises(OSError, match="has not taken 1024 packets"):
        await network.open_stream(16, 52)

    for _ in range(128 + _exchange._MAX_WAITING):
        await guest.expect(Operation.RST)
    assert not exchange._waiting


async def test_a_guest_that_comes_and_goes_is_not_remembered_either(
    guest: RudeGuest, network: VhostUserVsock, listener: VsockListener
) -> None:
    exchange = network._exchange
    assert exchange is not None

    for number in range(1500):
        for operation in _COMING_AND_GOING:
            await guest.wait_for_room()
            guest.send(operation, own_port=number)
        if number < 300:
            await (await listener.accept()).aclose()
    await wait_all_tasks_blocked()

    assert not exchange._streams
    assert len(exchange._held) <= 3
    assert len(exchange._waiting) <= _exchange._MAX_WAITING + 3


async def test_a_buffer_that_makes_no_sense_ends_the_guest_and_not_the_sender(
    guest: RudeGuest, stream: VsockStream
) -> None:
    """The error is the guest's: who sends hears that the connection broke."""
    receiving = guest.rings.queues[0]
    for index in range(receiving.size):
        receiving.describe(index, 2**40, 4096, flags=2)

    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(bytes(2**20))

    await guest.vmm.wait_hung_up()


async def test_all_who_send_have_their_turn(tmp_path: Path) -> None:
    """One who has much to say does not keep the others from saying a little."""
    async with open_world(tmp_path / "v.sock") as (network, guest):
        listener = await guest.network.open_listener(8000)
        ends = [
            (await network.open_stream(16, 8000), await listener.accept())
            for _ in range(5)
        ]
        heard = await hear_all(ends, 2**24)

    assert min(heard) > max(heard) / 4


async def test_who_has_no_credit_keeps_nobody_else_waiting(
    guest: RudeGuest, listener: VsockListener, nursery: trio.Nursery
) -> None:
    streams = []
    for own_port in (1, 2):
        await guest.connect(own_port=own_port)
        guest.send(Operation.CREDIT_UPDATE, own_port=own_port, credit=(2**30, 0))
        streams.append(await listener.accept())
    await wait_all_tasks_blocked()
    for stream in streams:  # the first takes all the buffers, and both wait for more
        nursery.start_soon(stream.send_all, bytes(2**20))
        await wait_all_tasks_blocked()

    guest.send(Operation.CREDIT_UPDATE, own_port=1, credit=(0, 0))
    await wait_all_tasks_blocked()

    while (await guest.expect(Operation.RW)).dst_port == 1:
        pass


async def test_a_guest_with_tiny_buffers_does_not_stop_everything_else(
    guest: RudeGuest, stream: VsockStream, nursery: trio.Nursery
) -> None:
    exchange = stream._exchange  # type: ignore[attr-defined]
    receiving = guest.rings.queues[0]
    for index in range(receiving.size):
        receiving.describe(index, 0x1_0000 + 0x1000 * index, 45, flags=2)

    sent = exchange.send_some(stream.connection, memoryview(bytes(1000)))  # type: ignore[attr-defined]

    assert sent == _exchange._TURN_PACKETS


async def test_who_is_cancelled_while_waiting_gives_up_its_turn(
    guest: RudeGuest, stream: VsockStream, nursery: trio.Nursery
) -> None:
    exchange = stream._exchange  # type: ignore[attr-defined]
    await stream.send_all(bytes(128))
    while exchange._has_room():
        await stream.send_all(b"x")
    with trio.CancelScope() as scope:
        nursery.start_soon(stream.wait_send_all_might_not_block)
        await wait_all_tasks_blocked()
        scope.cancel()
    assert exchange._queue == {stream: None}

    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()

    assert not exchange._queue
    assert stream.connection.state is State.ESTABLISHED  # type: ignore[attr-defined]

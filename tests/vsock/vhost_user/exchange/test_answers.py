"""Each connection: a guest that breaks the rules, or keeps them to the letter."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.vsock.vhost_user.exchange.conftest import BUFFER
from tests.vsock.vhost_user.worlds import RudeGuest
from trionitro.abc import VsockListener, VsockStream
from trionitro.vsock import VhostUserVsock
from trionitro.vsock._vhost_user._packets import (
    NO_MORE_OF_EITHER,
    NO_MORE_RECEIVED,
    NO_MORE_SENT,
    Operation,
    encode_addresses,
    encode_header,
)


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

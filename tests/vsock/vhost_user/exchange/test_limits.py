"""All connections: how much of us a guest can have, and whose turn it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.vsock.vhost_user.worlds import RudeGuest, hear_all, open_world
from trionitro.abc import VsockListener, VsockStream
from trionitro.vsock import VhostUserVsock
from trionitro.vsock._vhost_user import _exchange
from trionitro.vsock._vhost_user._connection import State
from trionitro.vsock._vhost_user._packets import (
    Operation,
)

_COMING_AND_GOING = (Operation.REQUEST, Operation.CREDIT_REQUEST, Operation.RST)


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

"""MemoryVsock: the kernel's manners, and faults to switch on."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trionitro.abc import VMADDR_ANY, VsockAddress
from trionitro.testing import (
    MemoryVsock,
    cancel_at_every_step,
    check_vsock_network,
)
from trionitro.testing._memory_stream import BUFFER_SIZE, MemoryVsockStream
from trionitro.vsock._port_table import QueueListener


@pytest.fixture(name="parent")
def _parent() -> MemoryVsock:
    return MemoryVsock()


@pytest.fixture(name="enclave")
def _enclave(parent: MemoryVsock) -> MemoryVsock:
    return parent.at(16)


@pytest.fixture(name="listener")
async def _listener(enclave: MemoryVsock) -> QueueListener:
    return await enclave.open_listener(8000)


@pytest.fixture(name="dialled")
async def _dialled(parent: MemoryVsock, listener: QueueListener) -> MemoryVsockStream:
    return await parent.open_stream(16, 8000)


@pytest.fixture(name="accepted")
async def _accepted(
    dialled: MemoryVsockStream, listener: QueueListener
) -> MemoryVsockStream:
    accepted = await listener.accept()
    assert isinstance(accepted, MemoryVsockStream)
    return accepted


async def test_it_meets_the_contract(parent: MemoryVsock, enclave: MemoryVsock) -> None:
    await check_vsock_network(enclave, parent)


async def test_a_machine_that_dials_itself_meets_the_contract(
    parent: MemoryVsock,
) -> None:
    await check_vsock_network(parent)


async def test_it_meets_the_contract_on_a_mock_clock(
    parent: MemoryVsock, autojump_clock: MockClock
) -> None:
    await check_vsock_network(parent)


async def test_it_meets_the_contract_with_short_writes(parent: MemoryVsock) -> None:
    parent.faults.short_writes = 1000

    await check_vsock_network(parent.at(16), parent)


def test_without_a_cid_it_is_the_parents() -> None:
    assert MemoryVsock().cid == 3
    assert MemoryVsock(16).at(17).cid == 17


def test_a_cid_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="the CID 4294967295 is not"):
        MemoryVsock(VMADDR_ANY)


async def test_ports_that_cannot_be_are_refused(parent: MemoryVsock) -> None:
    with pytest.raises(ValueError, match="the port 4294967295 is not"):
        await parent.open_stream(16, VMADDR_ANY)
    with pytest.raises(ValueError, match="the port -1 is not"):
        await parent.open_listener(-1)


async def test_wires_have_nothing_to_do_with_each_other(
    listener: QueueListener,
) -> None:
    with pytest.raises(ConnectionRefusedError, match="nobody listens on vsock://16:80"):
        await MemoryVsock().open_stream(16, 8000)


async def test_machines_have_ports_of_their_own(
    parent: MemoryVsock, listener: QueueListener
) -> None:
    async with await parent.open_listener(8000) as own:
        assert own.port == listener.port


async def test_both_ends_know_each_other(
    dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    assert dialled.peer == VsockAddress(16, 8000)
    assert accepted.peer.cid == 3
    assert accepted.peer.port != VMADDR_ANY


async def test_a_full_backlog_resets_as_the_kernel_does(
    parent: MemoryVsock, enclave: MemoryVsock
) -> None:
    async with await enclave.open_listener(8000, backlog=2) as listener:
        for _ in range(2):
            await parent.open_stream(16, 8000)

        with pytest.raises(ConnectionResetError, match="backlog of vsock://16:8000"):
            await parent.open_stream(16, 8000)

        await listener.accept()
        await parent.open_stream(16, 8000)


async def test_without_a_backlog_who_waits_in_accept_is_enough(
    parent: MemoryVsock, enclave: MemoryVsock
) -> None:
    async with (
        await enclave.open_listener(8000, backlog=0) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listener.accept)
        await wait_all_tasks_blocked()
        await parent.open_stream(16, 8000)


async def test_a_listener_that_closes_lets_go_all_who_wait(
    parent: MemoryVsock, listener: QueueListener
) -> None:
    waiting = [await parent.open_stream(16, 8000) for _ in range(3)]

    await trio.aclose_forcefully(listener)

    for stream in waiting:
        assert await stream.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")


async def test_closing_a_listener_again_leaves_the_next_one_alone(
    parent: MemoryVsock, enclave: MemoryVsock, listener: QueueListener
) -> None:
    await listener.aclose()
    async with await enclave.open_listener(8000):
        await listener.aclose()

        await parent.open_stream(16, 8000)


async def test_a_reader_that_does_not_read_holds_the_sender_back(
    dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dialled.send_all, bytes(BUFFER_SIZE + 1))
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            scope.cancel()

    assert len(await accepted.receive_some(2 * BUFFER_SIZE)) == BUFFER_SIZE


async def test_sending_to_a_peer_that_has_gone_fails_at_once(
    dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    await accepted.aclose()

    with pytest.raises(trio.BrokenResourceError, match="the peer has gone"):
        await dialled.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await dialled.send_eof()


async def test_what_was_sent_before_closing_arrives(
    dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    await dialled.send_all(b"last words")
    await trio.aclose_forcefully(dialled)

    assert await accepted.receive_some() == b"last words"
    assert await accepted.receive_some() == b""


async def test_end_of_file_cannot_be_sent_after_closing(
    dialled: MemoryVsockStream,
) -> None:
    await dialled.send_eof()
    await dialled.aclose()

    with pytest.raises(trio.ClosedResourceError):
        await dialled.send_eof()


async def test_refuse_refuses_until_it_is_switched_off(
    parent: MemoryVsock, listener: QueueListener
) -> None:
    parent.faults.refuse = True
    with pytest.raises(ConnectionRefusedError, match="vsock://16:8000 refuses") as e:
        await parent.open_stream(16, 8000)
    assert e.value.errno == errno.ECONNREFUSED

    parent.faults.refuse = False
    await parent.open_stream(16, 8000)


async def test_faults_are_those_of_all_machines_on_the_wire(
    parent: MemoryVsock, enclave: MemoryVsock
) -> None:
    assert parent.faults is enclave.faults
    assert parent.faults is not MemoryVsock().faults


async def test_delay_makes_connecting_slow(
    parent: MemoryVsock, listener: QueueListener, autojump_clock: MockClock
) -> None:
    parent.faults.delay = 3600
    started = trio.current_time()

    await parent.open_stream(16, 8000)

    assert trio.current_time() - started == pytest.approx(3600)


async def test_a_dial_cancelled_in_its_delay_was_never_there(
    parent: MemoryVsock, listener: QueueListener, autojump_clock: MockClock
) -> None:
    parent.faults.delay = 3600
    with trio.move_on_after(1):
        await parent.open_stream(16, 8000)

    with trio.move_on_after(10_000) as scope:
        await listener.accept()
    assert scope.cancelled_caught


async def test_reset_after_breaks_the_connection_for_both(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    parent.faults.reset_after = 10

    with pytest.raises(trio.BrokenResourceError):
        await dialled.send_all(b"0123456789ABC")

    assert await accepted.receive_some() == b"0123456789"
    assert await accepted.receive_some() == b""
    assert await dialled.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await accepted.send_all(b"x")


async def test_reset_after_counts_both_directions(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    parent.faults.reset_after = 10
    await dialled.send_all(b"12345")
    await accepted.send_all(b"6789")

    with pytest.raises(trio.BrokenResourceError):
        await dialled.send_all(b"0A")

    assert await accepted.receive_some() == b"123450"
    assert await dialled.receive_some() == b"6789"


async def test_reset_after_breaks_at_its_last_byte_and_not_before_the_next(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    parent.faults.reset_after = 10

    await dialled.send_all(b"0123456789")

    assert await dialled.receive_some() == b""


async def test_reset_after_nothing_breaks_every_connection_at_once(
    parent: MemoryVsock, listener: QueueListener
) -> None:
    parent.faults.reset_after = 0

    stream = await parent.open_stream(16, 8000)

    assert await stream.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")


async def test_reset_after_less_than_was_sent_breaks_at_the_next_byte(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    await dialled.send_all(b"12345")
    parent.faults.reset_after = 3

    with pytest.raises(trio.BrokenResourceError):
        await dialled.send_all(b"67890")

    assert await accepted.receive_some() == b"12345"


async def test_a_sender_held_back_learns_of_a_reset(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    parent.faults.reset_after = BUFFER_SIZE + 5

    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await dialled.send_all(bytes(2 * BUFFER_SIZE))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        await accepted.send_all(b"12345")


async def test_short_writes_make_small_pieces(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    parent.faults.short_writes = 2

    await dialled.send_all(b"12345")
    await dialled.aclose()

    assert [piece async for piece in accepted] == [b"12", b"34", b"5"]


def test_writes_cannot_be_shorter_than_a_byte(parent: MemoryVsock) -> None:
    with pytest.raises(ValueError, match="short_writes"):
        parent.faults.short_writes = 0


async def test_short_writes_can_be_cancelled_between_two_pieces(
    parent: MemoryVsock, dialled: MemoryVsockStream, accepted: MemoryVsockStream
) -> None:
    parent.faults.short_writes = 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dialled.send_all, b"123456789")
        assert await accepted.receive_some() == b"1"
        nursery.cancel_scope.cancel()
    await dialled.aclose()

    rest = b"".join([piece async for piece in accepted])
    assert len(rest) < 8
    assert b"23456789".startswith(rest)


def test_cancelled_anywhere_a_conversation_leaves_a_wire_that_works() -> None:
    async def conversation() -> None:
        parent = MemoryVsock()
        enclave = parent.at(16)
        try:
            async with (
                await enclave.open_listener(8000) as listener,
                await parent.open_stream(16, 8000) as dialled,
                await listener.accept() as accepted,
            ):
                await dialled.send_all(b"ping")
                await dialled.send_eof()
                assert await accepted.receive_some() == b"ping"
                await accepted.send_all(b"pong")
                assert await dialled.receive_some() == b"pong"
        finally:
            with trio.CancelScope(shield=True):
                async with await enclave.open_listener(8000) as listener:
                    await parent.open_stream(16, 8000)
                    await listener.accept()

    assert cancel_at_every_step(conversation) > 10

"""How a real AF_VSOCK's streams end and fill up, and that ours make the best of it."""

from __future__ import annotations

import errno
import select
import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel_vsock import LOCAL, vsock_pair
from trionitro.abc import VMADDR_ANY, VsockStream
from trionitro.vsock import KernelVsock

#: What the kernel holds for a receiver that doesn't read.
WINDOW = 2**18

StreamPair = tuple[VsockStream, VsockStream]


@pytest.fixture(name="pair")
async def _pair() -> StreamPair:
    """Return a connection's two ends, the one that dialled first."""
    network = KernelVsock()
    async with await network.open_listener(VMADDR_ANY) as listener:
        near = await network.open_stream(LOCAL, listener.port)
        return near, await listener.accept()


def test_after_its_own_end_of_file_a_socket_is_never_writable() -> None:
    """TCP's always is, and who waits for that here waits until the peer hangs up."""
    near, far = vsock_pair()
    with near, far:
        poll = select.poll()
        poll.register(near, select.POLLOUT)
        assert poll.poll(1000)

        near.shutdown(socket.SHUT_WR)

        assert poll.poll(100) == []


async def test_after_its_own_end_of_file_ours_says_so_in_place_of_waiting(
    pair: StreamPair,
) -> None:
    near, far = pair
    async with near, far:
        await near.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await near.wait_send_all_might_not_block()


async def test_after_the_peers_close_the_first_send_fails(pair: StreamPair) -> None:
    """TCP takes one more, which is lost."""
    near, far = pair
    async with near:
        await far.aclose()
        assert await near.receive_some(1) == b""
        with pytest.raises(trio.BrokenResourceError) as broken:
            await near.send_all(b"x")

    assert isinstance(broken.value.__cause__, BrokenPipeError)


async def test_after_the_peers_close_what_it_said_can_still_be_read(
    pair: StreamPair,
) -> None:
    near, far = pair
    async with near:
        await far.send_all(b"last words")
        await far.aclose()
        await wait_all_tasks_blocked(0.1)
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(b"x")
        assert await near.receive_some() == b"last words"


async def test_a_close_with_bytes_unread_reads_as_a_clean_end(
    pair: StreamPair,
) -> None:
    """TCP would reset: a reader of a vsock can't tell an abort from an end."""
    near, far = pair
    async with near:
        await near.send_all(b"never read")
        await far.aclose()

        assert await near.receive_some(1) == b""


async def test_who_was_never_accepted_reads_an_end() -> None:
    network = KernelVsock()
    listener = await network.open_listener(VMADDR_ANY)
    async with await network.open_stream(LOCAL, listener.port) as stream:
        await listener.aclose()

        assert await stream.receive_some(1) == b""


async def test_the_credit_comes_back_in_bursts(pair: StreamPair) -> None:
    """A sender that waits is woken when much has been read, not a byte for a byte."""
    near, far = pair
    async with near, far, trio.open_nursery() as nursery:
        nursery.start_soon(near.send_all, bytes(WINDOW + 1))
        await wait_all_tasks_blocked(0.1)
        assert await far.receive_some(1000)
        await wait_all_tasks_blocked(0.1)
        assert nursery.child_tasks, "sent, although hardly anything was read"

        received = 1000
        while received < WINDOW + 1:
            received += len(await far.receive_some(1000))


async def test_a_blocked_senders_peer_that_goes_away_is_noticed(
    pair: StreamPair,
) -> None:
    near, far = pair
    async with near, trio.open_nursery() as nursery:

        async def send() -> None:
            with pytest.raises(trio.BrokenResourceError) as broken:
                await near.send_all(bytes(2 * WINDOW))
            assert isinstance(broken.value.__cause__, OSError)
            assert broken.value.__cause__.errno == errno.EPIPE

        nursery.start_soon(send)
        await wait_all_tasks_blocked(0.1)
        await far.aclose()


async def test_with_something_to_read_a_blocked_sender_is_not_woken(
    pair: StreamPair,
) -> None:
    """Whoever sends much must also read, as the documentation of ours says."""
    near, far = pair
    async with near, trio.open_nursery() as nursery:
        await far.send_all(b"read me")
        nursery.start_soon(near.send_all, bytes(2 * WINDOW))
        await wait_all_tasks_blocked(0.1)
        await far.aclose()
        await wait_all_tasks_blocked(0.1)
        assert nursery.child_tasks, "woken: mend KernelVsock's documentation"
        nursery.cancel_scope.cancel()

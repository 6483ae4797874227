"""FirecrackerVsock: the host's side of a hybrid vsock."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trionitro._unix import open_unix_listener, open_unix_stream
from trionitro.abc import VMADDR_ANY, VsockAddress
from trionitro.testing import FirecrackerMachine, check_vsock_network
from trionitro.vsock import FirecrackerVsock, SocketVsockStream

Vmm = Callable[[trio.SocketStream], Awaitable[object]]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    return str(tmp_path / "v.sock")


@pytest.fixture(name="host")
def _host(path: str) -> FirecrackerVsock:
    return FirecrackerVsock(path, cid=16)


@asynccontextmanager
async def serving(path: str, vmm: Vmm) -> AsyncIterator[None]:
    """Let ``vmm`` answer who connects, as a VMM in a bad mood would."""
    async with await open_unix_listener(path) as listener, trio.open_nursery() as tasks:
        tasks.start_soon(trio.serve_listeners, vmm, [listener])
        yield
        tasks.cancel_scope.cancel()


async def say(answer: bytes, stream: trio.SocketStream) -> None:
    """Take the command, answer, and hang up."""
    await stream.receive_some()
    await stream.send_all(answer)


async def hang_up_at_once(stream: trio.SocketStream) -> None:
    """Close the connection with the command unread, which resets it."""
    await stream.socket.recv(1, socket.MSG_PEEK)


async def say_nothing(stream: trio.SocketStream) -> None:
    """Take whatever comes."""
    async for _ in stream:
        pass


async def test_the_guest_meets_the_contract(host: FirecrackerVsock, path: str) -> None:
    machine = FirecrackerMachine(path, cid=16)
    async with trio.open_nursery() as nursery:
        await nursery.start(machine.serve)
        await check_vsock_network(machine.guest, host)
        nursery.cancel_scope.cancel()


async def test_the_host_meets_the_contract(host: FirecrackerVsock, path: str) -> None:
    await check_vsock_network(host, FirecrackerMachine(path, cid=16).guest)


async def test_the_command_is_sent_and_its_answer_taken_off(
    host: FirecrackerVsock, path: str
) -> None:
    async with await open_unix_listener(path) as listener:
        dialled: list[SocketVsockStream] = []

        async def dial() -> None:
            dialled.append(await host.open_stream(16, 52))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial)
            vmm = await listener.accept()
            assert await vmm.receive_some() == b"CONNECT 52\n"
            await vmm.send_all(b"OK 1073741824\nhello")

        async with vmm, dialled[0] as stream:
            assert await stream.receive_some() == b"hello"
            assert stream.peer == VsockAddress(16, 52)


async def test_an_answer_may_come_in_pieces(host: FirecrackerVsock, path: str) -> None:
    async def stammer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for byte in b"OK 5\nhello":
            await stream.send_all(bytes([byte]))
            await wait_all_tasks_blocked()

    async with serving(path, stammer), await host.open_stream(16, 52) as stream:
        received = b"".join([bytes(data) async for data in stream])

    assert received == b"hello"


@pytest.mark.parametrize(
    "vmm",
    [partial(say, b""), hang_up_at_once, partial(say, b"OK 12")],
    ids=["closes", "resets", "closes in the middle"],
)
async def test_a_vmm_that_hangs_up_refuses(
    vmm: Vmm, host: FirecrackerVsock, path: str
) -> None:
    message = "can't connect to vsock://16:52: nobody listens on that port of the guest"

    async with serving(path, vmm):
        with pytest.raises(ConnectionRefusedError, match=message):
            await host.open_stream(16, 52)


@pytest.mark.parametrize(
    "answer", [b"NO\n", b"HTTP/1.1 400 Bad Request\r\n", b"O" * 99]
)
async def test_any_other_answer_is_an_error_that_shows_it(
    answer: bytes, host: FirecrackerVsock, path: str
) -> None:
    async with serving(path, partial(say, answer)):
        with pytest.raises(OSError, match="the answer to CONNECT") as refusal:
            await host.open_stream(16, 52)

    assert refusal.value.errno == errno.EPROTO
    assert "can't connect to vsock://16:52" in str(refusal.value)


async def test_a_silent_vmm_gets_ten_seconds(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(path, say_nothing):
        started = trio.current_time()
        with pytest.raises(TimeoutError, match="not answered within 10 seconds"):
            await FirecrackerVsock(path).open_stream(16, 52)

        assert trio.current_time() - started == pytest.approx(10, abs=0.1)


async def test_a_silent_vmm_gets_as_long_as_one_likes(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    host = FirecrackerVsock(path, handshake_timeout=0.5)

    async with serving(path, say_nothing):
        with pytest.raises(TimeoutError, match=r"not answered within 0.5 seconds") as e:
            await host.open_stream(16, 52)

    assert e.value.errno == errno.ETIMEDOUT


async def test_the_callers_own_deadline_stays_the_callers(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(path, say_nothing):
        with trio.move_on_after(3) as scope:
            await FirecrackerVsock(path).open_stream(16, 52)

    assert scope.cancelled_caught


async def test_a_cancelled_handshake_hangs_up(
    host: FirecrackerVsock, path: str
) -> None:
    async with await open_unix_listener(path) as listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.open_stream, 16, 52)
            vmm = await listener.accept()
            assert await vmm.receive_some() == b"CONNECT 52\n"
            nursery.cancel_scope.cancel()

        async with vmm:
            assert await vmm.receive_some() == b""


async def test_without_a_vmm_the_error_names_its_socket(
    host: FirecrackerVsock, path: str
) -> None:
    with pytest.raises(FileNotFoundError, match=f"can't connect to {path}"):
        await host.open_stream(16, 52)


async def test_another_cid_than_the_guests_is_an_error_that_says_so(
    host: FirecrackerVsock, path: str
) -> None:
    message = f"can't connect to vsock://17:52: behind {path} there is only the guest"

    with pytest.raises(OSError, match=message) as refusal:
        await host.open_stream(17, 52)

    assert refusal.value.errno == errno.ENETUNREACH


async def test_without_the_guests_cid_any_will_do(path: str) -> None:
    async with (
        serving(path, partial(say, b"OK 5\n")),
        await FirecrackerVsock(path).open_stream(17, 52) as stream,
    ):
        assert stream.peer == VsockAddress(17, 52)


async def test_a_port_of_the_host_is_a_socket_beside_the_vmms(
    host: FirecrackerVsock, path: str
) -> None:
    async with (
        await host.open_listener(52) as listener,
        await open_unix_stream(f"{path}_52") as guest,
        await listener.accept() as stream,
    ):
        await guest.send_all(b"the first byte is data")
        assert await stream.receive_some() == b"the first byte is data"
        assert stream.peer == VsockAddress(16, VMADDR_ANY)

    assert not Path(f"{path}_52").exists()


async def test_without_the_guests_cid_its_connections_are_from_nobody_we_know(
    path: str,
) -> None:
    async with (
        await FirecrackerVsock(path).open_listener(VMADDR_ANY) as listener,
        await open_unix_stream(f"{path}_{listener.port}"),
        await listener.accept() as stream,
    ):
        assert stream.peer == VsockAddress(VMADDR_ANY, VMADDR_ANY)


async def test_a_port_of_the_host_can_be_in_use(host: FirecrackerVsock) -> None:
    async with await host.open_listener(52):
        with pytest.raises(OSError, match="somebody listens there already") as refusal:
            await host.open_listener(52)

    assert refusal.value.errno == errno.EADDRINUSE


async def test_ports_and_cids_that_cannot_be_are_refused(
    host: FirecrackerVsock,
) -> None:
    with pytest.raises(ValueError, match="the port -1 is not"):
        await host.open_stream(16, -1)
    with pytest.raises(ValueError, match="the port 4294967296 is not"):
        await host.open_listener(2**32)


def test_the_host_is_cid_2(host: FirecrackerVsock) -> None:
    assert host.cid == 2

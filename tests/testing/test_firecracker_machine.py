"""FirecrackerMachine: as strict as the VMM that it stands for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro._unix import open_unix_listener, open_unix_stream
from trionitro.abc import VsockAddress
from trionitro.testing import FirecrackerMachine
from trionitro.testing._firecracker import decode_command_untrusted


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    return str(tmp_path / "v.sock")


@pytest.fixture(name="machine")
async def _machine(path: str, nursery: trio.Nursery) -> FirecrackerMachine:
    machine = FirecrackerMachine(path, cid=16)
    await nursery.start(machine.serve)
    return machine


async def talk(path: str, command: bytes) -> bytes:
    """Say something to the VMM, and return the line that it answers."""
    async with await open_unix_stream(path) as stream:
        await stream.send_all(command)
        try:
            return await stream.receive_some()
        except trio.BrokenResourceError:
            return b""


async def test_it_connects_to_whoever_listens_in_the_guest(
    machine: FirecrackerMachine, path: str
) -> None:
    async with await machine.guest.open_listener(52) as listener:
        answer = await talk(path, b"CONNECT 52\n")

        word, number = answer.split()
        assert word == b"OK"
        assert 2**30 <= int(number) < 2**31
        async with await listener.accept() as stream:
            assert stream.peer == VsockAddress(2, int(number))


async def test_what_follows_the_command_is_the_guests(
    machine: FirecrackerMachine, path: str
) -> None:
    async with await machine.guest.open_listener(52) as listener:
        assert await talk(path, b"CONNECT 52\nhello") != b""
        async with await listener.accept() as stream:
            assert await stream.receive_some() == b"hello"


async def test_where_nobody_listens_it_hangs_up(
    machine: FirecrackerMachine, path: str
) -> None:
    assert await talk(path, b"CONNECT 52\n") == b""


async def test_where_the_backlog_is_full_it_hangs_up(
    machine: FirecrackerMachine, path: str
) -> None:
    async with await machine.guest.open_listener(52, backlog=1):
        assert await talk(path, b"CONNECT 52\n") != b""
        assert await talk(path, b"CONNECT 52\n") == b""


async def test_it_survives_whoever_hangs_up_first(
    machine: FirecrackerMachine, path: str
) -> None:
    async with await machine.guest.open_listener(52):
        for command in (b"", b"CONN", b"CONNECT 52\n"):
            async with await open_unix_stream(path) as stream:
                await stream.send_all(command)

        assert await talk(path, b"CONNECT 52\n") != b""


@pytest.mark.parametrize(
    "command",
    [
        b"CONNECT 5",
        b"CONNECT\n",
        b"CONNECT 52",
        b"CONNECTED 52\n",
        b"HELLO 52 \n",
        b"CONNECT  five\n",
        b"CONNECT -52\n",
        b"\n\n\n\n\n\n\n\n\n\n",
    ],
)
async def test_anything_but_a_command_makes_it_hang_up(
    command: bytes, machine: FirecrackerMachine, path: str
) -> None:
    async with (
        await machine.guest.open_listener(52),
        await machine.guest.open_listener(5),
    ):
        assert await talk(path, command) == b""


@pytest.mark.parametrize(
    ("arrived", "port", "size"),
    [
        (b"CONNECT 5\n", 5, 10),
        (b"connect 5\n", 5, 10),
        (b"Connect\t52 whatever\nhello", 52, 20),
        (b"CONNECT 4294967295\n", 2**32 - 1, 19),
        (b"CONNECT 52 " + b"x" * 21, 52, 32),
        (b"connect\n52\n", 52, 11),
    ],
)
def test_a_command_is_read_as_firecracker_does(
    arrived: bytes, port: int, size: int
) -> None:
    assert decode_command_untrusted(arrived) == (port, size)


def test_a_port_has_32_bits() -> None:
    with pytest.raises(ProtocolError, match="is no command"):
        decode_command_untrusted(b"CONNECT 4294967296\n")


@given(arrived=st.binary(max_size=32) | st.binary(max_size=24).map(b"CONNECT ".__add__))
def test_nothing_but_a_protocol_error_comes_of_any_bytes(arrived: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        port, size = decode_command_untrusted(arrived)
        assert 0 <= port < 2**32
        assert 10 <= size <= len(arrived)


async def test_its_guest_reaches_nobody_but_the_host(
    machine: FirecrackerMachine,
) -> None:
    with pytest.raises(TimeoutError, match="a guest can't reach vsock://3:52"):
        await machine.guest.open_stream(3, 52)


async def test_its_guest_is_reset_where_the_host_does_not_listen(
    machine: FirecrackerMachine,
) -> None:
    with pytest.raises(ConnectionResetError, match="nobody on the host listens"):
        await machine.guest.open_stream(2, 52)


async def test_its_guest_needs_no_server_to_reach_the_host(path: str) -> None:
    guest = FirecrackerMachine(path).guest

    async with (
        await open_unix_listener(f"{path}_52") as listener,
        await guest.open_stream(2, 52) as stream,
        await listener.accept() as host,
    ):
        await stream.send_all(b"no handshake")
        assert await host.receive_some() == b"no handshake"
        assert stream.peer == VsockAddress(2, 52)


async def test_cancelled_it_takes_its_socket_away(path: str) -> None:
    machine = FirecrackerMachine(path)
    async with trio.open_nursery() as nursery:
        await nursery.start(machine.serve)
        assert Path(path).is_socket()
        nursery.cancel_scope.cancel()

    assert not Path(path).exists()


async def test_cancelled_it_hangs_up_on_who_has_not_asked_yet(path: str) -> None:
    machine = FirecrackerMachine(path)
    async with trio.open_nursery() as nursery:
        await nursery.start(machine.serve)
        stream = await open_unix_stream(path)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    async with stream:
        assert await stream.receive_some() == b""


async def test_a_guest_that_stops_listening_lets_go_who_waits(
    machine: FirecrackerMachine, path: str
) -> None:
    listener = await machine.guest.open_listener(52)
    async with await open_unix_stream(path) as waiting:
        await waiting.send_all(b"CONNECT 52\n")
        assert (await waiting.receive_some()).startswith(b"OK ")
        await trio.testing.wait_all_tasks_blocked()

        await listener.aclose()

        assert await waiting.receive_some() == b""

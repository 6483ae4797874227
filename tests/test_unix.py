from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trionitro._unix import (
    UnixListener,
    connect_unix,
    open_unix_listener,
    open_unix_stream,
)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "x.sock"


@pytest.fixture(name="held")
def _held() -> Iterator[ExitStack]:
    """Sockets that stay open until the test is over."""
    with ExitStack() as stack:
        yield stack


def bound(held: ExitStack, path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that somebody else has bound to ``path``."""
    sock = held.enter_context(socket.socket(socket.AF_UNIX, kind))
    sock.bind(str(path))
    return sock


def leave_stale_socket(path: Path) -> None:
    """Leave a file behind as a program does that was killed."""
    with ExitStack() as stack:
        bound(stack, path).listen()


async def expect_connection(listener: UnixListener) -> None:
    """Check that whoever connects to the path gets to this listener."""
    async with (
        await open_unix_stream(listener.path) as client,
        await listener.accept() as server,
    ):
        await client.send_all(b"x")
        assert await server.receive_some() == b"x"


async def test_bytes_go_both_ways(path: Path) -> None:
    async with (
        await open_unix_listener(path) as listener,
        await open_unix_stream(path) as client,
        await listener.accept() as server,
    ):
        await client.send_all(b"ping")
        assert await server.receive_some() == b"ping"
        await server.send_all(b"pong")
        assert await client.receive_some() == b"pong"


async def test_a_listener_knows_its_path_and_its_socket(path: Path) -> None:
    async with await open_unix_listener(path) as listener:
        assert listener.path == str(path)
        assert listener.socket.getsockname() == str(path)


async def test_connections_beyond_the_backlog_wait_for_their_turn(path: Path) -> None:
    """The kernel says EAGAIN to them, which Trio would take for success."""
    echoed = []

    async def ask(number: int) -> None:
        async with await open_unix_stream(path) as stream:
            await stream.send_all(bytes([number]))
            echoed.append(await stream.receive_some())

    async with (
        await open_unix_listener(path, backlog=1) as listener,
        trio.open_nursery() as nursery,
    ):
        for number in range(20):
            nursery.start_soon(ask, number)
        await wait_all_tasks_blocked()
        for _ in range(20):
            async with await listener.accept() as stream:
                await stream.send_all(await stream.receive_some())

    assert sorted(echoed) == [bytes([number]) for number in range(20)]


async def test_those_who_wait_have_their_turns_in_order(path: Path) -> None:
    """Of a crowd one asks the kernel, and even a newcomer joins the queue."""
    accepted = []

    async def say(number: int) -> None:
        async with await open_unix_stream(path) as stream:
            await stream.send_all(bytes([number]))

    async with (
        await open_unix_listener(path, backlog=0) as listener,
        trio.open_nursery() as nursery,
    ):
        for number in range(6):
            nursery.start_soon(say, number)
            await wait_all_tasks_blocked()
        for late in (6, 7):
            async with await listener.accept() as stream:
                nursery.start_soon(say, late)
                accepted.append(await stream.receive_some())
        for _ in range(6):
            async with await listener.accept() as stream:
                accepted.append(await stream.receive_some())

    assert accepted == [bytes([number]) for number in range(8)]


async def test_a_connection_that_waits_for_its_turn_can_be_cancelled(
    path: Path, held: ExitStack
) -> None:
    async with await open_unix_listener(path, backlog=0):
        held.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        waiting = held.enter_context(socket.socket(socket.AF_UNIX))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect_unix, waiting, path)
            await wait_all_tasks_blocked()
            assert waiting.fileno() != -1
            nursery.cancel_scope.cancel()

    assert waiting.fileno() == -1


async def test_a_cancelled_connect_has_not_connected(path: Path) -> None:
    async with await open_unix_listener(path) as listener:
        with trio.CancelScope() as scope:
            scope.cancel()
            await open_unix_stream(path)

        listener.socket._sock.setblocking(False)  # type: ignore[attr-defined]
        with pytest.raises(BlockingIOError):
            listener.socket._sock.accept()  # type: ignore[attr-defined]


async def test_where_nothing_is_the_error_names_the_path(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"can't connect to {path}: No such"):
        await open_unix_stream(path)


async def test_where_nobody_listens_any_more_the_error_names_the_path(
    path: Path,
) -> None:
    leave_stale_socket(path)

    with pytest.raises(ConnectionRefusedError, match=f"can't connect to {path}"):
        await open_unix_stream(path)


async def test_a_stale_socket_is_replaced(path: Path) -> None:
    leave_stale_socket(path)

    async with await open_unix_listener(path) as listener:
        await expect_connection(listener)


async def test_a_live_socket_is_left_to_its_owner(path: Path) -> None:
    async with await open_unix_listener(path) as listener:
        with pytest.raises(OSError, match="somebody listens there already") as refusal:
            await open_unix_listener(path)

        assert refusal.value.errno == errno.EADDRINUSE
        await expect_connection(listener)


async def test_a_live_socket_with_a_full_backlog_is_left_to_its_owner(
    path: Path, held: ExitStack
) -> None:
    async with await open_unix_listener(path, backlog=0):
        held.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))

        with pytest.raises(OSError, match="somebody listens there already"):
            await open_unix_listener(path)


async def test_asking_whether_a_socket_is_live_is_no_connection(
    path: Path, held: ExitStack
) -> None:
    """Whoever listens there would otherwise serve it, and dial somebody for it."""
    live = bound(held, path)
    live.listen()
    live.setblocking(False)

    with pytest.raises(OSError, match="somebody listens there already"):
        await open_unix_listener(path)

    with pytest.raises(BlockingIOError):
        live.accept()


@pytest.mark.parametrize(
    "kind",
    [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET],
    ids=["stream that doesn't listen yet", "datagram", "packets"],
)
async def test_a_socket_of_any_other_kind_is_left_to_its_owner(
    kind: int, path: Path, held: ExitStack
) -> None:
    bound(held, path, kind)

    with pytest.raises(OSError, match="somebody listens there already"):
        await open_unix_listener(path)
    assert path.is_socket()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to any socket")
async def test_a_socket_that_cannot_be_asked_is_left_alone(path: Path) -> None:
    leave_stale_socket(path)
    path.chmod(0)

    with pytest.raises(PermissionError, match=f"can't listen on {path}"):
        await open_unix_listener(path)
    assert path.is_socket()


async def test_what_is_not_a_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious", encoding="utf-8")

    with pytest.raises(FileExistsError, match=f"{path}: what is there is not a socket"):
        await open_unix_listener(path)
    assert path.read_text(encoding="utf-8") == "precious"


async def test_a_symbolic_link_is_left_alone(path: Path) -> None:
    path.symlink_to("elsewhere")

    with pytest.raises(FileExistsError, match="not a socket"):
        await open_unix_listener(path)
    assert path.is_symlink()


async def test_a_missing_directory_is_an_error_that_names_the_path(path: Path) -> None:
    lost = path.parent / "lost" / "x.sock"

    with pytest.raises(FileNotFoundError, match=f"can't listen on {lost}"):
        await open_unix_listener(lost)


async def test_a_place_that_takes_no_sockets_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"can't listen on /proc/x\.sock"):
        await open_unix_listener("/proc/x.sock")


async def test_of_many_that_listen_at_once_one_wins(path: Path) -> None:
    leave_stale_socket(path)
    winners = []
    losers = []

    async def race() -> None:
        try:
            winners.append(await open_unix_listener(path))
        except OSError as error:
            losers.append(error.errno)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(race)

    assert losers == [errno.EADDRINUSE] * 19
    (winner,) = winners
    async with winner:
        await expect_connection(winner)


async def test_a_directory_that_somebody_keeps_locked_is_waited_for(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    listeners = []

    async def listen() -> None:
        listeners.append(await open_unix_listener(path))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        assert not path.exists()
        os.close(directory)

    await listeners[0].aclose()


async def test_waiting_for_a_locked_directory_can_be_cancelled(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)

    with trio.move_on_after(0.01) as scope:
        await open_unix_listener(path)

    os.close(directory)
    assert scope.cancelled_caught
    assert not path.exists()


async def test_closing_removes_the_file(path: Path) -> None:
    listener = await open_unix_listener(path)
    assert path.is_socket()

    await listener.aclose()

    assert not path.exists()


async def test_closing_while_cancelled_removes_the_file(path: Path) -> None:
    listener = await open_unix_listener(path)

    await trio.aclose_forcefully(listener)

    assert not path.exists()
    assert listener.socket.fileno() == -1


async def test_closing_leaves_a_file_that_somebody_else_has_put_there(
    path: Path, held: ExitStack
) -> None:
    listener = await open_unix_listener(path)
    path.unlink()
    bound(held, path)

    await listener.aclose()

    assert path.is_socket()


async def test_closing_again_leaves_the_next_ones_file(path: Path) -> None:
    """Whose file has, as often as not, the very same inode number."""
    first = await open_unix_listener(path)
    await first.aclose()
    async with await open_unix_listener(path):
        await first.aclose()

        assert path.is_socket()


async def test_closing_a_listener_whose_file_is_gone_is_no_error(path: Path) -> None:
    listener = await open_unix_listener(path)
    path.unlink()

    await listener.aclose()


async def test_closing_wakes_who_waits_to_accept(path: Path) -> None:
    listener = await open_unix_listener(path)

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        await listener.aclose()


async def test_the_longest_path_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async with await open_unix_listener("x" * 107) as listener:
        await expect_connection(listener)


IMPOSSIBLE = {
    "x" * 108: "108 bytes long, and a unix socket's may have 107; use a shorter",
    "ü" * 54: "108 bytes long",
    "": "the path is empty or has a NUL byte in it",
    "\0abstract": "the path is empty or has a NUL byte in it",
    "a\0b": "the path is empty or has a NUL byte in it",
}


@pytest.mark.parametrize("path", IMPOSSIBLE)
async def test_impossible_paths_are_refused_before_anything_is_done(path: str) -> None:
    with pytest.raises(OSError, match=IMPOSSIBLE[path]) as refusal:
        await open_unix_stream(path)
    with pytest.raises(OSError, match=IMPOSSIBLE[path]):
        await open_unix_listener(path)

    assert refusal.value.errno in (errno.ENAMETOOLONG, errno.EINVAL)

"""LocalVsock: a vsock that is a directory."""

from __future__ import annotations

import errno
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from trionitro._reset import socket_of
from trionitro.abc import VMADDR_ANY, VsockAddress
from trionitro.testing import check_vsock_network
from trionitro.vsock import LocalVsock, SocketVsockStream, _local
from trionitro.vsock._local import peer_untrusted

UNKNOWN = VsockAddress(VMADDR_ANY, VMADDR_ANY)


@pytest.fixture(name="parent")
def _parent(tmp_path: Path) -> LocalVsock:
    return LocalVsock(tmp_path)


@pytest.fixture(name="enclave")
def _enclave(tmp_path: Path) -> LocalVsock:
    return LocalVsock(tmp_path, cid=16)


@pytest.fixture(name="many_files")
def _many_files() -> Iterator[None]:
    """As many open files as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_it_meets_the_contract(parent: LocalVsock, enclave: LocalVsock) -> None:
    await check_vsock_network(enclave, parent)


async def test_a_machine_that_dials_itself_meets_the_contract(
    parent: LocalVsock,
) -> None:
    await check_vsock_network(parent)


def test_without_a_cid_it_is_the_parents() -> None:
    assert LocalVsock("/tmp/vsock").cid == 3


@pytest.mark.parametrize("cid", [-1, 2**32 - 1, 2**32 + 3])
def test_a_cid_that_cannot_be_is_refused(cid: int) -> None:
    with pytest.raises(ValueError, match=f"the CID {cid} is not a number from 0 to"):
        LocalVsock("/tmp/vsock", cid=cid)


async def test_an_address_is_a_socket_in_the_directory(
    enclave: LocalVsock, tmp_path: Path
) -> None:
    async with await enclave.open_listener(8000):
        assert (tmp_path / "16" / "8000.sock").is_socket()

    assert not (tmp_path / "16" / "8000.sock").exists()


async def test_a_free_port_is_a_socket_in_the_directory(
    enclave: LocalVsock, tmp_path: Path
) -> None:
    async with await enclave.open_listener(VMADDR_ANY) as listener:
        assert (tmp_path / "16" / f"{listener.port}.sock").is_socket()


async def test_a_free_port_is_looked_for_until_there_is_one(
    enclave: LocalVsock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionitro.vsock._ports.random_port", iter([5, 5, 6]).__next__)

    async with (
        await enclave.open_listener(VMADDR_ANY) as first,
        await enclave.open_listener(VMADDR_ANY) as second,
    ):
        assert (first.port, second.port) == (5, 6)


async def test_looking_for_a_free_port_ends_at_any_other_error(tmp_path: Path) -> None:
    network = LocalVsock(tmp_path / ("x" * 100))

    with pytest.raises(OSError, match="use a shorter directory"):
        await network.open_listener(VMADDR_ANY)


async def test_a_file_where_the_directory_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "16").write_text("precious", encoding="utf-8")

    with pytest.raises(FileExistsError):
        await LocalVsock(tmp_path, cid=16).open_listener(8000)


async def test_directories_are_made_for_the_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    network = LocalVsock(tmp_path / "a" / "b", cid=16)

    async with await network.open_listener(8000):
        made = [tmp_path / part for part in ("a", "a/b", "a/b/16")]
        assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


async def test_nothing_but_the_programs_bytes_is_on_the_stream(
    parent: LocalVsock, tmp_path: Path
) -> None:
    """Plain tools can be the listener."""
    (tmp_path / "16").mkdir()
    with socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(tmp_path / "16" / "8000.sock"))
        plain.listen()

        async with await parent.open_stream(16, 8000) as stream:
            await stream.send_all(b"x")
        server, name = plain.accept()

    with server:
        assert server.recv(100) == b"x"
        assert server.recv(100) == b""
    assert name.startswith(b"\0trionitro/3/")


async def test_a_client_without_a_name_is_nobody_we_know(
    enclave: LocalVsock, tmp_path: Path
) -> None:
    """Plain tools can be the client."""
    async with await enclave.open_listener(8000) as listener:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(tmp_path / "16" / "8000.sock"))
            async with await listener.accept() as stream:
                plain.send(b"hello")

                assert stream.peer == UNKNOWN
                assert await stream.receive_some() == b"hello"


async def test_a_client_has_an_address(parent: LocalVsock, enclave: LocalVsock) -> None:
    async with (
        await enclave.open_listener(8000) as listener,
        await parent.open_stream(16, 8000) as dialled,
        await listener.accept() as accepted,
    ):
        name = dialled.socket.getsockname()
        assert dialled.peer == VsockAddress(16, 8000)
        assert accepted.peer == VsockAddress(3, int(name.rpartition(b"/")[2]))


async def test_a_peer_that_has_gone_before_it_was_accepted_still_has_an_address(
    parent: LocalVsock, enclave: LocalVsock
) -> None:
    async with await enclave.open_listener(8000) as listener:
        await (await parent.open_stream(16, 8000)).aclose()
        async with await listener.accept() as accepted:
            assert accepted.peer.cid == 3


async def test_a_client_takes_another_port_if_its_first_is_taken(
    parent: LocalVsock, enclave: LocalVsock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: Iterator[int] = iter([70_000, 70_000, 70_001])
    monkeypatch.setattr(_local, "random_port", ports.__next__)

    async with (
        await enclave.open_listener(8000) as listener,
        await parent.open_stream(16, 8000),
        await parent.open_stream(16, 8000),
        await listener.accept() as first,
        await listener.accept() as second,
    ):
        assert first.peer.port == 70_000
        assert second.peer.port == 70_001


@given(cid=st.integers(0, VMADDR_ANY - 1), port=st.integers(0, VMADDR_ANY - 1))
def test_names_are_read_back(cid: int, port: int) -> None:
    assert peer_untrusted(b"\0trionitro/%d/%d" % (cid, port)) == VsockAddress(cid, port)


@pytest.mark.parametrize(
    "name",
    [
        "",
        b"",
        "/tmp/client.sock",
        "\udcff",
        b"trionitro/3/5",
        b"\0trionitro/3",
        b"\0trionitro/3/",
        b"\0trionitro/3/5/",
        b"\0trionitro/3/5\n",
        b"\0trionitro/3/5\0",
        b"\0trionitro/03/5",
        b"\0trionitro/+3/5",
        b"\0trionitro/-3/5",
        b"\0trionitro/ 3/5",
        b"\0trionitro/3_0/5",
        b"\0trionitro/x/5",
        b"\0trionitro/3/4294967295",
        b"\0trionitro/4294967295/5",
        b"\0trionitro/99999999999/5",
        "\0trionitro/\u0663/5".encode(),
        b"\0Trionitro/3/5",
        b"\0other/3/5",
    ],
)
def test_any_other_name_is_nobody_we_know(name: str | bytes) -> None:
    assert peer_untrusted(name) == UNKNOWN


@given(
    name=st.binary()
    | st.text(st.characters(codec="utf-8"))
    | st.from_regex(rb"\x00trionitro/[0-9+-]*/[0-9 ]*", fullmatch=True)
)
def test_every_name_is_an_address(name: str | bytes) -> None:
    peer = peer_untrusted(name)

    exact = b"\0trionitro/%d/%d" % (peer.cid, peer.port)
    assert peer == UNKNOWN or name == exact


async def test_where_nobody_listens_the_error_names_the_address_and_the_directory(
    parent: LocalVsock, tmp_path: Path
) -> None:
    message = f"nobody listens on vsock://16:8000 in the directory {tmp_path};"

    with pytest.raises(ConnectionRefusedError, match=message) as refusal:
        await parent.open_stream(16, 8000)
    assert refusal.value.errno == errno.ECONNREFUSED

    (tmp_path / "16").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "16" / "8000.sock"))
    with pytest.raises(ConnectionRefusedError, match=message):
        await parent.open_stream(16, 8000)


async def test_a_stale_socket_is_replaced_and_a_live_one_is_in_use(
    enclave: LocalVsock, tmp_path: Path
) -> None:
    (tmp_path / "16").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "16" / "8000.sock"))

    async with await enclave.open_listener(8000):
        with pytest.raises(OSError, match="somebody listens there already") as refusal:
            await enclave.open_listener(8000)

    assert refusal.value.errno == errno.EADDRINUSE


async def test_a_directory_that_is_too_long_is_an_error_that_says_so(
    tmp_path: Path,
) -> None:
    network = LocalVsock(tmp_path / ("x" * 100))

    with pytest.raises(OSError, match="use a shorter directory") as refusal:
        await network.open_listener(8000)
    assert refusal.value.errno == errno.ENAMETOOLONG
    with pytest.raises(OSError, match="use a shorter directory"):
        await network.open_stream(3, 8000)


async def test_ports_and_cids_that_cannot_be_are_refused(parent: LocalVsock) -> None:
    with pytest.raises(ValueError, match="the port 4294967295 is not"):
        await parent.open_stream(16, VMADDR_ANY)
    with pytest.raises(ValueError, match="the CID 4294967296 is not"):
        await parent.open_stream(2**32, 8000)
    with pytest.raises(ValueError, match="the port -1 is not"):
        await parent.open_listener(-1)


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_clients_at_once_are_all_served(
    parent: LocalVsock, enclave: LocalVsock
) -> None:
    answers = []

    async def answer(stream: SocketVsockStream) -> None:
        await stream.send_all(await stream.receive_some())

    async def ask(number: int) -> None:
        async with await parent.open_stream(16, 8000) as stream:
            await stream.send_all(b"%d" % number)
            answers.append(int(await stream.receive_some()))

    listener = await enclave.open_listener(8000, backlog=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        async with trio.open_nursery() as askers:
            for number in range(1000):
                askers.start_soon(ask, number)
        nursery.cancel_scope.cancel()

    assert sorted(answers) == list(range(1000))


async def test_its_streams_show_their_socket(
    parent: LocalVsock, enclave: LocalVsock
) -> None:
    async with (
        await enclave.open_listener(8000) as listener,
        await parent.open_stream(16, 8000) as dialled,
        await listener.accept() as accepted,
    ):
        assert socket_of(dialled) is dialled.socket
        assert socket_of(accepted) is accepted.socket
        assert accepted.socket.family == socket.AF_UNIX


async def test_after_end_of_file_there_is_nothing_to_wait_for(
    parent: LocalVsock, enclave: LocalVsock
) -> None:
    """The kernel's vsock would never say that the stream is writable again."""
    async with (
        await enclave.open_listener(8000),
        await parent.open_stream(16, 8000) as stream,
    ):
        await stream.send_eof()

        with pytest.raises(trio.ClosedResourceError, match="after sending EOF"):
            await stream.wait_send_all_might_not_block()


async def test_a_dial_that_is_cancelled_while_it_waits_for_its_turn_leaves_no_name(
    parent: LocalVsock, enclave: LocalVsock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is free again: binding it a second time works."""
    monkeypatch.setattr(_local, "random_port", iter([70_000, 70_001, 70_001]).__next__)

    async with (
        await enclave.open_listener(8000, backlog=0),
        await parent.open_stream(16, 8000),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parent.open_stream, 16, 8000)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        with socket.socket(socket.AF_UNIX) as again:
            again.bind(b"\0trionitro/3/70001")

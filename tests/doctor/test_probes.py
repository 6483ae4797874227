"""The probes, on this machine: its files, ports and names, but no vsock of its own."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

import pytest
import trio

from trionitro._endpoints import Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._exceptions import CannotStartError
from trionitro.doctor import SystemProbes
from trionitro.nsm import KernelNsm, UnixNsm
from trionitro.testing import MemoryVsock, NsmEmulator
from trionitro.vsock import FirecrackerVsock, LocalVsock


@pytest.mark.parametrize(
    ("probes", "vsock", "nsm"),
    [
        (SystemProbes(), "", ""),
        (SystemProbes(network=LocalVsock("/v", cid=9)), "local:/v", ""),
        (SystemProbes(network=FirecrackerVsock("/f")), "firecracker:/f", ""),
        (SystemProbes(network=MemoryVsock(4)), "MemoryVsock", ""),
        (SystemProbes(device=UnixNsm("/n")), "", "unix:/n"),
        (SystemProbes(device=KernelNsm("/dev/nsm7")), "", "/dev/nsm7"),
        (SystemProbes(device=NsmEmulator()), "", "NsmEmulator"),
    ],
)
def test_what_is_used_is_named_as_its_option_does(
    probes: SystemProbes, vsock: str, nsm: str
) -> None:
    assert (probes.vsock_name, probes.nsm_name) == (vsock, nsm)


def test_the_cid_is_the_networks() -> None:
    assert SystemProbes(network=LocalVsock("/v", cid=9)).cid() == 9


def test_this_machine_has_a_loopback_interface() -> None:
    assert SystemProbes().interfaces()["lo"] & 0x8


def test_this_machine_has_random_numbers_and_a_clock() -> None:
    probes = SystemProbes()

    assert probes.is_seeded()
    assert probes.now() > time.time() - 60


def test_what_is_no_clock_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ptp0").touch()

    with pytest.raises(OSError, match="Invalid argument"):
        SystemProbes().clock_offset(tmp_path / "ptp0")


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff" + bytes(2**19))

    text = SystemProbes().read_file(path)

    assert text[0] == "\ufffd"
    assert len(text) == 2**18


def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert SystemProbes().read_file(tmp_path / "pipe") == ""


def test_a_device_that_may_not_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        SystemProbes().open_device(tmp_path)


def test_a_program_is_found_on_path(tmp_path: Path) -> None:
    program = tmp_path / "signer"
    program.touch(mode=0o755)

    assert SystemProbes().find_program("signer", str(tmp_path)) == str(program)
    assert SystemProbes().find_program("no such program", None) is None


async def test_a_module_tells_who_it_is_and_what_time() -> None:
    sight = await SystemProbes(device=NsmEmulator()).ask_module()

    assert sight.module_id.startswith("i-")
    assert sight.clock_offset is not None
    assert abs(sight.clock_offset) < 60
    assert sight.problem == ""


async def test_a_module_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    sight = await SystemProbes(device=KernelNsm(str(tmp_path / "nsm"))).ask_module()

    assert "there is no" in sight.problem


async def test_a_socket_that_nobody_listens_on_is_no_module(tmp_path: Path) -> None:
    sight = await SystemProbes(device=UnixNsm(str(tmp_path / "nsm"))).ask_module()

    assert sight.problem


async def test_localhost_resolves() -> None:
    assert "127.0.0.1" in await SystemProbes().resolve("localhost")


@pytest.mark.parametrize("name", [f"{64 * 'a'}.invalid", "a..b", "300.1.1.1"])
async def test_what_can_be_no_name_does_not_resolve(name: str) -> None:
    with pytest.raises(OSError, match=r"[Nn]ame|address"):
        await SystemProbes().resolve(name)


def is_taken(endpoint: Endpoint, probes: SystemProbes | None = None) -> bool:
    """Try to listen on ``endpoint``."""
    try:
        trio.run((probes or SystemProbes()).try_listening, endpoint)
    except OSError as error:
        assert error.errno == errno.EADDRINUSE  # noqa: PT017  it is an answer
        return True
    return False


def test_a_tcp_port_is_taken_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = TcpEndpoint("127.0.0.1", server.getsockname()[1])

        assert is_taken(endpoint)
        assert is_taken(TcpEndpoint("", endpoint.port))

    assert not is_taken(endpoint)


def test_an_address_of_another_machine_cant_be_listened_on() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        trio.run(SystemProbes().try_listening, TcpEndpoint("192.0.2.77", 0))


def test_a_unix_socket_is_taken_while_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "with blanks  in it.sock"
    endpoint = UnixEndpoint(str(path))
    assert not is_taken(endpoint)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not is_taken(endpoint)
        server.listen()
        assert is_taken(endpoint)

    assert not is_taken(endpoint)
    assert path.exists()


@pytest.mark.parametrize("kind", ["local", "firecracker"])
def test_a_vsock_port_made_of_a_unix_socket_is_looked_up(
    tmp_path: Path, kind: str
) -> None:
    if kind == "local":
        probes = SystemProbes(network=LocalVsock(tmp_path, cid=7))
        path = tmp_path / "7" / "8000.sock"
        path.parent.mkdir()
    else:
        probes = SystemProbes(network=FirecrackerVsock(str(tmp_path / "v.sock")))
        path = tmp_path / "v.sock_8000"
    endpoint = VsockEndpoint(None, 8000)
    assert not is_taken(endpoint, probes)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert is_taken(endpoint, probes)


async def test_a_server_is_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = TcpEndpoint("127.0.0.1", server.getsockname()[1])
        await SystemProbes().try_connecting(endpoint)

    with pytest.raises(OSError, match="connect"):
        await SystemProbes().try_connecting(endpoint)


def nitro_cli(tmp_path: Path, says: str) -> str:
    program = tmp_path / "nitro-cli"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(program)


async def test_enclaves_that_run_are_told_by_their_cid(tmp_path: Path) -> None:
    one = '{"EnclaveID": "i-e1", "EnclaveCID": 16, "State": "RUNNING"'
    other = '{"EnclaveID": "i-e2", "EnclaveCID": 17, "State": "TERMINATING"'
    says = f'[{one}, "EnclaveName": "signer"}}, {other}}}]'

    found = await SystemProbes().running_enclaves(nitro_cli(tmp_path, says))

    assert found == {16: "signer"}


async def test_a_nitro_cli_that_makes_no_sense_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="JSON"):
        await SystemProbes().running_enclaves(nitro_cli(tmp_path, "[ E51 ]"))

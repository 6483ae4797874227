"""Each way in which a boot fails: one line with a remedy, which the parent gets too."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.enclave.world import World, manifest_of
from trionitro.manifest import make_plan
from trionitro.nsm import KernelNsm

EGRESS = """
    [[egress]]
    host = "kms.example.com"
    port = {port}
    address = "127.0.0.2"
"""


def check_told(world: World, problem: str) -> None:
    """Check that the parent was told the same, and that nothing is left."""
    assert "\n" not in problem
    assert world.parent.end is not None
    assert world.parent.end.last_words == problem
    assert (world.parent.end.code, world.parent.end.signal) == (None, None)
    assert world.parent.states[-1].phase == "failed"
    assert not world.hosts.exists()


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        world = World(tmp_path, manifest_of("true", EGRESS.format(port=port)))

        problem = await world.fail()

    assert f"tcp://127.0.0.2:{port}: can't listen there: Address already" in problem
    assert "stop what listens there" in problem
    check_told(world, problem)


async def test_a_hosts_file_that_can_t_be_written(tmp_path: Path) -> None:
    world = World(tmp_path / "missing", manifest_of("true", EGRESS.format(port=8443)))

    problem = await world.fail()

    assert f"can't write the hosts file {tmp_path}/missing/hosts: No such" in problem
    assert "make it writable" in problem
    check_told(world, problem)


async def test_no_security_module(tmp_path: Path) -> None:
    world = World(tmp_path, manifest_of("true"), nsm=KernelNsm("/no/such/nsm"))

    problem = await world.fail()

    assert "/no/such/nsm" in problem
    check_told(world, problem)


async def test_no_parent(tmp_path: Path) -> None:
    world = World(tmp_path, manifest_of("true", "[control]\nwait = 0.05"))

    with pytest.raises(ExceptionGroup) as caught:
        await world.boot().run()

    problem = str(caught.value.exceptions[0])
    assert "no parent at vsock://3:1617000 in 0.05 s: " in problem
    assert "start `trionitro parent` there" in problem
    assert not world.hosts.exists()


async def test_a_parent_with_another_manifest(tmp_path: Path) -> None:
    world = World(tmp_path, manifest_of("true"))
    other = make_plan(manifest_of("false"))
    world.parent.control.digest = other.digest

    problem = await world.fail()

    assert "the parent has another manifest: the digest" in problem
    assert "give both the same" in problem
    assert world.parent.states == []


async def test_a_volume_whose_server_is_down(tmp_path: Path) -> None:
    volume = f"""
        [control]
        wait = 0.05
        [[volume]]
        export = "/srv"
        mount = "{tmp_path}/mnt"
        server = "127.0.0.1:{unused_port()}"
    """
    world = World(tmp_path, manifest_of("true", volume))

    problem = await world.fail()

    assert problem.startswith("volume[0]: no NFS server at 127.1.0.1:")
    assert "start NFS version 4 on the parent" in problem
    check_told(world, problem)


@pytest.mark.parametrize("command", ["/no/such/program", "no-such-program"])
async def test_a_command_that_doesn_t_exist(tmp_path: Path, command: str) -> None:
    world = World(tmp_path, manifest_of([command]))

    problem = await world.fail()

    assert problem == (
        f"can't run the command {command!r}: No such file or directory; correct"
        " [enclave] command, or add the program to the image"
    )
    check_told(world, problem)


def unused_port() -> int:
    """Find a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port

"""A manifest booted for real: both halves of one machine, an NFS volume between them.

The parent's half is a process beside an NFS server. The enclave's is one with a
network, mounts and a host name of its own, that reaches nothing but the vsock, which
the kernel doesn't divide.

"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from benchmarks.nfs_server import exported
from trionitro.manifest import make_plan, parse_manifest, render_files
from trionitro.sandbox import LoggedProcess, run_logged

EXPORT = Path("/srv/signer")

#: Where NFS's own mount helper is; mount.nfs4 and umount.nfs4 are links to it.
HELPER = Path("/usr/sbin/mount.nfs")

BLOCK = 2**16

#: An application that writes until it is told to stop, each block to the server's disk.
WRITER = f"""
import os, signal, sys
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
number = 0
with open(sys.argv[1], "wb", buffering=0) as file:
    while not ending:
        assert file.write(number.to_bytes(8, "big") * {BLOCK // 8}) == {BLOCK}
        os.fsync(file.fileno())
        number += 1
        print(number, flush=True)
"""

#: Enters what unshare has made.
ENTER = """
hostname "$1"
cp /etc/hosts "$2" && mount --bind "$2" /etc/hosts
shift 2
exec "$@"
"""


@attrs.define
class Machine:
    """A machine that is an enclave and its parent.

    Attributes:
      directory: for files.
      nursery: where processes run; they end with the test.

    """

    directory: Path
    nursery: trio.Nursery
    _enclaves: int = attrs.field(init=False, default=0)

    @property
    def mount(self) -> Path:
        """Where the enclave has its volume."""
        return self.directory / "volume"

    def write(self, command: list[str], *, wait: int = 20, **volume: object) -> None:
        """Write the manifest of an enclave with a volume and a way out."""
        given = {"export": str(EXPORT), "mount": str(self.mount), **volume}
        lines = [f"{key} = {json.dumps(value)}" for key, value in given.items()]
        entry = "\n".join(lines)
        (self.directory / "nitro.toml").write_text(
            f"""
            [enclave]
            name = "signer"
            cid = 1
            parent_cid = 1
            command = {json.dumps(command)}
            [[egress]]
            host = "127.0.0.1"
            port = 8080
            names = ["outside.example"]
            [control]
            wait = {wait}
            [[volume]]
            {entry}
            """
        )

    async def start_parent(self) -> LoggedProcess:
        """Start the parent's half, for which the enclave's may have to wait."""
        return await self._start("parent")

    async def start_enclave(self) -> LoggedProcess:
        """Start the enclave's half, where there is no network."""
        hosts = str(self.directory / "hosts")
        # NFS knows its clients by it: after this one comes another.
        self._enclaves += 1
        name = f"{self.directory.name[-50:].replace('_', '-')}-{self._enclaves}"
        enter = ("sh", "-c", ENTER, "enter", name, hosts)
        return await self._start(
            "enclave", *("unshare", "--net", "--mount", "--uts"), *enter
        )

    async def _start(self, half: str, *before: str) -> LoggedProcess:
        module = (sys.executable, "-m", "trionitro", half)
        words = [*before, *module, str(self.directory / "nitro.toml")]
        options = ("--vsock", "kernel", "--log-format", "json")
        process: LoggedProcess = await self.nursery.start(
            partial(run_logged, [*words, *options])
        )
        return process


@pytest.fixture(name="machine")
def _machine(tmp_path: Path, nursery: trio.Nursery) -> Machine:
    return Machine(tmp_path, nursery)


@pytest.fixture(name="server", scope="module", autouse=True)
def _server() -> Iterator[None]:
    """Export what a manifest says, with the line that is written for it."""
    text = f"""
        [enclave]
        name = "signer"
        cid = 16
        command = ["true"]
        [[volume]]
        export = "{EXPORT}"
        mount = "/mnt"
    """
    plan = make_plan(parse_manifest(text, source="nitro.toml"))
    files = {file.name: file for file in render_files(plan, manifest=text, path="")}
    line = files["exports"].text.splitlines()[-1]
    with exported(EXPORT, line, size="200m"):
        yield


@contextlib.contextmanager
def no_helper() -> Iterator[None]:
    """Be an image without nfs-utils meanwhile."""
    elsewhere = HELPER.with_name("elsewhere")
    HELPER.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(HELPER)


#: With mount.nfs4, and with mount(2) alone.
WITH_AND_WITHOUT: Sequence[Callable[[], contextlib.AbstractContextManager[None]]] = (
    contextlib.nullcontext,
    no_helper,
)


async def serve_http(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\nthe outside")


async def wait_said(
    parent: LoggedProcess, wanted: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Wait for a line of the application that is wanted."""
    count = 0
    while True:
        count += 1
        line = (await parent.wait_logged("said", count))[count - 1]
        if line["source"] == "stdout" and wanted(line):
            return line


def said_by_boot(parent: LoggedProcess) -> list[dict[str, Any]]:
    """Return the log of the boot, as the parent has it."""
    lines = [line for line in parent.lines if line.get("source") == "boot"]
    return [json.loads(line["line"]) for line in lines]


async def test_a_manifest_boots_to_an_application_with_a_volume(
    machine: Machine, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """With NFS's mount helper, and then again without it."""
    (EXPORT / "given").write_text("from the parent")
    serve = partial(trio.serve_tcp, serve_http, 8080, host="127.0.0.1")
    await machine.nursery.start(serve)
    fetch = "curl -s http://outside.example:8080/"
    copy = f"cat given; {fetch} > written; cat written"
    machine.write(
        ["sh", "-c", f"hostname; ip -br addr; cd {machine.mount} && {copy}; exit 7"]
    )
    parent = await machine.start_parent()

    for count, helper in enumerate(WITH_AND_WITHOUT, 1):
        with helper():
            enclave = await machine.start_enclave()
            code = await enclave.wait()
        *_, exited = await parent.wait_logged("enclave exited", count)

        assert (code, exited["code"]) == (7, 7), enclave.lines[-1]
        heard = [
            line["line"] for line in parent.lines if line.get("source") == "stdout"
        ]
        assert "127.0.0.1/8 127.0.0.2/32 127.1.0.1/32" in " ".join(heard)
        assert heard[-1] == "from the parentthe outside"
        assert heard.count(heard[-1]) == count
        written = EXPORT / "written"
        assert written.read_text() == "the outside"
        written.unlink()
        steps = check_boot(enclave, parent)
        for name, seconds in steps.items():
            record_testsuite_property(f"boot {count}: {name}", seconds)
    await parent.wait_logged("ready")
    parent.process.send_signal(signal.SIGTERM)

    assert await parent.wait() == 0


def check_boot(enclave: LoggedProcess, parent: LoggedProcess) -> dict[str, float]:
    """Check a boot that went well, and return the seconds of each of its steps."""
    events = [line["event"] for line in enclave.lines]
    assert "unmounted" in events
    assert "letting go of a volume" not in events
    steps = {line["step"]: line for line in enclave.lines if "did" in line}
    assert steps["entropy"]["did"] == "1024 bytes from the security module"
    (booted,) = [line for line in enclave.lines if line["event"] == "booted"]
    assert booted in [
        {**line, "timestamp": booted["timestamp"]} for line in said_by_boot(parent)
    ]
    seconds = {name: step["seconds"] for name, step in steps.items()}
    return {**seconds, "all": booted["seconds"]}


async def test_a_parent_that_is_killed_and_comes_back_loses_nothing(
    machine: Machine,
) -> None:
    """A hard mount: who writes waits meanwhile, and goes on."""
    machine.write([sys.executable, "-c", WRITER, str(machine.mount / "blocks")])
    parent = await machine.start_parent()
    enclave = await machine.start_enclave()
    await wait_said(parent, lambda line: int(line["line"]) >= 3)

    parent.process.kill()
    await parent.wait()
    before = (EXPORT / "blocks").stat().st_size // BLOCK
    parent = await machine.start_parent()
    await wait_said(parent, lambda line: int(line["line"]) >= before + 3)
    enclave.process.send_signal(signal.SIGTERM)

    assert await enclave.wait() == 0
    (exited,) = await parent.wait_logged("enclave exited")
    assert exited["code"] == 0
    events = [line["event"] for line in enclave.lines]
    assert "found the parent again" in events
    assert "unmounted" in events
    # An NFS client whose every connection is accepted and reset tries like mad.
    assert events.count("dial failed") == 0
    written = (EXPORT / "blocks").read_bytes()
    count = len(written) // BLOCK
    assert count >= before + 3
    assert written == b"".join(
        number.to_bytes(8, "big") * (BLOCK // 8) for number in range(count)
    )


async def test_a_volume_whose_server_is_down_is_a_clear_error(machine: Machine) -> None:
    machine.write(["true"], wait=8, server="127.0.0.1:1")
    parent = await machine.start_parent()

    enclave = await machine.start_enclave()

    assert await enclave.wait() == 1
    (exited,) = await parent.wait_logged("enclave exited")
    problem = enclave.lines[-1]["event"]
    assert "volume[0]: no NFS server at 127.1.0.1:1 in 8 s: it didn't an" in problem
    assert "start NFS version 4 on the parent" in problem
    assert exited["last_words"] in problem
    waiting = [line for line in enclave.lines if line["event"] == "waiting for NFS"]
    assert waiting


async def test_a_directory_that_is_not_exported_is_a_clear_error(
    machine: Machine,
) -> None:
    """With NFS's mount helper, and then again without it."""
    machine.write(["true"], export="/srv/none")
    await machine.start_parent()

    for helper in WITH_AND_WITHOUT:
        with helper():
            enclave = await machine.start_enclave()
            assert await enclave.wait() == 1

        problem = enclave.lines[-1]["event"]
        assert "volume[0]: can't mount 127.1.0.1:/srv/none: mount" in problem
        assert "create the directory on the parent, and export it" in problem


@pytest.mark.slow
async def test_a_volume_whose_parent_is_gone_is_let_go_of(machine: Machine) -> None:
    """Half a minute of waiting: for what was written, and for the parent."""
    machine.write([sys.executable, "-c", WRITER, str(machine.mount / "blocks")])
    parent = await machine.start_parent()
    enclave = await machine.start_enclave()
    await wait_said(parent, lambda line: int(line["line"]) >= 3)

    parent.process.kill()
    await parent.wait()
    enclave.process.send_signal(signal.SIGTERM)
    await enclave.wait_logged("letting go of a volume")

    assert await enclave.wait() != 0

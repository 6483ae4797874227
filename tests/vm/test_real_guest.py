"""``trionitro vm run`` with a real QEMU, and a real kernel in it.

Where the environment variable ``TRIONITRO_TEST_VM`` is set, and a kit for guests can
be built; that takes minutes. Each guest takes half a minute to boot where the machine
is quiet, so each shows several things.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from tests.enclave.processes import processes_of
from tests.vm import look_around

pytestmark = [
    pytest.mark.skipif(
        "TRIONITRO_TEST_VM" not in os.environ,
        reason="boots a virtual machine, which TRIONITRO_TEST_VM=1 asks for",
    ),
    pytest.mark.timeout(900),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "vm"

MANIFEST = """
    [enclave]
    name = "look"
    cid = 20
    command = ["false"]
    user = "nobody"
    environment = {{ OWN = "from the manifest" }}
    restart = "always"

    [[egress]]
    host = "127.0.0.1"
    port = {port}
    names = ["greeter.internal"]
"""


@attrs.define(eq=False)
class Run:
    """A ``trionitro vm run`` that runs.

    Attributes:
      process: it.
      directory: its directory for all that is temporary.
      out: what it has written on standard output.
      err: likewise, on standard error.
      code: its exit code, in the end.

    """

    process: trio.Process
    directory: Path
    out: str = ""
    err: str = ""
    code: int | None = None
    _news: trio.Event = attrs.field(init=False, factory=trio.Event)

    async def wait_for(self, text: str) -> None:
        """Wait until ``text`` was written."""
        while text not in self.out + self.err:
            assert self.code is None, self.out + self.err
            await self._news.wait()

    async def read(self, name: str) -> None:
        """Read what it writes on ``stdout`` or ``stderr``."""
        stream, attribute = getattr(self.process, name), name.removeprefix("std")
        async for data in stream:
            setattr(self, attribute, getattr(self, attribute) + data.decode())
            self._tell()

    async def wait(self) -> None:
        """Wait for its end."""
        self.code = await self.process.wait()
        self._tell()

    def check_nothing_left(self) -> None:
        """Check that there is no process and no file of it any more."""
        assert not processes_of(str(self.directory))
        assert not list(self.directory.iterdir())

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


@pytest.fixture(name="directory")
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vm-", dir="/tmp") as directory:
        yield Path(directory)


@asynccontextmanager
async def vm_run(directory: Path, *arguments: str | Path) -> AsyncIterator[Run]:
    """Run ``trionitro vm run``, and be there until it has ended."""
    temporary = directory / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "trionitro", "vm", "run", *map(str, arguments)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            functools.partial(
                trio.run_process,
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
                env=environment,
            )
        )
        run = Run(process, temporary)
        for name in ("stdout", "stderr"):
            nursery.start_soon(run.read, name)
        yield run
        await run.wait()
    run.check_nothing_left()


async def greet(stream: trio.SocketStream) -> None:
    async with stream:
        said = await stream.receive_some(1000)
        await stream.send_all(b"hello " + said)


async def test_a_command_finds_itself_in_a_machine_of_its_own(directory: Path) -> None:
    """Its files, its user, the names of the plan and no others, a real module."""
    app, data = directory / "app", directory / "data"
    for made in (app, data):
        made.mkdir()
    shutil.copy(look_around.__file__, app / "look_around.py")
    (data / "more.txt").write_text("more")
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            functools.partial(trio.serve_tcp, greet, 0, host="127.0.0.1")
        )
        port = str(listener.socket.getsockname()[1])
        manifest = app / "nitro.toml"
        manifest.write_text(MANIFEST.format(port=port))
        options = ("--files", str(app), "--files", f"{data}:/data", "--cpus", "1")
        command = ("python", "look_around.py", port, "--console")
        async with vm_run(directory, *options, manifest, "--", *command) as run:
            pass
        nursery.cancel_scope.cancel()

    assert run.code == 7, run.err
    found = json.loads(run.out)
    assert found["arguments"] == [port, "--console"]
    assert found["here"] == ["look_around.py", "nitro.toml"]
    assert found["there"] == "more"
    assert found["host name"] == "look"
    assert found["interfaces"] == ["lo"]
    assert found["processors"] == 1
    assert found["user"] != 0
    assert found["environment"]["OWN"] == "from the manifest"
    assert "TRIONITRO_NSM" not in found["environment"]
    assert found["vsock"] == 5000
    assert found["named"] == "hello from the guest\n"
    assert found["unnamed"] == "OSError"
    assert json.loads(found["module"])["module_id"].startswith("i-")
    assert "looked around" in run.err.splitlines()
    assert "Power down" not in run.err


async def test_the_example_signs_with_a_key_of_an_attested_kms(directory: Path) -> None:
    """KMS, credentials, an ingress, and Ctrl-C, as the documentation has it."""
    shutil.copytree(EXAMPLE, directory / "vm")
    manifest = directory / "vm" / "nitro.toml"
    manifest.write_text(manifest.read_text().replace("127.0.0.1:8443", "127.0.0.1:0"))

    async with vm_run(directory, "--cpus", "1", manifest) as run:
        await run.wait_for("signing\n")
        ingress = re.search(r"listen=tcp://127.0.0.1:(\d+) forward=vsock", run.err)
        assert ingress is not None
        answers = {await ask(int(ingress[1]), "pay 5 to Ann\n") for _ in range(2)}
        run.process.send_signal(signal.SIGINT)

    assert run.code == 0, run.err
    assert run.out.splitlines() == ["signing", "done"]
    assert len(answers) == 1
    assert len(answers.pop()) == 64 + 1
    assert "attestation documents are signed by an emulator" in run.err


async def ask(port: int, line: str) -> str:
    """Ask the example's enclave, through its ingress."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(line.encode())
        return b"".join([bytes(data) async for data in stream]).decode()


async def test_a_guest_whose_kernel_crashes_is_an_error(directory: Path) -> None:
    manifest = directory / "nitro.toml"
    manifest.write_text(MANIFEST.format(port=443).replace('user = "nobody"', ""))
    script = "echo about to; sleep 1; echo c > /proc/sysrq-trigger; sleep 1000"

    command = ("sh", "-c", script)
    async with vm_run(directory, "--cpus", "1", manifest, "--", *command) as run:
        pass

    assert run.code == 1
    assert run.out == "about to\n"
    assert "the guest broke down" in run.err.splitlines()[-1]
    assert "sysrq triggered crash" in run.err


async def test_a_guest_that_takes_too_long_is_an_error(directory: Path) -> None:
    manifest = directory / "nitro.toml"
    manifest.write_text(MANIFEST.format(port=443))

    async with vm_run(directory, "--boot-timeout", "0.5", manifest) as run:
        pass

    assert run.code == 1
    assert "hasn't booted in 0.5 s" in run.err.splitlines()[-1]

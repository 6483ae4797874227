"""Two virtual machines on one switch, and programs in them that a test runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from trionitro.abc import VsockStream
from trionitro.vm import Kit, Machine, run_guest
from trionitro.vsock import VhostUserSwitch, VhostUserVsock

__all__ = ["Guest", "Program", "Story", "fill", "networks"]

#: What is in both guests.
PROGRAMS: Final = Path(__file__).with_name("guests")

#: Where a guest's agent listens, and this process's CID for the guests.
_AGENT: Final = 2000
_HOST: Final = 2

#: Seconds for anything at all. A guest boots in ten, and two of them on a machine
#: that has other things to do in a few times that.
_PATIENCE: Final = 120.0


def fill(work: Path, files: Mapping[str, bytes]) -> None:
    """Write what a guest has in ``/job``: its programs, and files of the test."""
    shutil.copytree(PROGRAMS, work, ignore=shutil.ignore_patterns("__pycache__"))
    for name, data in files.items():
        (work / name).write_bytes(data)


@attrs.define(eq=False)
class Program:
    """A program in a guest.

    Attributes:
      command: what it is.
      lines: what it has printed so far.
      code: its exit code, once it has one; never if its guest went away.
      is_over: whether it, or its guest, has come to its end.

    """

    command: list[str]
    stream: VsockStream
    lines: list[str] = attrs.field(factory=list)
    code: int | None = None
    is_over: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event)

    async def follow(self) -> None:
        """Take in what it prints, until its end."""
        rest = b""
        try:
            async for data in self.stream:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line.decode())
        except trio.BrokenResourceError:
            pass
        self.is_over = True
        self._notice()

    def _take(self, line: str) -> None:
        mark, text = line[:2], line[2:]
        if mark == "= ":
            self.code = int(text)
        else:
            self.lines.append(text)
        self._notice()

    def _notice(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def line(self, pattern: str, *, after: int = 0) -> str:
        """Wait until it prints a line that ``pattern`` is found in, and return it.

        Args:
          pattern: a regular expression.
          after: how many lines it may not be among: the first so many.

        """
        while True:
            for line in self.lines[after:]:
                if re.search(pattern, line):
                    return line
            assert not self.is_over, f"{self} has not printed {pattern!r}"
            await self._changed.wait()

    async def end(self) -> int | None:
        """Wait until it has ended, and return its exit code."""
        while not self.is_over:
            await self._changed.wait()
        return self.code

    async def send_signal(self, name: str) -> None:
        """Send it the signal ``name``."""
        await self.stream.send_all(f"{name}\n".encode())

    def __str__(self) -> str:
        words = " ".join(self.command)[:200]
        return "\n  ".join([f"$ {words}", *self.lines, f"exit code {self.code}"])


@attrs.define(eq=False)
class Guest:
    """A virtual machine, which can be booted again and again.

    Attributes:
      name: what it is called.
      network: this process's side of its vsock.
      kit: what it boots.
      directory: has what is in ``/job`` under its name, and gets its results.
      devices: more for QEMU.
      nursery: for what goes on while the test does.
      console: what its console shows.
      programs: what was run in it.

    """

    name: str
    network: VhostUserVsock
    kit: Kit
    directory: Path
    devices: tuple[str, ...]
    nursery: trio.Nursery
    console: bytearray = attrs.field(factory=bytearray)
    programs: list[Program] = attrs.field(factory=list)
    _ended: trio.Event = attrs.field(factory=trio.Event)
    _status: int | None = None

    async def boot(self) -> None:
        """Boot it, and return when it can run programs."""
        self._ended = trio.Event()
        self.nursery.start_soon(self._run)
        await self.network.wait_for_guest()
        while not await self._is_up():
            await trio.sleep(0.1)

    async def _run(self) -> None:
        machine = Machine(
            kit=self.kit,
            processors=1,  # there are two guests, and few more processors here
            memory_mib=1024,
            vsock=Path(self.network.socket_path),
            devices=self.devices,
        )
        out = self.directory / f"{self.name}.out"
        out.mkdir(exist_ok=True)
        run = await run_guest(
            machine, self.directory / self.name, out, console=self.console.extend
        )
        self._status = run.status
        self._ended.set()

    async def _is_up(self) -> bool:
        try:
            stream = await self.network.open_stream(self.network.guest_cid, _AGENT)
        except OSError:
            return False
        await stream.aclose()
        return True

    async def start(self, *command: str, **environment: str) -> Program:
        """Start a program in it."""
        stream = await self.network.open_stream(self.network.guest_cid, _AGENT)
        asked = {"command": command, "environment": environment}
        await stream.send_all(json.dumps(asked).encode() + b"\n")
        program = Program([*command], stream)
        self.programs.append(program)
        self.nursery.start_soon(program.follow)
        return program

    async def run(self, *command: str, **environment: str) -> str:
        """Run a program in it that must succeed, and return what it prints."""
        program = await self.start(*command, **environment)
        assert await program.end() == 0, program
        return "\n".join(program.lines)

    async def end(self) -> int | None:
        """Have it switched off in order, and return its exit code."""
        await self.start()
        await self._ended.wait()
        return self._status

    async def kill(self) -> None:
        """Kill its QEMU, which it has no time to notice."""
        os.kill(self.process_id(), signal.SIGKILL)
        await self._ended.wait()

    def process_id(self) -> int:
        """Find its QEMU: nobody else has this socket on the command line."""
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes()
            except OSError:  # it has just ended
                continue
            if b"qemu" in words and self.network.socket_path.encode() in words:
                return int(entry.parent.name)
        raise AssertionError("there is no such process")


@attrs.define
class Story:
    """What came of the steps of a long test, each of which can be looked at by itself.

    Attributes:
      told: what each step returned, or how it failed.
      seconds: how long each took.

    """

    told: dict[str, Any] = attrs.field(factory=dict)
    seconds: dict[str, float] = attrs.field(factory=dict)

    async def step(
        self, name: str, do: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        """Do something that may fail, in which case the story goes on all the same."""
        with self._timed(name):
            try:
                with trio.fail_after(_PATIENCE):
                    self.told[name] = await do(*args)
            except Exception as problem:  # noqa: BLE001  it is shown by its own test
                self.told[name] = problem

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = trio.current_time()
        yield
        self.seconds[name] = round(trio.current_time() - started, 1)

    def __getitem__(self, name: str) -> Any:
        """Return what a step has returned, or raise what it has raised."""
        value = self.told.get(name, AssertionError("the story didn't get that far"))
        if isinstance(value, Exception):
            raise value
        return value


def networks(directory: Path, *guest_cids: int) -> list[VhostUserVsock]:
    """Make the vsocks of machines that are on one switch."""
    switch = VhostUserSwitch()
    return [
        VhostUserVsock(
            directory / f"{cid}.sock", guest_cid=cid, cid=_HOST, switch=switch
        )
        for cid in guest_cids
    ]

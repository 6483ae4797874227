"""A machine to boot, and the parent of an enclave on it, all in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from trionitro._control import (
    Exited,
    Lines,
    ParentControl,
    ParentLogs,
    Phase,
    State,
)
from trionitro.abc import NsmDevice, VsockNetwork
from trionitro.enclave import Boot, Loopback, Machine, ParentLink, run_boot
from trionitro.enclave._entropy import EntropyPool
from trionitro.enclave._loopback import IPAddress
from trionitro.enclave._steps import reasons_of
from trionitro.manifest import Manifest, Plan, make_plan, parse_manifest
from trionitro.testing import MemoryVsock, NsmEmulator

__all__ = [
    "FakeLoopback",
    "Parent",
    "World",
    "manifest_of",
]


@attrs.define(eq=False)
class FakeLoopback(Loopback):
    """An interface whose addresses are all of 127.0.0.0/8, and those that it has."""

    events: list[str]

    def bring_up(self) -> None:
        """Nothing to do: this machine's lo is up."""

    def add(self, address: IPAddress) -> None:
        """Remember it."""
        self.events.append(f"+{address}")

    def remove(self, address: IPAddress) -> None:
        """Remember that too."""
        self.events.append(f"-{address}")


@attrs.define(eq=False)
class MemoryPool(EntropyPool):
    """Remembers how much was added."""

    events: list[str]

    def add(self, data: bytes) -> None:
        """Called in a thread."""
        self.events.append(f"entropy {len(data)}")


@attrs.define(eq=False)
class Parent:
    """What a parent's half hears."""

    network: VsockNetwork
    plan: Plan
    states: list[State] = attrs.field(factory=list)
    lines: list[tuple[str, str]] = attrs.field(factory=list)
    end: Exited | None = None
    losses: int = 0
    control: ParentControl = attrs.field(init=False)
    _news: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        manifest = self.plan.manifest
        self.control = ParentControl(
            network=self.network,
            port=self.plan.control_port,
            cid=manifest.enclave.cid,
            digest=self.plan.digest,
            heartbeat=manifest.control.heartbeat,
            listener=self,
        )

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Be there, until cancelled."""
        logs = ParentLogs(
            network=self.network,
            port=self.plan.logs_port,
            cid=self.plan.manifest.enclave.cid,
            digest=self.plan.digest,
            hear=self._hear,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(self.control.serve)
            await nursery.start(logs.serve)
            task_status.started()

    async def wait_for_phase(self, phase: Phase) -> None:
        """Wait until the enclave is as far as that."""
        while phase not in {state.phase for state in self.states}:
            await self._news.wait()

    async def wait_for_end(self) -> Exited:
        """Wait until the enclave has said how it ended."""
        while self.end is None:
            await self._news.wait()
        return self.end

    async def wait_for_line(self, text: str) -> None:
        """Wait for a line of a log that has ``text`` in it."""
        while not any(text in line for _, line in self.lines):
            await self._news.wait()

    def said_by(self, source: str) -> list[str]:
        """Return what one source has said."""
        return [text for who, text in self.lines if who == source]

    def paired(self) -> None:
        """Called when the enclave is there."""
        self._tell()

    def state(self, state: State) -> None:
        """Called when it is a step further."""
        self.states.append(state)
        self._tell()

    def exited(self, exited: Exited) -> None:
        """Called at its end."""
        self.end = exited
        self._tell()

    def lost(self, reason: str) -> None:
        """Called when it is gone without a word."""
        self.losses += 1

    def _hear(self, lines: Lines) -> None:
        self.lines += [(line.source, line.text.decode()) for line in lines.lines]
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


def manifest_of(
    command: list[str] | str, more: str = "", enclave: str = ""
) -> Manifest:
    """Read the manifest of an enclave with a command; a text is for a shell."""
    argv = ["sh", "-c", command] if isinstance(command, str) else command
    text = f"""
        [enclave]
        name = "test"
        cid = 16
        command = {argv!r}
        {enclave}
        {more}
    """
    return parse_manifest(text, source="nitro.toml")


@attrs.define(eq=False)
class World:
    """Both halves of an enclave, joined by a vsock in memory.

    Attributes:
      directory: for files; ``hosts`` is the hosts file.
      manifest: the enclave's.
      events: what happened to the machine, in order.

    """

    directory: Path
    manifest: Manifest
    events: list[str] = attrs.field(factory=list)
    nsm: NsmDevice = attrs.field(factory=NsmEmulator)
    settings: dict[str, Any] = attrs.field(factory=dict)
    plan: Plan = attrs.field(init=False)
    network: MemoryVsock = attrs.field(factory=MemoryVsock)
    parent: Parent = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.plan = make_plan(self.manifest)
        self.parent = Parent(self.network, self.plan)

    @property
    def hosts(self) -> Path:
        """The hosts file."""
        return self.directory / "hosts"

    def boot(self, **settings: Any) -> Boot:
        """Return a boot of the enclave, which hasn't begun."""
        network = self.network.at(self.manifest.enclave.cid)
        machine = Machine(
            network=network,
            nsm=self.nsm,
            pool=MemoryPool(self.events),
            loopback=FakeLoopback(self.events),
            hosts=self.hosts,
            **self.settings,
        )
        link = ParentLink(self.plan, network)
        return Boot(plan=self.plan, machine=machine, parent=link, **settings)

    async def run(self, **settings: Any) -> int:
        """Boot beside a parent, and return the exit code; signals count."""
        async with self.with_parent():
            return await run_boot(self.boot(**settings))

    async def fail(self) -> str:
        """Boot beside a parent, and return why that failed."""
        try:
            code = await self.run()
        except Exception as exc:  # noqa: BLE001  groups of any kind
            return reasons_of(exc)
        raise AssertionError(f"it didn't fail, but returned {code}")

    @asynccontextmanager
    async def with_parent(self) -> AsyncIterator[Parent]:
        """Have the parent there meanwhile."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.parent.serve)
            yield self.parent
            nursery.cancel_scope.cancel()

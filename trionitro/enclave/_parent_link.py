"""The boot's line to its parent: paired once, told everything, told the end."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio

from trionitro._control import (
    MAX_LINE,
    EnclaveControl,
    EnclaveLogs,
    Exited,
    Phase,
    State,
)
from trionitro._exceptions import CannotStartError
from trionitro.abc import VsockNetwork
from trionitro.enclave._journal import Journal
from trionitro.manifest import Plan

__all__ = ["ParentLink"]

_log = structlog.get_logger("trionitro.enclave")

#: Seconds in which a boot that has failed looks for a parent to tell it to. One that
#: is there answers at once.
_PATIENCE: Final = 1.0


@attrs.define(eq=False)
class ParentLink:
    """What the boot has to do with the parent's half.

    Attributes:
      plan: says where the parent is, and what it must know.
      network: the way to it.
      stop_wanted: set when the parent asks for the application to be stopped.
      crashed: set when one of the two channels crashes, which is a bug. The other one
          goes on, to tell it.

    """

    plan: Plan
    network: VsockNetwork
    crashed: trio.Event = attrs.field(init=False, factory=trio.Event)
    _control: EnclaveControl = attrs.field(init=False)
    _logs: EnclaveLogs = attrs.field(init=False)
    _journal: Journal = attrs.field(init=False)
    _paired: trio.Event = attrs.field(init=False, factory=trio.Event)
    _problem: CannotStartError | None = attrs.field(init=False, default=None)
    _crash: tuple[str, Exception] | None = attrs.field(init=False, default=None)
    _thread: int = attrs.field(init=False, factory=threading.get_ident)

    def __attrs_post_init__(self) -> None:
        manifest = self.plan.manifest
        self._logs = EnclaveLogs(
            network=self.network,
            parent_cid=manifest.enclave.parent_cid,
            port=self.plan.logs_port,
            digest=self.plan.digest,
            buffer=manifest.logs.buffer,
        )
        self._control = EnclaveControl(
            network=self.network,
            parent_cid=manifest.enclave.parent_cid,
            port=self.plan.control_port,
            digest=self.plan.digest,
            heartbeat=manifest.control.heartbeat,
            on_lost=self._logs.hang_up,
        )
        self._journal = Journal(self._logs.put, MAX_LINE)

    @property
    def stop_wanted(self) -> trio.Event:
        """Set when the parent asks for the application to be stopped."""
        return self._control.stop_wanted

    def tell(self, phase: Phase, detail: str) -> None:
        """Have the parent told how far the boot is. Never waits."""
        self._control.tell(State(phase=phase, detail=detail))

    def write(self, source: str, data: bytes) -> None:
        """Have the parent shown what a source writes, as :class:`.Journal` does."""
        self._journal.write(source, data)

    def write_log(self, text: str) -> None:
        """Have the parent shown a piece of the boot's own log.

        What other threads log stays here: nothing of this is made for them.

        """
        if threading.get_ident() == self._thread:
            self.write("boot", text.encode(errors="replace"))

    def last_words(self) -> str:
        """Return the end of what the application wrote on standard error."""
        return self._journal.last_words("stderr")

    async def serve(self) -> None:
        """Keep in touch with the parent, from when it is there to the last word."""
        wait = self.plan.manifest.control.wait
        control = functools.partial(self._control.serve, wait=wait)
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(self._serve, "control", control)
            except CannotStartError as problem:
                self._problem = problem
            self._paired.set()
            if self._problem is None:
                await nursery.start(self._serve, "logs", self._logs.serve)

    async def wait_paired(self) -> None:
        """Wait until both halves know that they have the same manifest.

        Raises:
          CannotStartError: if they haven't, or there is no parent.

        """
        await self._paired.wait()
        if self._problem is not None:
            raise self._problem

    def check(self) -> None:
        """Raise what one of the channels crashed with, if one did."""
        if self._crash is not None:
            raise self._crash[1]

    async def say_goodbye(self, exited: Exited) -> None:
        """Tell the parent the rest, and how it ended; takes seconds at most."""
        with trio.move_on_after(_PATIENCE):
            await self._paired.wait()
        told = False
        if self._paired.is_set() and self._problem is None:
            lacking = self._crash[0] if self._crash is not None else None
            if lacking != "logs":
                await self._logs.finish()
            if lacking != "control":
                told = await self._control.finish(exited)
        if not told:
            _log.warning("the parent doesn't know how it ended")

    async def _serve(
        self,
        name: str,
        serve: Callable[..., Awaitable[None]],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Serve a channel; a crash of one that has started leaves the other alone."""
        try:
            await serve(task_status=task_status)
        except Exception as crash:
            if not self._paired.is_set() or self._crash is not None:
                raise
            _log.exception("channel crashed", channel=name)
            self._crash = name, crash
            self.crashed.set()

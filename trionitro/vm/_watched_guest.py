"""A guest that runs an enclave's half, and how long it is waited for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import attrs
import structlog
import trio

from trionitro._exceptions import CannotStartError
from trionitro.parent import exit_code_of, printable
from trionitro.vm._guest import GuestRun, run_guest
from trionitro.vm._listening import ConsoleCollector
from trionitro.vm._machine import Machine
from trionitro.vm._screen import Screen

__all__ = ["WatchedGuest"]

_log = structlog.get_logger("trionitro.vm")


@attrs.define(eq=False, kw_only=True)
class WatchedGuest:
    """A guest from its start to its end, which comes in any case.

    Attributes:
      machine: what is booted.
      work: what it gets as its job.
      collector: hears it.
      screen: shows its serial console.
      boot_timeout: seconds that it may take until it is heard for the first time.
      patience: seconds that it may be silent after that, or take to switch itself off
          after its application's last word.

    """

    machine: Machine
    work: Path
    collector: ConsoleCollector
    screen: Screen
    boot_timeout: float
    patience: float = 60.0
    _problem: str = attrs.field(init=False, default="")

    async def run(self) -> int:
        """Run it, and return its application's exit code.

        Raises:
          CannotStartError: if it never ran the application, or broke.

        Cancellation:
          Kills it.

        """
        run = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            # It is heard over the vsock, where there are limits to what it may say.
            run = await run_guest(
                self.machine, self.work, None, console=self.screen.write
            )
            nursery.cancel_scope.cancel()
        if self.collector.end is not None:
            return exit_code_of(self.collector.end)
        for line in self.screen.last_lines():
            _log.error("on its console", line=printable(line))
        raise CannotStartError(self._problem or self._explain(run))

    async def _watch(self, guest: trio.CancelScope) -> None:
        """Cancel ``guest`` when there is nothing more to wait for."""
        if not await self._changes_to(self._was_there, self.boot_timeout):
            self._problem = (
                f"the guest hasn't booted in {self.boot_timeout:g} s: see its console"
                " with --console, or give it more with --boot-timeout"
            )
            guest.cancel()
            return
        while True:
            await self._changes_to(lambda: not self._is_there(), math.inf)
            if not await self._changes_to(self._is_there, self.patience):
                self._problem = f"the guest has been silent for {self.patience:g} s"
                guest.cancel()
                return

    def _was_there(self) -> bool:
        return self.collector.was_paired

    def _is_there(self) -> bool:
        return self.collector.is_paired and self.collector.end is None

    async def _changes_to(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait until it is so, and tell if it is before these seconds are over."""
        with trio.move_on_after(seconds):
            while not is_so():
                await self.collector.changed.wait()
        return is_so()

    def _explain(self, run: GuestRun | None) -> str:
        assert run is not None  # nobody else has cancelled it
        what = "broke down" if self.collector.was_paired else "ended before it was up"
        return f"the guest {what}, and QEMU ended with exit code {run.qemu}"

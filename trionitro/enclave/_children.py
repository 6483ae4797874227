"""Child processes: the ones we started, and the ones we inherit.

Process 1 inherits every process whose parent has died, and must reap it when it ends,
or it stays a zombie. But Trio waits for the processes that it started, and whoever
reaps one of those steals its exit code. So :class:`Children` starts them all, knows
them by their number, and reaps the others only.

"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import attrs
import structlog
import trio

__all__ = ["Children"]

_log = structlog.get_logger("trionitro.enclave")

#: Bytes that are kept of what a program says.
_MOST_SAID: Final = 4096

#: Seconds for a killed process to be gone.
_PATIENCE: Final = 5.0


def _is_first_process() -> bool:
    return os.getpid() == 1


@attrs.define(eq=False)
class Children:
    """All the child processes of this one.

    Attributes:
      inherits: whether processes that lost their parent become ours, as they do
          with process 1.

    """

    inherits: bool = attrs.field(factory=_is_first_process)
    _own: set[int] = attrs.field(init=False, factory=set)
    # Held from before a process begins until its number is known: one that ends at
    # once must not be taken for somebody else's.
    _starting: trio.Lock = attrs.field(init=False, factory=trio.Lock)

    async def start(self, command: Sequence[str], **options: Any) -> trio.Process:
        """Start ``command``, as :func:`trio.lowlevel.open_process` does.

        Whoever starts a process must :meth:`wait` for it.

        Raises:
          OSError: if it can't be started.

        Cancellation:
          Nothing has been started.

        """
        async with self._starting:
            process = await trio.lowlevel.open_process(command, **options)
            self._own.add(process.pid)
        return process

    async def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run ``command`` to its end, without any input.

        Returns:
          Its exit code, and the end of what it said on standard error.

        Raises:
          OSError: if it can't be started.

        Cancellation:
          It is killed.

        """
        process = await self.start(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        said = bytearray()
        try:
            async with process.stderr:
                async for data in process.stderr:
                    said += data
                    del said[:-_MOST_SAID]
            return await self.wait(process), said.decode(errors="replace")
        finally:
            # Shielded, because it must be waited for; what is killed ends at once,
            # unless it waits for hardware.
            with trio.move_on_after(_PATIENCE, shield=True):
                process.kill()
                await self.wait(process)

    async def wait(self, process: trio.Process) -> int:
        """Wait for a process that :meth:`start` returned, and return its exit code.

        For one that a signal ended it is that signal's number, negated.

        """
        code = await process.wait()
        self._own.discard(process.pid)
        if self.inherits and not self._starting.locked():
            # What it hid from the last look, being a zombie itself.
            self._reap_inherited()
        return code

    async def inherited(self, candidates: dict[int, int]) -> list[int]:
        """Tell which of some processes we have inherited.

        Args:
          candidates: the parent of each, by their numbers.

        """
        if not self.inherits:
            return []
        async with self._starting:
            return [
                pid
                for pid, parent in candidates.items()
                if parent == os.getpid() and pid not in self._own
            ]

    async def serve_reaping(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Reap the processes that we inherit when they end, until cancelled."""
        with trio.open_signal_receiver(signal.SIGCHLD) as deaths:
            task_status.started()
            while True:
                async with self._starting:
                    self._reap_inherited()
                await anext(deaths)

    def _reap_inherited(self) -> None:
        # WNOWAIT only looks. It shows the same zombie until somebody reaps it, so one
        # of our own is the end of it: wait() comes back here when Trio has.
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (dead := _wait_id(os.P_ALL, 0, look)) and dead not in self._own:
            _wait_id(os.P_PID, dead, os.WEXITED | os.WNOHANG)
            _log.debug("reaped", pid=dead)


def _wait_id(kind: int, number: int, options: int) -> int | None:
    try:
        status = os.waitid(kind, number, options)
    except ChildProcessError:
        return None
    return None if status is None else status.si_pid

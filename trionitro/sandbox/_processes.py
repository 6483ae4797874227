"""Child processes whose logs say how far they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import trio

from trionitro._exceptions import CannotStartError

__all__ = ["LoggedProcess", "run_logged", "start_module"]

#: Seconds that a process gets to end after it was asked to, before it is killed.
_PATIENCE = 2.0


@attrs.define(eq=False)
class LoggedProcess:
    """A process that writes one JSON object a line on its standard error.

    Attributes:
      process: to send signals to and wait for.
      lines: what it has logged so far. A line that is not JSON, such as the one that
          says why it could not start, stands there as its ``event``.

    """

    process: trio.Process
    lines: list[dict[str, Any]] = attrs.field(factory=list)
    _news: trio.Event = attrs.field(factory=trio.Event)
    _ended: bool = False

    async def wait_logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until ``event`` has been logged ``count`` times, and return the lines.

        Raises:
          CannotStartError: if the process ends before; the message is its last line.

        """
        while True:
            found = [line for line in self.lines if line.get("event") == event]
            if len(found) >= count:
                return found
            if self._ended:
                last = self.lines[-1]["event"] if self.lines else "it said nothing"
                raise CannotStartError(f"process ended without {event!r}: {last}")
            await self._news.wait()

    async def wait(self) -> int:
        """Wait for the process and its last line, and return its exit code."""
        while not self._ended:
            await self._news.wait()
        return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        rest = b""
        async for chunk in self.process.stderr:
            *whole, rest = (rest + chunk).split(b"\n")
            self.lines += map(_parse, whole)
            self._tell()
        if rest:
            self.lines.append(_parse(rest))
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


async def run_logged(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    task_status: trio.TaskStatus[LoggedProcess] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run ``command`` and read its log until it ends; start it with ``nursery.start``.

    Cancellation:
      The process is told to stop (SIGTERM), and killed if it doesn't.

    """
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_run_process, command, env)
        logged = LoggedProcess(process)
        task_status.started(logged)
        await logged._read()  # noqa: SLF001  the other half of this module


async def start_module(nursery: trio.Nursery, module: str, *args: str) -> LoggedProcess:
    """Start ``python -m module`` in ``nursery``, and read its log."""
    command = [sys.executable, "-m", module, *args]
    logged: LoggedProcess = await nursery.start(partial(run_logged, command))
    return logged


async def _run_process(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    task_status: trio.TaskStatus[trio.Process],
) -> None:
    await trio.run_process(
        command,
        stderr=subprocess.PIPE,
        check=False,
        env=env,
        # Not in our group: a terminal's Ctrl-C is for us, and we stop them in order.
        process_group=0,
        deliver_cancel=_stop,
        task_status=task_status,
    )


async def _stop(process: trio.Process) -> None:
    process.terminate()
    await trio.sleep(_PATIENCE)
    process.kill()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    return {"event": line.decode(errors="replace")}

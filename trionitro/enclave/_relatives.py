"""Ending all that an application has started, and not only its first process.

Its relatives are the processes of its session, and where we are process 1 also those
that have left the session and lost their parent: they are our children by then. They
are found in /proc, and held by a pidfd, so that a number which has been given to
another process meanwhile hits nobody.

"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

import attrs
import structlog
import trio

from trionitro.enclave._children import Children

__all__ = ["Entry", "Relatives", "parse_stat"]

_log = structlog.get_logger("trionitro.enclave")

_PROC: Final = "/proc"


@attrs.frozen
class Entry:
    """One living process, as far as it matters here.

    Attributes:
      pid: its number, which another may have later.
      parent: its parent's.
      session: its session's, which is that of the session's first process.
      began: when it began, in clock ticks since the kernel did; with ``pid`` it is
          the only one of its kind.

    """

    pid: int
    parent: int
    session: int
    began: int


def parse_stat(text: bytes) -> Entry | None:
    """Read ``/proc/PID/stat`` (proc_pid_stat(5)); None if the process is dead.

    Only the name in brackets may have anything in it, brackets and spaces too.

    """
    pid = text.partition(b" ")[0]
    state, parent, _, session, *rest = text.rpartition(b") ")[2].split()
    if state in b"ZX":
        return None
    return Entry(int(pid), int(parent), int(session), int(rest[15]))


@attrs.frozen
class Relatives:
    """The processes that belong to one run of an application.

    Attributes:
      session: the session that its first process leads.
      children: knows which processes we have inherited.

    """

    session: int
    children: Children

    async def terminate(self) -> None:
        """Send SIGTERM to all that there are, and wait until these are dead."""
        await self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Send SIGKILL to all, until there are none."""
        while await self._signal(signal.SIGKILL):
            pass

    async def _signal(self, signum: signal.Signals) -> bool:
        """Send a signal to all, wait until they are dead, return if there were any."""
        found = await self.find()
        if found:
            pids = [entry.pid for entry in found]
            _log.info("ending processes", signal=signum.name, processes=pids)
        with contextlib.ExitStack() as held:
            reached = [fd for entry in found if (fd := _send(entry, signum, held))]
            async with trio.open_nursery() as nursery:
                for fd in reached:
                    nursery.start_soon(trio.lowlevel.wait_readable, fd)
        return bool(found)

    async def find(self) -> list[Entry]:
        """Look for them in /proc; the oldest is the first.

        So what leads a session is killed before it sees what becomes of the others.

        """
        entries = await trio.to_thread.run_sync(_all_processes)
        parents = {entry.pid: entry.parent for entry in entries}
        ours = await self.children.inherited(parents)
        found = [e for e in entries if e.session == self.session or e.pid in ours]
        return sorted(found, key=lambda entry: (entry.began, entry.pid))


def _send(
    entry: Entry, signum: signal.Signals, held: contextlib.ExitStack
) -> int | None:
    """Send a signal to a process, and return the pidfd that tells when it is dead."""
    try:
        fd = os.pidfd_open(entry.pid)
        held.callback(os.close, fd)
        now = _read(entry.pid)  # now that the number is held, whose is it?
        if now is not None and now.began == entry.began:
            signal.pidfd_send_signal(fd, signum)
            return fd
    except ProcessLookupError:
        pass
    return None


def _all_processes() -> list[Entry]:
    with os.scandir(_PROC) as names:
        entries = [_read(int(name.name)) for name in names if name.name.isdecimal()]
    return [entry for entry in entries if entry is not None]


def _read(pid: int) -> Entry | None:
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:  # noqa: PTH123  there are many
            return parse_stat(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None

"""What a process and all its descendants cost: processor time and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import attrs

__all__ = ["OthersMeter", "cpu_seconds", "end", "family", "memory"]

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

#: From the command name's closing parenthesis, fields of ``/proc/PID/stat``: the times
#: that children had used when they were reaped, in user and in kernel mode.
_REAPED: Final = slice(13, 15)


def family(pid: int) -> list[int]:
    """Return ``pid`` and its live descendants, parents before children."""
    found = [pid]
    for parent in found:
        found.extend(_children(parent))
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has just ended, or one of its threads has
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  only the names
            children = Path(f"/proc/{pid}/task/{thread}/children")
            found.extend(map(int, children.read_text(encoding="ascii").split()))
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process tree so far, ended children included."""
    return sum(map(_own_and_reaped, family(pid)))


def _own_and_reaped(pid: int) -> float:
    try:
        # The process's own clock counts nanoseconds, where ``stat`` counts ticks of
        # 10 ms: too coarse for 256 children that did a millisecond's work each.
        own = time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:  # it has just ended, and its parent counts it
        return 0.0
    reaped = stat.rpartition(")")[2].split()[_REAPED]
    return own + sum(map(int, reaped)) / _TICKS_PER_SECOND


def memory(pid: int) -> int:
    """Return the bytes a process tree has in memory; what is shared counts in part.

    This is the proportional set size: a page that three processes share counts a third
    for each. The kernel's own memory, for sockets and page tables, isn't in it.

    """
    return 1024 * sum(map(_proportional_kilobytes, family(pid)))


def _proportional_kilobytes(pid: int) -> int:
    with contextlib.suppress(OSError):  # it has just ended
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _busy_seconds() -> float:
    """Return what all processors have worked, and what the hypervisor withheld."""
    cpu = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    user, nice, system, steal = (int(cpu[field]) for field in (1, 2, 3, 8))
    return (user + nice + system + steal) / _TICKS_PER_SECOND


@attrs.frozen
class OthersMeter:
    """How busy programs that are no descendants of ours keep the machine."""

    _since: float = attrs.field(init=False, factory=time.monotonic)
    _busy: float = attrs.field(init=False, factory=_busy_seconds)
    _own: float = attrs.field(init=False, factory=lambda: cpu_seconds(os.getpid()))

    def read(self) -> float:
        """Return how many processors they have used, on average, since the start."""
        own = cpu_seconds(os.getpid()) - self._own
        busy = _busy_seconds() - self._busy
        return max(0.0, busy - own) / (time.monotonic() - self._since)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process that we started, and its descendants, and reap it."""
    for pid in reversed(family(process.pid) if process.poll() is None else []):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # nobody reads what was left in it
                pipe.close()

"""Observing an application: how late its turns come, and how much it gets done."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.load_generator import BenchmarkError

__all__ = ["Observation", "observing", "percentile"]

#: How often the application is told the time, in seconds.
_INTERVAL: Final = 1e-3

#: For how long the application may be silent, in seconds.
_PATIENCE: Final = 12.0

_TIME: Final = struct.Struct("d")


def percentile(figures: Sequence[float], percent: float) -> float:
    """Return the least of some figures that so many percent of them don't exceed."""
    place = math.ceil(len(figures) * percent / 100)
    return sorted(figures)[max(place, 1) - 1]


@attrs.frozen
class Observation:
    """What an application did in a while.

    Attributes:
      seconds: how long that was.
      work: how much it got done, in units of its own.
      late: how late its turns came, in seconds.

    """

    seconds: float
    work: int
    late: Sequence[float]


@contextlib.contextmanager
def observing(directory: Path) -> Iterator[list[Observation]]:
    """Observe the application at ``directory`` meanwhile.

    A thread tells it the time. The application's process has to wake up for that, and
    the task that hears it has to get its turn; both count.

    Returns:
      A list that has the observation in it when this is over.

    Raises:
      BenchmarkError: if the application breaks off, or says nothing any more.

    """
    found: list[Observation] = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(str(directory / "application.sock"))
            begin = time.monotonic()
            with _telling_the_time(sock):
                yield found
            seconds = time.monotonic() - begin
            sock.shutdown(socket.SHUT_WR)
            with sock.makefile("rb") as answer:
                found.append(Observation(seconds, **json.loads(answer.read())))
        except (OSError, ValueError) as problem:
            raise BenchmarkError(f"the application broke off: {problem}") from problem


@contextlib.contextmanager
def _telling_the_time(sock: socket.socket) -> Iterator[None]:
    enough = threading.Event()
    thread = threading.Thread(target=_tell_the_time, args=(sock, enough))
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def _tell_the_time(sock: socket.socket, enough: threading.Event) -> None:
    with contextlib.suppress(OSError):  # who observes will notice
        while not enough.wait(_INTERVAL):
            sock.sendall(_TIME.pack(time.monotonic()))

"""The kinds of work that relays are measured at."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final, Protocol

import attrs

from benchmarks.load_generator import Client
from benchmarks.processes import cpu_seconds, memory
from benchmarks.relays import World

__all__ = ["Beside", "Bulk", "Calls", "Idle", "Values", "Work", "pinned"]

#: What one measurement found: quantities by name.
Values = dict[str, float]

#: A relay may still be accepting, or closing, when its clients think they are done.
_AFTERMATH: Final = 0.06

#: Bulk flows for so long before the round trips beside it begin, in seconds.
_HEAD_START: Final = 0.2

#: Long enough to see a timer that ticks.
_IDLE_SECONDS: Final = 1.0


class Work(Protocol):
    """Something to do with a relay, and to measure meanwhile."""

    def measure(self, world: World) -> Values:
        """Do it once."""


@attrs.frozen
class Calls:
    """Many small things, each of which counts: round trips, or new connections.

    Attributes:
      kind: the load generator's word for it.
      count: how many are under way at once.
      detail: what else that word takes.

    """

    kind: str
    count: int
    detail: tuple[int, ...] = ()

    def measure(self, world: World) -> Values:
        """Measure how many there are in a second, and microseconds of CPU for each."""
        milliseconds = round(world.seconds * 1000)
        with world.client(self.kind, self.count, milliseconds, *self.detail) as client:
            found, cpu = _run(world, client)
        return {
            "speed": found["units"] / found["seconds"],
            "cpu": cpu / found["units"] * 1e6,
            "p50": found["p50"],
            "p99": found["p99"],
        }


@attrs.frozen
class Bulk:
    """Streams as fast as they go, in one direction.

    Attributes:
      kind: ``up``, from TCP to the unix socket, or ``down``.
      count: how many streams.

    """

    kind: str
    count: int

    def measure(self, world: World) -> Values:
        """Measure gigabytes in a second, and seconds of CPU for each."""
        with world.client(self.kind, self.count, round(world.seconds * 1000)) as client:
            found, cpu = _run(world, client)
        return {
            "speed": found["units"] / found["seconds"] / 1e9,
            "cpu": cpu / found["units"] * 1e9,
        }


def _run(world: World, client: Client) -> tuple[Values, float]:
    """Let a client do its work; return what it found and the relay's CPU time."""
    time.sleep(_AFTERMATH)
    before = cpu_seconds(world.pid)
    client.go()
    found = client.result(within=world.seconds)
    time.sleep(_AFTERMATH)
    return found, cpu_seconds(world.pid) - before


@attrs.frozen
class Beside:
    """Round trips of 64 bytes on one connection, beside bulk streams on others.

    Attributes:
      up: how many streams go from TCP to the unix socket.
      down: how many go the other way.

    """

    up: int
    down: int

    def measure(self, world: World) -> Values:
        """Measure the round trips' latency, and what the bulk still gets."""
        milliseconds = round(world.seconds * 1000)
        with contextlib.ExitStack() as stack:
            bulk = [
                stack.enter_context(
                    world.client(kind, count, milliseconds + round(_HEAD_START * 1000))
                )
                for kind, count in (("up", self.up), ("down", self.down))
                if count
            ]
            trips = stack.enter_context(world.client("trips", 1, milliseconds, 64))
            before = cpu_seconds(world.pid)
            for client in bulk:
                client.go()
            time.sleep(_HEAD_START)
            trips.go()
            found = trips.result(within=world.seconds)
            moved = [client.result(within=world.seconds) for client in bulk]
            cpu = cpu_seconds(world.pid) - before
        return {
            "p50": found["p50"],
            "p99": found["p99"],
            "bulk": sum(one["units"] / one["seconds"] for one in moved) / 1e9,
            "cpu": cpu / sum(one["units"] for one in moved) * 1e9,
        }


@attrs.frozen
class Idle:
    """Connections on which nothing is said.

    Attributes:
      count: how many.

    """

    count: int

    def measure(self, world: World) -> Values:
        """Measure kilobytes for each, beside the relay's own megabytes, and CPU."""
        base = memory(world.pid)
        with world.client("idle", self.count):
            time.sleep(_AFTERMATH)
            taken = memory(world.pid) - base
            before, since = cpu_seconds(world.pid), time.monotonic()
            time.sleep(_IDLE_SECONDS)
            idle_cpu = cpu_seconds(world.pid) - before
            idle_cpu /= time.monotonic() - since
        return {
            "memory": taken / self.count / 1000,
            "base": base / 1e6,
            "idle cpu": idle_cpu * 100,
        }


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Keep this process, and all it starts meanwhile, on one processor."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)

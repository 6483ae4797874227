"""A proxy and an application side by side: what each may do, and one measurement."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Final

import attrs

from benchmarks.load_generator import Client
from benchmarks.observing import Observation, observing, percentile
from benchmarks.processes import OthersMeter
from benchmarks.relays import Relay, World, free_port, running
from benchmarks.work import Values

__all__ = [
    "APPLICATIONS",
    "IDLE",
    "LOADS",
    "PLACINGS",
    "RESTING",
    "Cell",
    "Load",
    "Pair",
]

#: Where the proxy is: in the application's thread, or in a process of its own.
PLACINGS: Final = ("together", "apart")

#: What the application does: nothing, answer its own clients, or compute.
RESTING: Final = "resting"
ANSWERING: Final = "answering"
APPLICATIONS: Final = (RESTING, ANSWERING, "hashing")

#: How many clients the answering application has at once: enough to keep it busy.
_CALLERS: Final = 4

_PROGRAM: Final = Path(__file__).with_name("application.py")


@attrs.frozen
class Load:
    """What the proxy's clients do.

    Attributes:
      name: its name on the command line.
      title: its name in the tables.
      clients: the load generators: each its kind, how many at once, and what else it
          takes. The first one's speed counts.
      unit: what that is counted in.
      per_unit: how many of the load generator's units that is.

    """

    name: str
    title: str
    clients: tuple[tuple[str, int, *tuple[int, ...]], ...]
    unit: str = "/s"
    per_unit: float = 1.0


def _trips(count: int) -> tuple[str, int, int]:
    return "trips", count, 64


def _bulk(name: str, title: str, kind: str, count: int) -> Load:
    return Load(name, title, ((kind, count),), "GB/s", 1e9)


IDLE: Final = Load("nothing", "nothing", ())

LOADS: Final = (
    IDLE,
    Load("trips-32", "round trips × 32", (_trips(32),)),
    Load("trips-256", "round trips × 256", (_trips(256),)),
    Load("connects-16", "new connections, 16 at once", (("connects", 16),)),
    _bulk("up-1", "bulk TCP→unix, 1 stream", "up", 1),
    _bulk("down-1", "bulk unix→TCP, 1 stream", "down", 1),
    _bulk("down-8", "bulk unix→TCP, 8 streams", "down", 8),
    Load(
        "beside-both",
        "round trips × 32 beside 2 up, 2 down",
        (_trips(32), ("up", 2), ("down", 2)),
    ),
)


@attrs.frozen
class Cell:
    """What was measured once.

    Attributes:
      load: the name of what the proxy's clients did.
      application: what the application did.
      placing: where the proxy was.
      round: the number of the round.
      values: what was found.
      others: how many processors other programs used meanwhile.

    """

    load: str
    application: str
    placing: str
    round: int
    values: Values
    others: float


@attrs.frozen
class Pair:
    """A proxy with a load, an application with work, and where the two are."""

    load: Load
    application: str
    placing: str

    def measure(self, program: Path, seconds: float, number: int) -> Cell:
        """Measure it once, afresh, in the round of that number.

        Raises:
          BenchmarkError: if something does not work.

        """
        answers_at = free_port()
        application = Relay(
            "the application",
            (
                *(sys.executable, "-P", str(_PROGRAM)),
                *(self.placing, self.application, str(answers_at)),
                *("{port}", "{directory}"),
            ),
        )
        with running(application, program, seconds) as world:
            others = OthersMeter()
            values = self._observe(world, answers_at)
            return Cell(
                load=self.load.name,
                application=self.application,
                placing=self.placing,
                round=number,
                values=values,
                others=others.read(),
            )

    def _observe(self, world: World, answers_at: int) -> Values:
        milliseconds = round(world.seconds * 1000)
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(world.client(kind, count, milliseconds, *detail))
                for kind, count, *detail in self.load.clients
            ]
            callers = None
            if self.application == ANSWERING:
                at = attrs.evolve(world, port=answers_at)
                callers = stack.enter_context(
                    at.client("trips", _CALLERS, milliseconds, 64)
                )
            with observing(world.directory) as found:
                everybody = [*clients, callers] if callers else clients
                results = _let_go(everybody, world.seconds)
        values = _of_application(found[0])
        if callers:
            values["answer p99"] = results.pop()["p99"]
        if results:
            first = results[0]
            values["speed"] = first["units"] / first["seconds"] / self.load.per_unit
            values["p99"] = first["p99"]
        return values


def _let_go(clients: list[Client], seconds: float) -> list[Values]:
    """Have all of them work at once, and return what they found."""
    for client in clients:
        client.go()
    # The measurement itself: they work for as long as this.
    time.sleep(seconds)
    return [client.result(within=seconds) for client in clients]


def _of_application(found: Observation) -> Values:
    return {
        "work": found.work / found.seconds,
        "late p50": percentile(found.late, 50) * 1e6,
        "late p95": percentile(found.late, 95) * 1e6,
        "late p99": percentile(found.late, 99) * 1e6,
        "late max": max(found.late) * 1e6,
    }

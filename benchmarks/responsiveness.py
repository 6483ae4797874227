"""``python -m benchmarks responsiveness``: an application beside a busy proxy.

Both in one thread, and for comparison each in a process of its own. What the proxy's
clients do and what the application does are combined in every way, and each is
compared with what it is while the other one rests.

"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from benchmarks import load_generator, machine, record, responsiveness_table, table
from benchmarks.load_generator import BenchmarkError
from benchmarks.neighbours import APPLICATIONS, IDLE, LOADS, PLACINGS, Cell, Pair
from benchmarks.rounds import rotated

__all__ = ["Request", "run"]


@attrs.frozen(kw_only=True)
class Request:
    """What was asked for on the command line.

    Attributes:
      rounds: how many rounds.
      seconds: how long each measurement takes.
      loads: names of the loads to measure, or nothing for all; the idle proxy is
          always measured.
      placings: which of :data:`~benchmarks.neighbours.PLACINGS`, or nothing for all.
      json: where to write everything that was found, or None.

    """

    rounds: int
    seconds: float
    loads: tuple[str, ...]
    placings: tuple[str, ...]
    json: Path | None


def run(request: Request) -> None:
    """Measure, print the tables, and write what else was asked for."""
    program = load_generator.build()
    print(f"measuring {machine.measured_package()}", file=sys.stderr)
    cells = list(_measured(request, program))
    print(responsiveness_table.render(cells))
    record.write(request.json, cells=cells)


def _measured(request: Request, program: Path) -> Iterator[Cell]:
    """Measure every pair in every round, beginning with another one each time."""
    pairs = [
        Pair(load, application, placing)
        for load in LOADS
        if load is IDLE or not request.loads or load.name in request.loads
        for application in APPLICATIONS
        for placing in request.placings or PLACINGS
    ]
    for number in range(request.rounds):
        for pair in rotated(pairs, len(pairs) * number // request.rounds):
            what = f"{number}  {pair.load.name}  {pair.application}  {pair.placing}"
            try:
                cell = pair.measure(program, request.seconds, number)
            except BenchmarkError as problem:
                print(f"{what}:  {problem}", file=sys.stderr)
                continue
            values = {**cell.values, "others": cell.others}
            found = (f"{key} {table.figure(value)}" for key, value in values.items())
            print(f"{what}:  {'  '.join(found)}", file=sys.stderr)
            yield cell

"""``python -m benchmarks growth``: what more connections and longer messages cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from benchmarks import growth_plot, load_generator, machine, record, table
from benchmarks.load_generator import BenchmarkError
from benchmarks.relays import OURS, running
from benchmarks.work import Calls, Idle, Values, Work

__all__ = ["SERIES", "Point", "Series", "measure", "render", "run"]

#: Round trips in a second, on all connections together: a trickle.
_RATE: Final = 1_000

#: How long each point takes, besides connecting.
_SECONDS: Final = 1.0

#: Descriptors that a relay needs besides two for each connection.
_OTHER_DESCRIPTORS: Final = 500


@attrs.frozen
class Series:
    """Measurements that differ in one number.

    Attributes:
      title: what it shows.
      work: what is done, for one of the numbers.
      numbers: from little to much.
      units: what is shown of it, by the values' names.

    """

    title: str
    work: Callable[[int], Work]
    numbers: tuple[int, ...]
    units: dict[str, str]


@attrs.frozen
class Point:
    """One measurement of a series."""

    series: str
    number: int
    values: Values


def _trickle(connections: int) -> Work:
    return Calls("trickle", connections, (_RATE,))


def _trips(size: int) -> Work:
    return Calls("trips", 1, (size,))


_CONNECTIONS: Final = (1, 10, 100, 1_000, 10_000)

SERIES: Final = (
    Series(
        "idle connections",
        Idle,
        _CONNECTIONS,
        {"memory": "KB each", "idle cpu": "% of a CPU"},
    ),
    Series(
        f"connections, {_RATE} round trips a second in all",
        _trickle,
        _CONNECTIONS,
        {"cpu": "µs of CPU each", "p50": "µs, median", "p99": "µs, p99"},
    ),
    Series(
        "bytes in a round trip, one connection",
        _trips,
        tuple(64 * 4**power for power in range(10)),
        {"cpu": "µs of CPU each", "p50": "µs, median", "speed": "in a second"},
    ),
)


def run(json: Path | None, svg: Path | None) -> None:
    """Measure, print the tables, and write what else was asked for."""
    program = load_generator.build()
    print(f"measuring {machine.measured_package()}", file=sys.stderr)
    points = list(measure(program))
    print(render(points))
    record.write(json, points=points)
    if svg is not None:
        svg.write_text(growth_plot.draw(_curves(points)), encoding="utf-8")


def measure(program: Path) -> Iterator[Point]:
    """Measure every point of every series, each with a relay of its own."""
    for series in SERIES:
        for number in _possible(series):
            try:
                with running(OURS, program, _SECONDS) as world:
                    values = series.work(number).measure(world)
            except BenchmarkError as problem:
                print(f"{series.title}, {number}: {problem}", file=sys.stderr)
                continue
            yield Point(series.title, number, values)


def _possible(series: Series) -> Iterable[int]:
    """Keep the connections within what the system allows a process to open."""
    if series.numbers is not _CONNECTIONS:
        return series.numbers
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (allowed - _OTHER_DESCRIPTORS) // 2
    return sorted({min(number, most) for number in series.numbers})


def render(points: list[Point]) -> str:
    """Lay the points out as one table for each series."""
    text = []
    for series in SERIES:
        text.append(f"\n{series.title}")
        heads = "".join(f"{unit:>16}" for unit in series.units.values())
        text.append(f"{'':>12}{heads}")
        for point in points:
            if point.series == series.title:
                figures = (table.figure(point.values[key]) for key in series.units)
                cells = "".join(f"{value:>16}" for value in figures)
                text.append(f"{point.number:>12,}{cells}")
    return "\n".join(text)


def _curves(points: list[Point]) -> list[growth_plot.Panel]:
    """Choose what to plot: all that is not nothing, which has no logarithm."""
    return [
        growth_plot.Panel(
            series.title,
            {
                unit: [
                    (point.number, point.values[key])
                    for point in points
                    if point.series == series.title and point.values[key] > 0
                ]
                for key, unit in series.units.items()
            },
        )
        for series in SERIES
    ]

"""What an application and a busy proxy do to each other, as two tables."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import attrs

from benchmarks.neighbours import (
    APPLICATIONS,
    IDLE,
    LOADS,
    PLACINGS,
    RESTING,
    Cell,
    Load,
)
from benchmarks.results import Spread
from benchmarks.table import figure

__all__ = ["render"]

_LATE: Final = ("late p50", "late p95", "late p99", "late max")

_LEGEND: Final = (
    "Medians of the rounds; in brackets the least and the greatest. Late: how long an"
    " application's task waits for its turn, in microseconds; max is the greatest of"
    " all. Work: what the application gets done, divided by what it does beside an"
    " idle proxy. Speed: the proxy's, divided by what it is beside a resting"
    " application. Apart: the same with the proxy in a process of its own."
)


def render(cells: Iterable[Cell]) -> str:
    """Lay out what was measured."""
    found = _Found.of(cells)
    head = ["the proxy's clients do", "the application is", "late p50", "p95", "p99"]
    application = [[*head, "max", "work", "", "apart: late p99", "work"]]
    proxy = [["the proxy's clients do", "the application is", "speed", "", "apart"]]
    for load in LOADS:
        title = load.title
        for kind in filter(partial(found.has, load), APPLICATIONS):
            application.append([title, kind, *found.lateness(load, kind)])
            if load is not IDLE:
                proxy.append([title, kind, *found.speed(load, kind)])
            title = ""
    return "\n".join([*_laid_out(application), "", *_laid_out(proxy), "", _LEGEND])


def _laid_out(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    rule = "-" * len(head)
    return [part.rstrip() for part in (head, rule, *lines, rule)]


@attrs.frozen
class _Found:
    """The values that were measured, by load, application, placing and round."""

    values: dict[tuple[str, str, str], dict[int, dict[str, float]]]

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> _Found:
        values: dict[tuple[str, str, str], dict[int, dict[str, float]]] = {}
        for cell in cells:
            key = (cell.load, cell.application, cell.placing)
            values.setdefault(key, {})[cell.round] = cell.values
        return cls(values)

    def has(self, load: Load, kind: str) -> bool:
        return any((load.name, kind, placing) in self.values for placing in PLACINGS)

    def lateness(self, load: Load, kind: str) -> list[str]:
        """Return the cells about the application."""
        *usual, most = (self._spread(key, load, kind, "together") for key in _LATE)
        work, work_apart = (
            None
            if kind == RESTING
            else self._ratio("work", (load, kind), (IDLE, kind), placing)
            for placing in PLACINGS
        )
        return [
            *map(_median, usual),
            figure(most.high) if most else "-",
            _median(work),
            _range(work),
            _median(self._spread("late p99", load, kind, "apart")),
            _median(work_apart),
        ]

    def speed(self, load: Load, kind: str) -> list[str]:
        """Return the cells about the proxy."""
        unit = ""
        if kind == RESTING:
            unit = f" {load.unit}"
            speed, apart = (
                self._spread("speed", load, kind, placing) for placing in PLACINGS
            )
        else:
            speed, apart = (
                self._ratio("speed", (load, kind), (load, RESTING), placing)
                for placing in PLACINGS
            )
        return [_median(speed) + unit, _range(speed), _median(apart) + unit]

    def _spread(self, key: str, load: Load, kind: str, placing: str) -> Spread | None:
        rounds = self.values.get((load.name, kind, placing), {})
        return Spread.of(values[key] for values in rounds.values())

    def _ratio(
        self, key: str, upper: tuple[Load, str], lower: tuple[Load, str], placing: str
    ) -> Spread | None:
        """Divide one by the other, within each round."""
        above, below = (
            self.values.get((load.name, kind, placing), {})
            for load, kind in (upper, lower)
        )
        return Spread.of(
            above[number][key] / below[number][key]
            for number in above
            if below.get(number, {}).get(key, 0) > 0
        )


def _median(spread: Spread | None) -> str:
    return "-" if spread is None else figure(spread.median)


def _range(spread: Spread | None) -> str:
    return "" if spread is None else f"({figure(spread.low)} to {figure(spread.high)})"

"""What the samples come to: medians, how far they spread, ratios, and goals."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Self

import attrs

from benchmarks.rounds import Sample
from benchmarks.rows import Quantity, Row

__all__ = ["Comparison", "Line", "Spread", "summarise"]


@attrs.frozen
class Spread:
    """Where some figures lie.

    Attributes:
      median: the middle one.
      low: the least of them.
      high: the greatest.

    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Self | None:
        """Describe some figures; None if there are none."""
        found = sorted(figures)
        if not found:
            return None
        return cls(statistics.median(found), found[0], found[-1])


@attrs.frozen
class Comparison:
    """Ours beside a peer's, in one quantity of one row.

    Attributes:
      peer: the peer's name.
      theirs: what the peer did.
      ratio: ours divided by theirs, round by round; None where theirs is nothing.
      goal: the ratio to reach, if there is one.
      is_met: whether it is reached; None without a goal or without a ratio.

    """

    peer: str
    theirs: Spread
    ratio: Spread | None
    goal: float | None
    is_met: bool | None


@attrs.frozen
class Line:
    """One quantity of one row, ours and the peers'.

    Attributes:
      row: the row.
      quantity: the quantity.
      ours: what we did, or None if that failed.
      is_met: whether ours keeps its own limit; None without one.
      comparisons: the peers that did it, in the order they were given.

    """

    row: Row
    quantity: Quantity
    ours: Spread | None
    is_met: bool | None
    comparisons: tuple[Comparison, ...]

    def beside(self, peer: str) -> Comparison | None:
        """Return the comparison with a peer, or None if there is none."""
        return next((one for one in self.comparisons if one.peer == peer), None)


def summarise(
    samples: Iterable[Sample], rows: list[Row], ours: str, peers: list[str]
) -> list[Line]:
    """Compare ``ours`` with each of the peers in everything that was measured."""
    found = {
        (sample.row, sample.relay, sample.round): sample.values
        for sample in samples
        if not sample.problem
    }
    lines = []
    for row in rows:
        for quantity in row.quantities:
            rounds = {
                relay: {
                    number: values[quantity.key]
                    for (name, who, number), values in found.items()
                    if (name, who) == (row.name, relay)
                }
                for relay in (ours, *peers)
            }
            lines.append(_line(row, quantity, rounds.pop(ours), rounds))
    return lines


def _line(
    row: Row,
    quantity: Quantity,
    ours: dict[int, float],
    peers: dict[str, dict[int, float]],
) -> Line:
    spread = Spread.of(ours.values())
    is_met = None
    if spread is not None and quantity.limit is not None:
        is_met = quantity.is_reached(spread.median, quantity.limit)
    comparisons = (
        _compare(quantity, ours, theirs, peer) for peer, theirs in peers.items()
    )
    return Line(row, quantity, spread, is_met, tuple(filter(None, comparisons)))


def _compare(
    quantity: Quantity, ours: dict[int, float], theirs: dict[int, float], peer: str
) -> Comparison | None:
    if (spread := Spread.of(theirs.values())) is None:
        return None
    common = [number for number in ours if theirs.get(number, 0) > 0]
    ratio = None
    if quantity.limit is None:
        ratio = Spread.of(ours[number] / theirs[number] for number in common)
    goal = quantity.goals.get(peer)
    is_met = None
    if ratio is not None and goal is not None:
        is_met = quantity.is_reached(ratio.median, goal)
    return Comparison(peer, spread, ratio, goal, is_met)

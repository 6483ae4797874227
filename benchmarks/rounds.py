"""Interleaved rounds: every relay does every row in each of them, in turns.

What else the machine does changes by the minute and hits all relays of a round alike.
So ratios are taken within a round, and only then is their median taken.

"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from benchmarks.load_generator import BenchmarkError
from benchmarks.processes import OthersMeter
from benchmarks.relays import Relay, running
from benchmarks.rows import Row
from benchmarks.work import Values

__all__ = ["Sample", "interleaved", "rotated"]

T = TypeVar("T")


@attrs.frozen
class Sample:
    """What one relay did in one row of one round.

    Attributes:
      row: the row's name.
      relay: the relay's name.
      round: the number of the round.
      values: what was measured; nothing if that failed.
      others: how many processors other programs used meanwhile.
      problem: why it failed, or the empty string.

    """

    row: str
    relay: str
    round: int
    values: Values = attrs.field(factory=dict)
    others: float = 0.0
    problem: str = ""


def rotated(ways: Sequence[T], by: int) -> Sequence[T]:
    """Begin with another one of ``ways`` each time, all in their order."""
    first = by % len(ways)
    return [*ways[first:], *ways[:first]]


def interleaved(
    relays: list[Relay], rows: list[Row], rounds: int, program: Path, seconds: float
) -> Iterator[Sample]:
    """Measure, and give each sample as it is there.

    The relays' order is rotated from row to row and from round to round. A relay that
    fails in a row isn't asked for that row again.

    """
    failed: set[tuple[str, str]] = set()
    for number in range(rounds):
        for place, row in enumerate(rows):
            for relay in rotated(relays, number + place):
                if (row.name, relay.name) in failed:
                    continue
                sample = _measure(row, relay, number, program, seconds)
                if sample.problem:
                    failed.add((row.name, relay.name))
                yield sample


def _measure(
    row: Row, relay: Relay, number: int, program: Path, seconds: float
) -> Sample:
    try:
        with row.place(), running(relay, program, seconds) as world:
            others = OthersMeter()
            values = row.work.measure(world)
            disturbance = others.read()
    except BenchmarkError as problem:
        return Sample(row.name, relay.name, number, problem=str(problem))
    return Sample(row.name, relay.name, number, values, disturbance)

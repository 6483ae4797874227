"""``python -m benchmarks relay``: trionitro's relay beside its peers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs

from benchmarks import load_generator, machine, plot, record, rows, table
from benchmarks.relays import OURS, Relay, built_in_peers
from benchmarks.results import Line, Spread, summarise
from benchmarks.rounds import Sample, interleaved

__all__ = ["Request", "run"]


@attrs.frozen(kw_only=True)
class Request:
    """What was asked for on the command line.

    Attributes:
      peers: relays to compare with, besides those that are built in.
      only: names of the rows to measure, or nothing for all.
      rounds: how many rounds.
      seconds: how long each measurement takes.
      calm: leave out what was measured while others used more processors than this.
      json: where to write everything that was found, or None.
      svg: where to write the plot, or None.

    """

    peers: tuple[Relay, ...]
    only: tuple[str, ...]
    rounds: int
    seconds: float
    calm: float
    json: Path | None
    svg: Path | None


def run(request: Request) -> None:
    """Measure, print the table, and write what else was asked for."""
    chosen = rows.find(request.only)
    program = load_generator.build()
    relays = [OURS, *{one.name: one for one in _peers(request)}.values()]
    print(f"measuring {machine.measured_package()}", file=sys.stderr)
    samples = []
    for sample in interleaved(relays, chosen, request.rounds, program, request.seconds):
        _tell(sample)
        samples.append(sample)
    names = [relay.name for relay in relays[1:]]
    calm = [sample for sample in samples if sample.others <= request.calm]
    lines = summarise(calm, chosen, OURS.name, names)
    print(table.render(lines, names))
    print(_disturbance(samples))
    record.write(
        request.json,
        relays={relay.name: " ".join(relay.command) for relay in relays},
        summary=[_summary(line) for line in lines],
        samples=samples,
    )
    if request.svg is not None:
        request.svg.write_text(plot.ratios(lines, names), encoding="utf-8")


def _peers(request: Request) -> list[Relay]:
    """Put the built-in peers first; one of the same name replaces it."""
    return [*built_in_peers(), *request.peers]


def _tell(sample: Sample) -> None:
    found = sample.problem or "  ".join(
        f"{key} {table.figure(value)}"
        for key, value in {**sample.values, "others": sample.others}.items()
    )
    print(f"{sample.round}  {sample.row}  {sample.relay}:  {found}", file=sys.stderr)


def _disturbance(samples: list[Sample]) -> str:
    others = Spread.of(sample.others for sample in samples if not sample.problem)
    if others is None:
        return "Nothing could be measured."
    return (
        f"Other programs used {table.figure(others.median)} processors meanwhile, at"
        f" most {table.figure(others.high)}: the less, the more the figures are worth."
    )


def _summary(line: Line) -> dict[str, Any]:
    return {
        "row": line.row.name,
        "quantity": line.quantity.key,
        "unit": line.quantity.unit,
        "ours": line.ours,
        "is_met": line.is_met,
        "peers": line.comparisons,
    }

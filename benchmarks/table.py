"""The table on the terminal."""

from __future__ import annotations

from typing import Final

from benchmarks.results import Comparison, Line, Spread

__all__ = ["render"]

_MARKS: Final = {True: "✓", False: "✗", None: " "}

_LEGEND: Final = (
    "Ours is the median (least to greatest). Each peer: ours divided by theirs, the"
    " median of the rounds; ✓ goal reached, ✗ not reached;"
    " - not measured, or only in vain."
)


def render(lines: list[Line], peers: list[str]) -> str:
    """Lay the lines out as a table."""
    table = [["", "", "trionitro", "", *peers]]
    before = None
    for line in lines:
        title = line.row.title if line.row is not before else ""
        before = line.row
        cells = [_ratio(line.beside(peer)) for peer in peers]
        table.append([title, line.quantity.title, *_ours(line), *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        for cells in table
    ]
    rule = "-" * max(map(len, text))
    return "\n".join(
        part.rstrip() for part in (text[0], rule, *text[1:], rule, _LEGEND)
    )


def _ours(line: Line) -> tuple[str, str]:
    if line.ours is None:
        return "-", ""
    mark = _MARKS[line.is_met]
    value = f"{figure(line.ours.median)} {line.quantity.unit} {mark}"
    return value.rstrip(), _range(line.ours)


def _range(spread: Spread) -> str:
    return f"({figure(spread.low)} to {figure(spread.high)})"


def _ratio(comparison: Comparison | None) -> str:
    if comparison is None:
        return "     -"
    if comparison.ratio is None:
        return f"({figure(comparison.theirs.median)})"
    return f"{comparison.ratio.median:6.2f} {_MARKS[comparison.is_met]}"


def figure(value: float) -> str:
    """Write a figure with three digits that count."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"

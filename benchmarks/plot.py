"""The plots for the documentation."""

from __future__ import annotations

from typing import Final

from benchmarks.results import Comparison, Line, Spread
from benchmarks.svg import COLOURS, Canvas, Scale

__all__ = ["ratios"]

_STEP: Final = 20
_TOP: Final = 58
_LEFT: Final = 290
_WIDTH: Final = 760

#: The ratios that have a grid line. What is beyond is drawn on the edge.
_GRID: Final = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)


def ratios(lines: list[Line], peers: list[str]) -> str:
    """Plot by how much ours is better than each peer, in every line of the table."""
    drawn = [line for line in lines if any(one.ratio for one in line.comparisons)]
    canvas = Canvas(_WIDTH, _TOP + _STEP * len(drawn) + 10)
    scale = Scale(_GRID[0], _GRID[-1], _LEFT, _WIDTH - 20)
    canvas.text(_LEFT, 14, "How many times better trionitro is than")
    canvas.legend(_LEFT, 32, peers)
    _draw_grid(canvas, scale)
    for place, line in enumerate(drawn):
        y = _TOP + _STEP * (place + 0.5)
        words = f"{line.row.title}: {line.quantity.title}"
        canvas.text(_LEFT - 14, y + 4, words, anchor="end")
        for comparison in line.comparisons:
            if (better := _better(line, comparison)) is None:
                continue
            colour = COLOURS[peers.index(comparison.peer) % len(COLOURS)]
            ends = [(scale(edge), y) for edge in (better.low, better.high)]
            canvas.line(ends, colour, width=1.5)
            title = f"{comparison.peer}: {better.median:.2f}"
            canvas.dot(scale(better.median), y, colour, title)
    return canvas.render()


def _draw_grid(canvas: Canvas, scale: Scale) -> None:
    for ratio in _GRID:
        x = scale(ratio)
        words = f"{ratio:g}×" if ratio >= 1 else f"1/{1 / ratio:g}"
        canvas.text(x, _TOP - 6, words, anchor="middle", size=11)
        ends = [(x, float(y)) for y in (_TOP, canvas.height - 10)]
        canvas.line(ends, "#888" if ratio == 1 else "#8884")


def _better(line: Line, comparison: Comparison) -> Spread | None:
    """Turn a ratio round where less is better; None if there is none to plot."""
    ratio = comparison.ratio
    if ratio is None or ratio.low <= 0:
        return None
    if line.quantity.better is max:
        return ratio
    return Spread(1 / ratio.median, 1 / ratio.high, 1 / ratio.low)

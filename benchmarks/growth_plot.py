"""The plot of what grows: one panel for each series, both axes logarithmic."""

from __future__ import annotations

import math
from typing import Final

import attrs

from benchmarks.svg import COLOURS, Canvas, Scale
from benchmarks.table import figure

__all__ = ["Panel", "draw"]

_WIDTH: Final = 720
_HEIGHT: Final = 260
_LEFT: Final = 60
_RIGHT: Final = 20
_TOP: Final = 50
_BOTTOM: Final = 30

_GRID: Final = "#8884"


@attrs.frozen
class Panel:
    """Some curves with one number in common.

    Attributes:
      title: what that number is.
      curves: points by the name of what they show.

    """

    title: str
    curves: dict[str, list[tuple[float, float]]]


def draw(panels: list[Panel]) -> str:
    """Draw the panels one below the other, without those that have no points."""
    filled = [panel for panel in panels if any(panel.curves.values())]
    canvas = Canvas(_WIDTH, _HEIGHT * len(filled))
    for place, panel in enumerate(filled):
        _draw_panel(canvas, panel, _HEIGHT * place)
    return canvas.render()


def _draw_panel(canvas: Canvas, panel: Panel, top: float) -> None:
    points = [point for curve in panel.curves.values() for point in curve]
    across = _scale([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _scale([y for _, y in points], top + _HEIGHT - _BOTTOM, top + _TOP)
    canvas.text(_LEFT, top + 16, panel.title)
    canvas.legend(_LEFT, top + 34, list(panel.curves), step=130)
    _draw_grid(canvas, across, up)
    for place, (name, curve) in enumerate(panel.curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        spots = [(across(x), up(y)) for x, y in curve]
        canvas.line(spots, colour, width=1.5)
        for spot, (x, y) in zip(spots, curve, strict=True):
            canvas.dot(*spot, colour, f"{figure(x)}: {figure(y)} {name}")


def _draw_grid(canvas: Canvas, across: Scale, up: Scale) -> None:
    for x in _powers(across):
        canvas.line([(across(x), up.start), (across(x), up.stop)], _GRID)
        canvas.text(across(x), up.start + 16, f"{x:,}", anchor="middle", size=11)
    for y in _powers(up):
        canvas.line([(across.start, up(y)), (across.stop, up(y))], _GRID)
        canvas.text(_LEFT - 6, up(y) + 4, f"{y:,}", anchor="end", size=11)


def _scale(values: list[float], start: float, stop: float) -> Scale:
    """Return a scale from one power of ten to another, with all values between."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), start, stop)


def _powers(scale: Scale) -> list[float]:
    low, high = round(math.log10(scale.low)), round(math.log10(scale.high))
    return [10**power for power in range(low, high + 1)]

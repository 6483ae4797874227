"""Plots as SVG, written out by hand: axes with logarithmic scales, dots and lines."""

from __future__ import annotations

import html
import math
from typing import Final

import attrs

__all__ = ["COLOURS", "Canvas", "Scale"]

#: Told apart by most eyes, also in a dark theme.
COLOURS: Final = ("#d1495b", "#2a9d8f", "#e9a23b", "#4f7cac", "#8e6c8a", "#7a7a7a")


@attrs.frozen
class Scale:
    """A logarithmic scale.

    Attributes:
      low: the value at ``start``; not above any other.
      high: the value at ``stop``.
      start: where it begins, in pixels.
      stop: where it ends.

    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return where ``value`` is; one that is outside is put on the edge."""
        inside = min(max(value, self.low), self.high)
        part = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.stop - self.start)


@attrs.define
class Canvas:
    """Shapes, in the order in which they are drawn."""

    width: int
    height: int
    _shapes: list[str] = attrs.field(init=False, factory=list)

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", size: int = 12
    ) -> None:
        """Write some words, with their baseline at ``y``."""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"'
            f' text-anchor="{anchor}" fill="#777">{html.escape(words)}</text>'
        )

    def line(
        self, points: list[tuple[float, float]], colour: str, *, width: float = 1
    ) -> None:
        """Draw a line through some points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}"'
            f' stroke-width="{width}"/>'
        )

    def dot(self, x: float, y: float, colour: str, title: str) -> None:
        """Draw a dot, whose title shows when one points at it."""
        self._shapes.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">'
            f"<title>{html.escape(title)}</title></circle>"
        )

    def legend(self, x: float, y: float, names: list[str], *, step: float = 90) -> None:
        """Say which colour is whose."""
        for place, name in enumerate(names):
            self.dot(x + step * place, y - 4, COLOURS[place % len(COLOURS)], name)
            self.text(x + step * place + 9, y, name)

    def render(self) -> str:
        """Return the document."""
        size = f'width="{self.width}" height="{self.height}"'
        view = f'viewBox="0 0 {self.width} {self.height}"'
        space = 'xmlns="http://www.w3.org/2000/svg"'
        head = f'<svg {space} {size} {view} font-family="sans-serif">'
        return "\n".join((head, *self._shapes, "</svg>", ""))

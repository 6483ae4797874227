"""Plots, as SVG that is written out by hand: dots on a logarithmic scale."""

from __future__ import annotations

from benchmarks.results import Line

__all__ = ["ratios"]


def ratios(lines: list[Line], peers: list[str]) -> str:
    return ""

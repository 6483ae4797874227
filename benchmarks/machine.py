"""The machine that was measured on, as far as it explains the figures."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

__all__ = ["describe", "heading", "measured_package"]


def describe() -> dict[str, str | int]:
    """Describe processor, memory, kernel and Python."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "processor": _first("/proc/cpuinfo", r"model name\s*:\s*(.+)"),
        "memory": _first("/proc/meminfo", r"MemTotal:\s*(.+)"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "trio": metadata.version("trio"),
        "trionitro": metadata.version("trionitro"),
    }


def heading() -> str:
    """Describe it in one line."""
    return ", ".join(f"{name} {value}" for name, value in describe().items())


def _first(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    return found[1] if found else "unknown"


def measured_package() -> str:
    """Say where the package that is measured lies."""
    program = "import trionitro; print(trionitro.__path__[0])"
    with tempfile.TemporaryDirectory() as elsewhere:
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, cwd=elsewhere, check=True, capture_output=True, text=True
        ).stdout.strip()

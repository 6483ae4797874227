"""Every example runs as the program it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parent.parent.glob("examples/*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(program: Path) -> None:
    command = [sys.executable, "-W", "error", str(program)]

    assert subprocess.run(command, check=False, timeout=20).returncode == 0

"""Every Python block of the README and of the documentation is a program that runs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
README = PAGES[0].read_text(encoding="utf-8")

#: The two commands of the first screen. ``.ci/run`` runs them as they stand there.
COMMANDS = (
    "python3 -m pip install . && python3 -m trionitro demo",
    "python3 -m pip install nox && python3 -m nox -s tests",
)


def programs() -> Iterator[tuple[str, str]]:
    """Yield each Python block, with a name that says where it is."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.M):
            line = text.count("\n", 0, block.start()) + 1
            yield f"{page.stem}-line-{line}", block[1]


PROGRAMS = dict(programs())


@pytest.mark.parametrize("name", PROGRAMS)
def test_block_runs(name: str) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAMS[name]]
    subprocess.run(command, check=True, timeout=20)


def test_the_readme_has_a_program() -> None:
    assert any(name.startswith("README") for name in PROGRAMS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_the_command(command: str) -> None:
    assert f"\n{command}\n" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_the_build_machine_runs_the_command(command: str) -> None:
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("there is no .ci/run in the sdist")

    assert f"'{command}'" in script.read_text(encoding="utf-8")

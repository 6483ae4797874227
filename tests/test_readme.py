"""What the README and the documentation show is true: programs run, files are read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trionitro.manifest import read_plan
from trionitro.proxy import Allowlist, read_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
README = PAGES[0].read_text(encoding="utf-8")

BLOCK = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

#: The two commands of the first screen. ``.ci/run`` runs them as they stand there.
COMMANDS = (
    "python3 -m pip install . && python3 -m trionitro demo",
    "python3 -m pip install nox && python3 -m nox -s tests",
)


def blocks(language: str) -> dict[str, str]:
    """Find the blocks in a language; their names say where they are."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            if block[1] == language:
                found[f"{page.name}:{line}"] = block[2]
    return found


PROGRAMS = blocks("python")
CONFIGURATIONS = blocks("toml")
ALLOWLISTS = blocks("yaml")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_python_block_is_a_program_that_runs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAMS[name], encoding="utf-8")
    command = [sys.executable, "-W", "error", str(file)]

    assert subprocess.run(command, check=False, timeout=20).returncode == 0


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_toml_block_configures_a_proxy_or_is_a_manifest(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.toml"
    file.write_text(CONFIGURATIONS[name], encoding="utf-8")

    if "[enclave]" in CONFIGURATIONS[name]:
        assert read_plan(file).links
    else:
        assert read_config(file).config.routes


@pytest.mark.parametrize("name", ALLOWLISTS)
def test_every_yaml_block_is_an_allowlist(name: str) -> None:
    assert Allowlist.parse(ALLOWLISTS[name]).rules


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

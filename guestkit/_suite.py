"""The project's tests, in a guest, on the project's wheel."""

from __future__ import annotations

import shlex
import shutil
import tomllib
import zipfile
from pathlib import Path
from typing import Final, final
from xml.etree import ElementTree as ET

import attrs

from trionitro.vm._commands import run_logged

__all__ = ["SUITE", "Counts", "counts_in", "prepare", "pytest_on", "requirements_of"]

_WANTED: Final = "guest or vsock or storm_of_conversations"

#: These take a minute for each way that the multiplexer can be driven, and the way with
#: both of its lanes has all that the other has.
_TWICE: Final = "one and (storm or bulk_may_be_cancelled)"

#: What a real kernel has something to say about: the tests that run nowhere else, and
#: those of the ordinary suite that find another kind of connection here.
SUITE: Final = (
    *("tests/guest", "tests/vsock/test_kernel.py", "tests/multiplexer"),
    *("tests/test_relay.py", "tests/test_relay_breaks.py"),
    *("tests/test_relay_cancelled.py", "tests/test_relay_stateful.py"),
    *("tests/test_relay_storm.py", "-k", f"({_WANTED}) and not ({_TWICE})"),
)

#: Where the results are, seen from ``out``.
_JUNIT: Final = "junit.xml"

#: The guest's Python, whose compiled modules are of no use to any other.
_PYTHON: Final = "/usr/bin/python3.11"

#: For each test: in emulation everything takes many times as long.
_SECONDS: Final = 180

#: Those that the tests use, by name: of those that pytest finds by itself it compiles
#: every module anew, Hypothesis's hundred among them.
_PLUGINS: Final = ("-p", "trio", "-p", "timeout", "-p", "hypothesispytest")

_RUN: Final = """\
#!/bin/sh
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 TRIONITRO_STORM=60
exec python3 -m {arguments}
"""


@final
@attrs.frozen(kw_only=True)
class Counts:
    """What came of a run of tests."""

    tests: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        passed = self.tests - self.failed - self.skipped
        return f"{passed} passed, {self.failed} failed, {self.skipped} skipped"


def requirements_of(project: Path) -> tuple[str, ...]:
    """Return what the project at ``project`` and its tests in a guest require."""
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    tests = settings["dependency-groups"]["guest-tests"]
    return (*settings["project"]["dependencies"], *tests)


def pytest_on(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the module to run, and its arguments, that test in a guest.

    Args:
      arguments: pytest's; where there are none, the whole suite is run.

    """
    ours = (f"--timeout={_SECONDS}", f"--junit-xml=out/{_JUNIT}")
    return ("pytest", *_PLUGINS, *ours, *(arguments or SUITE))


def prepare(project: Path, wheel: Path, work: Path, module: tuple[str, ...]) -> None:
    """Fill ``work`` with what a guest needs to test ``wheel``.

    Args:
      project: whose tests and benchmarks these are.
      wheel: what is tested.
      work: an empty directory.
      module: what is run there, and its arguments.

    """
    skipped = shutil.ignore_patterns("__pycache__")
    site = work / "site"
    shutil.copytree(project / "tests", work / "tests", ignore=skipped)
    shutil.copytree(project / "benchmarks", site / "benchmarks", ignore=skipped)
    shutil.copy(project / "pyproject.toml", work)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    log = work / "compiled.log"
    run_logged(log, _PYTHON, "-m", "compileall", "-q", str(site))
    run = work / "run"
    run.write_text(_RUN.format(arguments=shlex.join(module)))
    run.chmod(0o755)


def counts_in(out: Path) -> Counts | None:
    """Return what came of the tests, or None if no results came out of the guest."""
    try:
        cases = list(ET.parse(out / _JUNIT).iter("testcase"))  # noqa: S314  our guest's
    except (OSError, ET.ParseError):
        return None
    # A test that passed and whose fixture then failed is there once with an error.
    names = {(case.get("classname"), case.get("name")): set[str]() for case in cases}
    for case in cases:
        names[case.get("classname"), case.get("name")] |= {child.tag for child in case}
    return Counts(
        tests=len(names),
        failed=sum(bool(tags & {"failure", "error"}) for tags in names.values()),
        skipped=sum("skipped" in tags for tags in names.values()),
    )

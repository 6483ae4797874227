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

__all__ = ["SUITE", "Counts", "counts_in", "prepare", "requirements_of"]

#: What a real kernel has something to say about: the tests that run nowhere else, and
#: those of the ordinary suite that find another kind of connection here.
SUITE: Final = (
    *("tests/guest", "tests/vsock/test_kernel.py", "tests/multiplexer"),
    *("tests/test_relay.py", "tests/test_relay_breaks.py"),
    *("tests/test_relay_cancelled.py", "tests/test_relay_stateful.py"),
    *("tests/test_relay_storm.py", "-k", "guest or vsock or storm"),
)

#: Large, and needed by no test that runs in a guest.
_LEFT_OUT: Final = ("boto3", "coverage")

#: Where the results are, seen from ``out``.
_JUNIT: Final = "junit.xml"

#: The guest's Python, whose compiled modules are of no use to any other.
_PYTHON: Final = "/usr/bin/python3.11"

#: For each test: in emulation everything takes many times as long.
_SECONDS: Final = 180

_RUN: Final = """\
#!/bin/sh
export PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 TRIONITRO_STORM=80
exec python3 -m pytest --timeout={seconds} --junit-xml=out/{junit} {arguments}
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
    """Return what the project at ``project`` and its tests require."""
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    groups = settings["dependency-groups"]
    wanted = [*settings["project"]["dependencies"], *groups["tests"]]
    return tuple(word for word in wanted if not word.startswith(_LEFT_OUT))


def prepare(project: Path, wheel: Path, work: Path, arguments: tuple[str, ...]) -> None:
    """Fill ``work`` with what a guest needs to test ``wheel``.

    Args:
      project: whose tests these are.
      wheel: what is tested.
      work: an empty directory.
      arguments: pytest's; where there are none, the whole suite is run.

    """
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project / "tests", work / "tests", ignore=skipped)
    shutil.copy(project / "pyproject.toml", work)
    site = work / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    log = work / "compiled.log"
    run_logged(log, _PYTHON, "-m", "compileall", "-q", str(site))
    words = shlex.join(arguments or SUITE)
    run = work / "run"
    run.write_text(_RUN.format(seconds=_SECONDS, junit=_JUNIT, arguments=words))
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

"""Counts are right, and what a guest is told to run is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if not ROOT.joinpath("guestkit").is_dir():
    pytest.skip("the suite's guests are not published", allow_module_level=True)

# Last, so that the package under test stays the one that is installed.
sys.path.append(str(ROOT))

from guestkit._outside import OUTSIDE  # noqa: E402
from guestkit._suite import SUITE, Counts, counts_in, requirements_of  # noqa: E402


def test_a_test_whose_fixture_fails_afterwards_is_one_that_failed(
    tmp_path: Path,
) -> None:
    (tmp_path / "junit.xml").write_text(
        "<testsuites><testsuite>"
        "<testcase classname='t' name='good'/>"
        "<testcase classname='t' name='left_out'><skipped/></testcase>"
        "<testcase classname='t' name='bad'><failure/></testcase>"
        "<testcase classname='t' name='twice'/>"
        "<testcase classname='t' name='twice'><error/></testcase>"
        "</testsuite></testsuites>"
    )

    assert counts_in(tmp_path) == Counts(tests=4, failed=2, skipped=1)
    assert str(counts_in(tmp_path)) == "1 passed, 2 failed, 1 skipped"


def test_without_results_there_are_no_counts(tmp_path: Path) -> None:
    assert counts_in(tmp_path) is None


def test_what_is_run_exists() -> None:
    files = [word for word in (*SUITE, *OUTSIDE) if word.startswith("tests/")]

    assert all(ROOT.joinpath(file).exists() for file in files)


def test_a_guest_has_what_the_project_needs() -> None:
    requirements = requirements_of(ROOT)

    assert any(name.startswith("trio>=") for name in requirements)
    assert any(name.startswith("pytest-trio") for name in requirements)

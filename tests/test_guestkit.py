"""The kit keeps no half of anything, and counts right; guests are ``nox -s guest``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if not ROOT.joinpath("guestkit").is_dir():
    pytest.skip("the kit for guests is not published", allow_module_level=True)

# Last, so that the package under test stays the one that is installed.
sys.path.append(str(ROOT))

from guestkit import Kit, Machine  # noqa: E402
from guestkit._cache import cached, cached_path, code_of  # noqa: E402
from guestkit._commands import KitError, output_of, run_logged  # noqa: E402
from guestkit._site import requirements_of  # noqa: E402
from guestkit._suite import SUITE, Counts, counts_in  # noqa: E402

KIT = Kit(qemu=Path("/kit/qemu"), kernel=Path("/kit/vmlinuz"), archives=())


@pytest.fixture(name="cache", autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIONITRO_GUEST_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_in_the_cache_is_not_built_again() -> None:
    path = cached_path("part", "recipe", "1.0")
    cached(path, lambda directory: directory.joinpath("file").write_text("first"))

    again = cached(path, lambda directory: directory.joinpath("file").write_text("2"))

    assert (again / "file").read_text() == "first"


def test_another_version_is_another_part() -> None:
    assert cached_path("part", "recipe", "1.0") != cached_path("part", "recipe", "1.1")


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    def build(directory: Path) -> None:
        directory.joinpath("half").write_text("of it")
        raise KitError("no space left")

    path = cached_path("part", "recipe")
    with pytest.raises(KitError):
        cached(path, build)

    assert [entry for entry in cache.iterdir() if entry.is_dir()] == []


def test_a_part_appears_when_it_is_whole() -> None:
    path = cached_path("part", "recipe")

    def build(directory: Path) -> None:
        assert not path.exists()

    assert cached(path, build).exists()


def test_comments_are_no_part_of_a_recipe(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("x = 1\n")
    other.write_text("# why\nx   =  1  # one\n")

    assert code_of(str(one)) == code_of(str(other))


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="failed with exit code 3:\nlast words"):
        run_logged(tmp_path / "log", "sh", "-c", "echo last words; exit 3")
    with pytest.raises(KitError, match="can't run /no/such: No such file"):
        output_of("/no/such")


def test_a_guest_is_emulated_whatever_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ACCEL", raising=False)
    command = Machine(kit=KIT).command(Path("initrd"), Path("results"))
    assert command[command.index("-accel") + 1] == "tcg,thread=multi"

    monkeypatch.setenv("ACCEL", "kvm")
    command = Machine(kit=KIT).command(Path("initrd"), Path("results"))
    assert command[command.index("-accel") + 1] == "kvm"
    assert command[command.index("-cpu") + 1] == "host"


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


def test_what_a_guest_runs_exists() -> None:
    files = [word for word in SUITE if word.startswith("tests/")]

    assert all(ROOT.joinpath(file).exists() for file in files)


def test_a_guest_has_what_the_project_needs() -> None:
    requirements = requirements_of(ROOT)

    assert any(name.startswith("trio>=") for name in requirements)
    assert any(name.startswith("pytest-trio") for name in requirements)

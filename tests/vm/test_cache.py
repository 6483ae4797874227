"""The cache keeps no half of anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from trionitro.vm._cache import cached, cached_path, code_of
from trionitro.vm._commands import KitError


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


def test_what_builds_nothing_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("x = 1\n")
    other.write_text('"""Docs."""\nimport os\n\n# why\nx   =  1  # one\n')

    assert code_of(str(one)) == code_of(str(other))


def test_what_builds_is_a_part_of_a_recipe(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("def build():\n    run('make')\n")
    other.write_text("def build():\n    run('make', 'all')\n")

    assert code_of(str(one)) != code_of(str(other))

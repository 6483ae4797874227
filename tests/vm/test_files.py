"""A guest gets the application's files, and no more of them than it can hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trionitro import ConfigError
from trionitro.vm import Files, parse_files
from trionitro.vm._files import Budget, copy_all


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "package").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "app.py").write_text("print(1)\n")
    (source / "package" / "data").write_bytes(b"\0" * 100)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o750)
    (source / "link").symlink_to("package/data")
    (source / ".env").write_text("SECRET=1\n")
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("")
    (source / "package" / "__pycache__").mkdir()
    (source / "package" / "__pycache__" / "x.pyc").write_bytes(b"")
    os.mkfifo(source / "pipe")
    return source


def copied(source: Path, place: str, tree: Path) -> bytes:
    tree.mkdir(exist_ok=True)
    return copy_all([Files(source, place)], tree)


def test_files_are_where_they_should_be_and_nothing_hidden_is(
    source: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"

    copied(source, "/srv/app", tree)

    names = {str(path.relative_to(tree)) for path in tree.rglob("*")}
    assert names == {
        *("srv", "srv/app", "srv/app/app.py", "srv/app/run.sh", "srv/app/link"),
        *("srv/app/empty", "srv/app/package", "srv/app/package/data"),
    }
    assert (tree / "srv/app/app.py").read_text() == "print(1)\n"
    assert (tree / "srv/app/link").readlink() == Path("package/data")
    assert (tree / "srv/app/run.sh").stat().st_mode & 0o777 == 0o755
    assert (tree / "srv/app/app.py").stat().st_mode & 0o777 == 0o644


def test_copies_are_not_copied_again(source: Path) -> None:
    tree = source / "temporary" / "tree"
    tree.mkdir(parents=True)

    copied(source, "/app", tree)

    assert (tree / "app/app.py").exists()
    assert not (tree / "app/temporary").exists()


def test_later_files_go_over_earlier_ones(source: Path, tmp_path: Path) -> None:
    other, tree = tmp_path / "other", tmp_path / "tree"
    for made in (other, tree):
        made.mkdir()
    other.joinpath("app.py").write_text("print(2)\n")
    other.joinpath("link").symlink_to("elsewhere")

    copy_all([Files(source, "/app"), Files(other, "/app")], tree)

    assert (tree / "app/app.py").read_text() == "print(2)\n"
    assert (tree / "app/link").readlink() == Path("elsewhere")
    assert (tree / "app/package/data").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda source: (source / "app.py").write_text("print(2)\n"),
        lambda source: (source / "app.py").rename(source / "main.py"),
        lambda source: (source / "app.py").chmod(0o755),
        lambda source: (source / "empty").rmdir(),
        lambda source: (source / "more").write_text(""),
    ],
)
def test_what_is_measured_changes_with_the_files(
    source: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    before = copied(source, "/app", tmp_path / "before")
    change(source)
    after = copied(source, "/app", tmp_path / "after")

    assert before != after


def test_what_is_measured_does_not_change_with_anything_else(
    source: Path, tmp_path: Path
) -> None:
    before = copied(source, "/app", tmp_path / "before")
    os.utime(source / "app.py", (1, 1))
    (source / ".env").write_text("SECRET=2\n")

    assert copied(source, "/app", tmp_path / "after") == before


@pytest.mark.parametrize("budget", [Budget(size=105), Budget(count=3)])
def test_too_much_is_a_mistake(source: Path, tmp_path: Path, budget: Budget) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()

    with pytest.raises(ConfigError, match=f"too much in {source}.*--files"):
        copy_all([Files(source, "/app")], tree, budget=budget)


@pytest.mark.parametrize("place", ["/tmp/app", "/lib/app", "/proc", "/job"])
def test_a_place_that_the_guest_needs_itself_is_a_mistake(
    source: Path, tmp_path: Path, place: str
) -> None:
    with pytest.raises(ConfigError, match=f"/{place.split('/')[1]} would be in"):
        copied(source, place, tmp_path / "tree")


def test_a_place_can_be_given(tmp_path: Path) -> None:
    assert parse_files(str(tmp_path), default="/app") == Files(tmp_path, "/app")
    assert parse_files(f"{tmp_path}:/srv", default="/app") == Files(tmp_path, "/srv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/no/such", "'/no/such' is no directory"),
        ("{}:app", "'app' is no absolute path"),
        ("{}:/app/../lib", "no absolute path"),
        ("{}:", "no absolute path"),
    ],
)
def test_a_wrong_one_is_a_mistake(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_files(text.format(tmp_path), default="/app")

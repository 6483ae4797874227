"""A file is whole or not there, at whichever step the machine stops.

The file system of this test remembers what is on the disk and what is not there yet,
and stops before each step in turn. What a machine finds when it starts again is one
of three worlds: only what was synced is there; everything is; or the names are all
there, and the contents only if they were synced.

"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from trionitro.kms._durable import (
    FileSystem,
    create_durably,
    read_regular,
    replace_durably,
)

PATH = Path("/volume/name.sealed")


class StoppedError(Exception):
    """The machine stops here."""


@attrs.define
class File:
    """What was written, and how much of it is on the disk."""

    content: bytes = b""
    synced: bytes | None = None


@attrs.define
class Disk(FileSystem):
    """One directory that stops before step ``stop_at``."""

    names: dict[Path, File] = attrs.field(factory=dict)
    synced_names: dict[Path, File] = attrs.field(factory=dict)
    stop_at: float = float("inf")
    failing: str = ""
    steps: int = 0
    _open: dict[int, File] = attrs.field(factory=dict)

    def _step(self, name: str) -> None:
        if self.steps >= self.stop_at:
            raise StoppedError
        self.steps += 1
        if name == self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def create(self, path: Path) -> int:
        """Create an empty file."""
        self._step("create")
        fd = len(self._open)
        self._open[fd] = self.names[path] = File()
        return fd

    def write(self, fd: int, data: bytes) -> None:
        """Write half, and then all."""
        self._step("write")
        self._open[fd].content = data[: len(data) // 2]
        self._step("write")
        self._open[fd].content = data

    def sync(self, fd: int) -> None:
        """Bring the contents to the disk."""
        self._step("sync")
        self._open[fd].synced = self._open[fd].content

    def close(self, fd: int) -> None:
        """Close, which brings nothing to the disk."""

    def link(self, source: Path, target: Path) -> None:
        """Add a name."""
        self._step("link")
        if target in self.names:
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        self.names[target] = self.names[source]

    def replace(self, source: Path, target: Path) -> None:
        """Rename."""
        self._step("replace")
        self.names[target] = self.names.pop(source)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        self._step("unlink")
        del self.names[path]

    def sync_directory(self, directory: Path) -> None:
        """Bring the names to the disk."""
        self._step("sync_directory")
        self.synced_names = dict(self.names)

    def worlds(self) -> list[bytes | None]:
        """Return what may be in the file when the machine starts again."""
        synced = self.synced_names.get(PATH)
        named = self.names.get(PATH)
        return [
            None if synced is None else synced.synced or b"",
            None if named is None else named.content,
            None if named is None else named.synced or b"",
        ]


Write = Callable[[FileSystem, Path, bytes], None]


def disk_with(old: bytes | None) -> Disk:
    disk = Disk()
    if old is not None:
        disk.names[PATH] = disk.synced_names[PATH] = File(old, old)
    return disk


@pytest.mark.parametrize(
    ("write", "old"),
    [(replace_durably, b"old"), (replace_durably, None), (create_durably, None)],
)
def test_a_crash_at_any_step_leaves_the_old_or_the_new(
    write: Write, old: bytes | None
) -> None:
    whole = disk_with(old)
    write(whole, PATH, b"the new one")
    for stop_at in range(whole.steps):
        disk = disk_with(old)
        disk.stop_at = stop_at

        with pytest.raises(StoppedError):
            write(disk, PATH, b"the new one")

        assert set(disk.worlds()) <= {old, b"the new one"}


@pytest.mark.parametrize("write", [replace_durably, create_durably])
def test_what_was_written_is_there_in_every_world(write: Write) -> None:
    disk = disk_with(None)

    write(disk, PATH, b"the new one")

    assert disk.worlds() == [b"the new one"] * 3
    assert set(disk.names) == {PATH}


@pytest.mark.parametrize(
    ("write", "failing"),
    [
        (replace_durably, "write"),
        (replace_durably, "sync"),
        (replace_durably, "replace"),
        (create_durably, "write"),
        (create_durably, "link"),
    ],
)
def test_a_step_that_fails_leaves_nothing_behind(write: Write, failing: str) -> None:
    disk = disk_with(None)
    disk.failing = failing

    with pytest.raises(OSError, match=r"I/O|Input/output"):
        write(disk, PATH, b"new")

    assert not disk.names


def test_creating_never_replaces() -> None:
    disk = disk_with(b"old")

    with pytest.raises(FileExistsError):
        create_durably(disk, PATH, b"new")

    assert disk.worlds() == [b"old"] * 3
    assert set(disk.names) == {PATH}


@pytest.mark.parametrize("write", [replace_durably, create_durably])
def test_a_real_file_is_for_its_owner_only(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "name.sealed"

    write(FileSystem(), path, b"x" * 100_000)

    assert path.read_bytes() == b"x" * 100_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["name.sealed"]  # noqa: PTH208


def test_a_real_file_is_replaced_and_not_created_twice(tmp_path: Path) -> None:
    path = tmp_path / "name.sealed"
    create_durably(FileSystem(), path, b"old")
    replace_durably(FileSystem(), path, b"new")

    with pytest.raises(FileExistsError):
        create_durably(FileSystem(), path, b"newer")

    assert read_regular(path, max_size=10) == b"new"


def test_no_more_is_read_than_tells_that_it_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * 1000)

    assert len(read_regular(path, max_size=10)) == 11


def test_what_is_no_file_is_not_read_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")

    for name in ("fifo", "link", "."):
        with pytest.raises(OSError, match=r"regular|symbolic|directory"):
            read_regular(tmp_path / name, max_size=10)

"""The application's files: which of them a guest gets, and where.

They are in its memory, so there are limits. What is hidden stays outside, and so does
what Python writes for itself: that is how version control, environments and secrets
of a developer's directory don't come along.

"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, final

import attrs

from trionitro._exceptions import ConfigError

__all__ = ["Budget", "Files", "copy_all", "parse_files"]

#: What a guest of the usual memory has room for, twice: packed and unpacked.
_MAX_SIZE: Final = 128 * 2**20
_MAX_COUNT: Final = 20_000

#: Directly below the root these are links in the guest, or mounted over, or ours.
_TAKEN: Final = frozenset(
    {"bin", "dev", "init", "job", "lib", "lib32", "lib64", "libx32", "proc", "run"}
    | {"sbin", "sys", "tmp"}
)


@final
@attrs.frozen
class Files:
    """A directory of this machine, and where the guest has what is in it.

    Attributes:
      source: the directory.
      place: the absolute path in the guest.

    """

    source: Path
    place: str


def parse_files(text: str, *, default: str) -> Files:
    """Read ``DIRECTORY`` or ``DIRECTORY:PLACE``.

    Args:
      text: what was written.
      default: the place where none is given.

    Raises:
      ConfigError: if there is no such directory, or the place isn't absolute.

    """
    source, colon, place = text.rpartition(":")
    if not colon:
        source, place = text, default
    if not Path(source).is_dir():
        raise ConfigError(
            f"{source!r} is no directory; write DIRECTORY or DIRECTORY:PLACE"
        )
    path = PurePosixPath(place)
    if not path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{place!r} is no absolute path; write for example /app")
    return Files(Path(source), place)


@attrs.define
class Budget:
    """How much more may be copied.

    Attributes:
      size: bytes.
      count: files, directories and links.

    """

    size: int = _MAX_SIZE
    count: int = _MAX_COUNT

    def take(self, entry: Path, source: Path) -> None:
        """Take what ``entry`` of ``source`` needs.

        Raises:
          ConfigError: if there isn't so much left.

        """
        self.count -= 1
        self.size -= entry.lstat().st_size
        if self.count < 0 or self.size < 0:
            raise ConfigError(
                f"there is too much in {source}: a guest gets {_MAX_SIZE // 2**20} MiB"
                f" in {_MAX_COUNT} files at most; give a smaller directory with --files"
            )


def copy_all(
    files: Iterable[Files], tree: Path, *, budget: Budget | None = None
) -> bytes:
    """Copy them below ``tree``, as they will be below the guest's root.

    Args:
      files: later ones go over earlier ones.
      tree: a directory, in one that nobody else has anything in.
      budget: how much may be copied; the usual limits, if it is None.

    Returns:
      A digest (SHA-384) of what was copied: names, contents, and what can be run.

    Raises:
      ConfigError: if it is too much, can't be read, or is in the way of the guest.

    """
    digest, budget = hashlib.sha384(), budget or Budget()
    for each in files:
        target = tree / each.place.lstrip("/")
        try:
            target.mkdir(parents=True, exist_ok=True)
            for entry in _entries(each.source.resolve(), besides=tree.parent.resolve()):
                name = entry.relative_to(each.source.resolve())
                budget.take(entry, each.source)
                copied = _copy(entry, target / name)
                place = str(PurePosixPath(each.place, name))
                # Lengths, so that no two trees are the same bytes.
                digest.update(b"%d:%s" % (len(os.fsencode(place)), os.fsencode(place)))
                digest.update(b"%d:%s" % (len(copied), copied))
        except OSError as exc:
            raise ConfigError(f"can't copy {each.source}: {exc}") from None
    taken = sorted(_TAKEN.intersection(entry.name for entry in tree.iterdir()))
    if taken:
        raise ConfigError(
            f"files at /{taken[0]} would be in the guest's way: give another place,"
            " --files DIRECTORY:PLACE"
        )
    return digest.digest()


def _entries(directory: Path, *, besides: Path) -> Iterator[Path]:
    """Yield what is in a directory, in order, and in the directories in it.

    Not in ``besides``, where the copies are: it may be in the directory itself.
    """
    for entry in sorted(directory.iterdir()):
        if (
            entry.name.startswith(".")
            or entry.name == "__pycache__"
            or entry == besides
        ):
            continue
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield entry
            yield from _entries(entry, besides=besides)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            yield entry


def _copy(entry: Path, target: Path) -> bytes:
    """Copy a file, a link, or an empty directory; return what to remember of it."""
    if entry.is_symlink():
        target.unlink(missing_ok=True)
        target.symlink_to(entry.readlink())
        return b"link " + os.fsencode(entry.readlink())
    if entry.is_dir():
        target.mkdir(exist_ok=True)
        return b"directory"
    shutil.copyfile(entry, target)
    can_run = entry.stat().st_mode & stat.S_IXUSR
    target.chmod(0o755 if can_run else 0o644)
    with target.open("rb") as file:
        content = hashlib.file_digest(file, "sha384").digest()
    return (b"program " if can_run else b"file ") + content

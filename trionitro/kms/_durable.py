"""Files that are whole or not there, whenever the machine stops."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

__all__ = ["FileSystem", "create_durably", "read_regular", "replace_durably"]

#: Temporary files begin so: no secret's name does.
_TEMPORARY: Final = ".sealing-"


class FileSystem:
    """The steps that a durable write is made of, as the system has them.

    They stand by themselves so that a test can stop between any two of them.

    """

    def create(self, path: Path) -> int:
        """Open a new file, for its owner only, to be written."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of ``data``."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]

    def sync(self, fd: int) -> None:
        """Have what was written survive a power cut."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close the file."""
        os.close(fd)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, which must be free."""
        os.link(source, target, follow_symlinks=False)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file another name, and take that from whichever had it."""
        os.replace(source, target)  # noqa: PTH105  beside os.link

    def unlink(self, path: Path) -> None:
        """Take a name away."""
        os.unlink(path)  # noqa: PTH108  beside os.link

    def sync_directory(self, directory: Path) -> None:
        """Have the names in ``directory`` survive a power cut."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def replace_durably(system: FileSystem, path: Path, data: bytes) -> None:
    """Write a file whole: whoever reads it, ever, reads the old or the new.

    Raises:
      OSError: if it can't be done; what was there is still there then, but where the
          directory couldn't be synced, when either may be.

    """
    temporary = _write_temporary(system, path, data)
    try:
        system.replace(temporary, path)
    except OSError:
        _discard(system, temporary)
        raise
    system.sync_directory(path.parent)


def create_durably(system: FileSystem, path: Path, data: bytes) -> None:
    """Write a file whole, if there is none of its name.

    Raises:
      FileExistsError: if there is one; it is left as it is.
      OSError: if it can't be done.

    """
    temporary = _write_temporary(system, path, data)
    try:
        system.link(temporary, path)
    finally:
        _discard(system, temporary)
    system.sync_directory(path.parent)


def _write_temporary(system: FileSystem, path: Path, data: bytes) -> Path:
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    fd = system.create(temporary)
    try:
        try:
            system.write(fd, data)
            system.sync(fd)
        finally:
            system.close(fd)
    except OSError:
        _discard(system, temporary)
        raise
    return temporary


def _discard(system: FileSystem, temporary: Path) -> None:
    with contextlib.suppress(OSError):
        system.unlink(temporary)


def read_regular(path: Path, *, max_size: int) -> bytes:
    """Read a file that somebody hostile may have put there.

    Returns:
      At most ``max_size + 1`` bytes: if it is so many, there are too many.

    Raises:
      FileNotFoundError: if there is none.
      OSError: if it is something else than a file, or can't be read.

    """
    # A FIFO would have open() wait for a writer, and a link would lead elsewhere.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is no regular file")
        return file.read(max_size + 1)

"""Mounting in a mount namespace of our own, where nobody else sees it.

It ends with the namespace, so nothing here is undone. Python's library can't mount;
the program ``mount`` of util-linux does.

"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from trionitro._exceptions import CannotStartError

__all__ = ["bind", "cover", "make_directory"]


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Have what is at ``source`` at ``target`` too; both must be there.

    Raises:
      CannotStartError: if that can't be.

    """
    # With all that is mounted below: in a user namespace a part can't be had alone.
    _mount("--rbind", source, target)
    if read_only:
        _mount("-o", "remount,bind,ro", target)


def cover(directory: Path) -> None:
    """Put an empty directory in the place of ``directory``.

    Raises:
      CannotStartError: if that can't be.

    """
    _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)


def make_directory(path: Path, *, aside: Path) -> None:
    """Have a directory at ``path``, without making it on the machine.

    Where it is missing, a copy takes the place of the nearest directory above it: in
    memory, with what is there bound into it, and with the new directory.

    Args:
      path: absolute.
      aside: an empty directory in which the copy is put together.

    Raises:
      CannotStartError: if it can't be had.

    """
    above = next(each for each in (path, *path.parents) if each.exists())
    if above == path and path.is_dir():
        return
    try:
        cover(aside)
        for entry in sorted(above.iterdir()):
            _repeat(entry, aside / entry.name)
        (aside / path.relative_to(above)).mkdir(parents=True)
    except OSError as exc:
        raise CannotStartError(
            f"can't have a directory {path} here: {exc.strerror}; choose another mount"
        ) from exc
    if above == Path("/"):
        os.chroot(aside)
        os.chdir("/")
    else:
        bind(aside, above)


def _repeat(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    bind(source, target)


def _mount(*arguments: str | Path) -> None:
    command = ["mount", *map(str, arguments)]
    try:
        done = subprocess.run(  # noqa: S603  no shell, and paths of the manifest's
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise CannotStartError(
            "there is no program 'mount', which the sandbox needs: install util-linux"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CannotStartError(
            f"{' '.join(command)} failed: {said[-1] if said else done.returncode}"
        )

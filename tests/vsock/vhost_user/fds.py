"""What file descriptors are open."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_open", "open_fds"]

_DIRECTORY = Path("/proc/self/fd")


def open_fds() -> list[str]:
    """List what the open file descriptors are, as "socket", "eventfd" and so on."""
    kinds = []
    for fd in _DIRECTORY.iterdir():
        try:
            kinds.append(str(fd.readlink()))
        except FileNotFoundError:  # the one by which the directory was read
            continue
    return sorted(kind.split(":[")[0] for kind in kinds)


def is_open(fd: int) -> bool:
    """Tell whether ``fd`` is open."""
    return (_DIRECTORY / str(fd)).is_symlink()

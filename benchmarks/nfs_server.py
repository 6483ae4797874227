"""The kernel's own NFS server, for as long as it is needed; takes root.

What it exports is in memory, so that no disk is measured, and nothing stays.

"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["exported"]

_CONTROL: Final = Path("/proc/fs/nfsd")

#: What the server's programs want to find.
_STATE: Final = ("v4recovery", "rpc_pipefs")
_TABLES: Final = ("etab", "rmtab")

#: Seconds; less than 10 isn't taken.
_TIMES: Final = ("--grace-time", "10", "--lease-time", "10")

#: What only this server needs: a file system in memory has no number of its own, and
#: the tests look at what root has written.
_OPTIONS: Final = "fsid=1,no_root_squash"


@contextlib.contextmanager
def exported(
    directory: Path, line: str, *, size: str, block: int = 0
) -> Iterator[None]:
    """Have ``directory``, which is made and empty, exported with NFSv4.

    The server is at 127.0.0.1:2049, and at no other address of this machine.

    Args:
      directory: what is exported.
      line: as in ``/etc/exports``.
      size: of what may be in it, as tmpfs says it.
      block: the most bytes of one read or write; 0 for what the server finds right
          for its memory.

    """
    _run("modprobe", "-a", "nfsd", "nfs", "nfsv4")
    directory.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory))
    try:
        _prepare()
        Path("/etc/exports").write_text(f"{line.removesuffix(')')},{_OPTIONS})\n")
        _run("exportfs", "-ra")
        if block:
            (_CONTROL / "max_block_size").write_text(str(block))
        versions = ("-N", "3", "-V", "4", "-V", "4.1", "-V", "4.2")
        _run("rpc.nfsd", *versions, "--no-udp", "-H", "127.0.0.1", *_TIMES, "4")
        # Nobody was connected before, so there is nobody to wait for.
        (_CONTROL / "v4_end_grace").write_text("Y")
        yield
    finally:
        _run("rpc.nfsd", "0")
        _run("exportfs", "-ua")
        _run("umount", str(directory))
        directory.rmdir()


def _prepare() -> None:
    if not (_CONTROL / "threads").exists():
        _run("mount", "-t", "nfsd", "nfsd", str(_CONTROL))
    state = Path("/var/lib/nfs")
    for name in _STATE:
        (state / name).mkdir(parents=True, exist_ok=True)
    for name in _TABLES:
        (state / name).touch()
    if not _is_running("rpc.mountd"):
        _run("rpc.mountd", "-N", "2", "-N", "3")


def _is_running(program: str) -> bool:
    names = Path("/proc").glob("[0-9]*/comm")
    return any(_text(path) == program for path in names)


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):  # it has just ended
        return path.read_text().strip()
    return ""


def _run(*words: str) -> None:
    # Not through pipes: rpc.mountd stays, and would keep them open.
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)

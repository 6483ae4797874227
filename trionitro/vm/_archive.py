"""Trees as cpio archives; the kernel unpacks several in a row."""

from __future__ import annotations

import os
from pathlib import Path

from trionitro.vm._commands import run_logged

__all__ = ["pack"]


def pack(tree: Path, archive: Path, log: Path) -> None:
    """Pack all that is in ``tree``, as owned by root, into ``archive``."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    options = ("--null", "--create", "--format=newc", "--owner=0:0", "--quiet")
    run_logged(
        log,
        *("cpio", *options, "--file", str(archive.absolute())),
        directory=tree,
        given=b"".join(os.fsencode(name) + b"\0" for name in names),
    )

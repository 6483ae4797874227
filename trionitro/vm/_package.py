"""This package itself, for the guest: the very files that run here."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from pathlib import Path
from typing import Final

import trionitro
from trionitro.vm._archive import pack
from trionitro.vm._cache import cached_path, code_of
from trionitro.vm._commands import run_logged

__all__ = ["PACKAGE", "build_package", "own_requirements", "package_path"]

PACKAGE: Final = "package.cpio"

_SOURCE: Final = Path(trionitro.__file__).parent

_PLACE: Final = "usr/local/lib/python3.11/dist-packages"

#: The guest's Python starts twice as fast with compiled modules. What is compiled here
#: is as true as what it is compiled from, so nobody has to look at times.
_COMPILE: Final = (
    *("/usr/bin/python3.11", "-m", "compileall", "-q"),
    *("--invalidation-mode", "unchecked-hash"),
)

#: Programs that a developer's machine has, and Debian's Python hasn't.
_PROGRAMS: Final = {
    "python": '#!/bin/sh\nexec /usr/bin/python3 "$@"\n',
    "trionitro": '#!/bin/sh\nexec /usr/bin/python3 -m trionitro "$@"\n',
}


def own_requirements() -> tuple[str, ...]:
    """Return what this package requires, as pip takes it."""
    return tuple(importlib.metadata.requires("trionitro") or ())


def package_path() -> Path:
    """Return where this package as it is now is, or will be, packed."""
    digest = hashlib.sha256(_metadata().encode())
    for path in sorted(_SOURCE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            name = path.relative_to(_SOURCE)
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return cached_path("package", code_of(__file__), digest.hexdigest())


def build_package(directory: Path, log: Path) -> None:
    """Put an archive of it, and of programs that start it, into ``directory``."""
    tree = directory / "tree"
    target = tree / _PLACE / "trionitro"
    shutil.copytree(_SOURCE, target, ignore=shutil.ignore_patterns("__pycache__"))
    run_logged(log, *_COMPILE, str(target))
    version = importlib.metadata.version("trionitro")
    about = tree / _PLACE / f"trionitro-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(_metadata())
    programs = tree / "usr" / "local" / "bin"
    programs.mkdir()
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    pack(tree, directory / PACKAGE, log)
    shutil.rmtree(tree)


def _metadata() -> str:
    """Return what the installation knows of itself, its version above all."""
    return importlib.metadata.distribution("trionitro").read_text("METADATA") or ""

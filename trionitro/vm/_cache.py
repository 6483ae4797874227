"""Parts that take long to build, kept for the next time.

A part is a directory named after what it is and what it was made from, so that a
changed recipe or a new version is another part. It appears under that name when it
is whole, and never before.

"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

__all__ = ["build_log", "cache_directory", "cached", "cached_path", "code_of"]

_log = structlog.get_logger("trionitro.vm")


def cache_directory() -> Path:
    """Return where parts are kept; it is made if missing.

    ``TRIONITRO_GUEST_CACHE`` names it, else it is ``trionitro/guest`` in the user's
    cache directory.

    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    chosen = os.environ.get("TRIONITRO_GUEST_CACHE")
    directory = Path(chosen) if chosen else Path(caches, "trionitro", "guest")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def build_log() -> Path:
    """Return the file that has what all builds printed."""
    return cache_directory() / "build.log"


def cached_path(name: str, *recipe: str) -> Path:
    """Return where the part ``name`` that is made from ``recipe`` is, or will be."""
    digest = hashlib.sha256("\0".join(recipe).encode()).hexdigest()
    return cache_directory() / f"{name}-{digest[:16]}"


def code_of(module: str) -> str:
    """Return what the module in the file ``module`` does, for a recipe.

    What it says of itself isn't in it, nor how it is formatted, nor where it imports
    its helpers from: that changes nothing that is built.

    """
    tree = ast.parse(Path(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [each for each in node.body if not _builds_nothing(each)]
    return ast.unparse(tree)


def _builds_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def cached(path: Path, build: Callable[[Path], object]) -> Path:
    """Return ``path``; have ``build`` fill it first, if it isn't there.

    Args:
      path: from :func:`cached_path`.
      build: fills the empty directory that it is given, and may leave other things
        than the part in it.

    """
    with _locked(path):
        if not path.exists():
            _build(path, build)
    return path


def _build(path: Path, build: Callable[[Path], object]) -> None:
    _log.info("building", part=path.name)
    started = time.monotonic()
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        build(unfinished)
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _log.info("built", part=path.name, seconds=round(time.monotonic() - started))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let nobody else build ``path`` meanwhile; they wait, and find it done."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""Python packages for the guest's Python."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from trionitro.vm._archive import pack
from trionitro.vm._cache import cached_path, code_of
from trionitro.vm._commands import run_logged

__all__ = ["SITE", "build_site", "site_path"]

SITE: Final = "site.cpio"

#: Where the guest's Python finds them.
_PLACE: Final = "opt/site"

#: The same Python as the guest's.
_PYTHON: Final = "/usr/bin/python3.11"


def site_path(requirements: tuple[str, ...]) -> Path:
    """Return where packages that meet ``requirements`` are, or will be."""
    return cached_path("site", code_of(__file__), *requirements)


def build_site(requirements: tuple[str, ...], directory: Path, log: Path) -> None:
    """Put an archive of the packages into ``directory``."""
    tree = directory / "tree"
    venv = directory / "venv"
    run_logged(log, _PYTHON, "-m", "venv", str(venv))
    options = ("install", "-q", "--only-binary=:all:", "--target", str(tree / _PLACE))
    run_logged(log, str(venv / "bin" / "pip"), *options, *requirements)
    pack(tree, directory / SITE, log)
    shutil.rmtree(tree)
    shutil.rmtree(venv)

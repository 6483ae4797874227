"""The Python packages that the project and its tests need, without the project."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Final

from guestkit._archive import pack
from guestkit._cache import cached_path, code_of
from guestkit._commands import run_logged

__all__ = ["SITE", "build_site", "requirements_of", "site_path"]

SITE: Final = "site.cpio"

#: Where the guest's Python finds them.
_PLACE: Final = "opt/site"

#: Large, and needed by no test that runs in a guest.
_LEFT_OUT: Final = ("boto3", "coverage")

#: The same Python as the guest's.
_PYTHON: Final = "/usr/bin/python3.11"


def requirements_of(project: Path) -> tuple[str, ...]:
    """Return what the project at ``project`` and its tests require."""
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    groups = settings["dependency-groups"]
    wanted = [*settings["project"]["dependencies"], *groups["tests"]]
    return tuple(word for word in wanted if not word.startswith(_LEFT_OUT))


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

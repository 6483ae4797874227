"""Python packages for the guest's Python."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from trionitro._exceptions import ConfigError
from trionitro._structuring import read_text
from trionitro.vm._archive import pack
from trionitro.vm._cache import cached_path, code_of
from trionitro.vm._commands import run_logged

__all__ = ["SITE", "build_site", "read_requirements", "site_path"]

SITE: Final = "site.cpio"

#: Where Debian's Python looks for what isn't Debian's.
_PLACE: Final = "usr/local/lib/python3.11/dist-packages"

#: The same Python as the guest's.
_PYTHON: Final = "/usr/bin/python3.11"


def read_requirements(path: str) -> tuple[str, ...]:
    """Read a file of requirements, one on each line, as pip does.

    Raises:
      ConfigError: if it can't be read, or has options in it.

    """
    text = read_text(path, remedy="write one requirement on each line")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if line.startswith("-") or "@" in line:
            raise ConfigError(
                f"{path}:{number}: {line!r} is more than the name of a package with"
                " its versions, and that is all that a guest's packages can have"
            )
    return tuple(filter(None, lines))


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

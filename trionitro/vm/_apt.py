"""Debian's packages and sources, without a change to this machine's own lists.

The mirror is the one that this machine uses; bookworm-backports is asked of it too,
whether this machine has that among its sources or not. The lists are fetched when
something has to be built, and decide which versions that is until the next time.

"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, final

import attrs

from trionitro.vm._cache import cache_directory
from trionitro.vm._commands import KitError, output_of, run_logged

__all__ = ["Apt"]

_BASE: Final = "bookworm"
_BACKPORTS: Final = "bookworm-backports"

#: The key that signs a source, in either of the two formats that sources have.
_SIGNED_BY: Final = re.compile(r"signed-by[:=] *(/\S+?)[\]\s]", re.IGNORECASE)


@attrs.frozen
class _Suite:
    """One suite of one mirror, as ``apt-get indextargets`` tells it."""

    uri: str
    name: str
    sources_file: str

    @property
    def key(self) -> str | None:
        """The file with the key that must have signed it, or None for any."""
        file = Path(self.sources_file)
        found = _SIGNED_BY.search(file.read_text() + "\n") if file.exists() else None
        return found[1] if found else None


@final
@attrs.frozen
class Apt:
    """A set of package lists of our own.

    Attributes:
      directory: where they are.

    """

    directory: Path = attrs.field(factory=lambda: cache_directory() / "apt")

    def has_lists(self) -> bool:
        """Tell whether the lists were ever fetched."""
        return (self.directory / "updated").exists()

    def update(self, log: Path) -> None:
        """Fetch the lists."""
        for name in ("parts", "lists/partial", "cache/archives/partial"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        parts = self.directory / "parts" / "debian.sources"
        parts.write_text("\n".join(_stanza(suite) for suite in _suites()))
        run_logged(log, "apt-get", *self._options(), "update", "-q")
        (self.directory / "updated").touch()

    def newest(self, pattern: str) -> str:
        """Return the name of the package with the highest number in its name.

        Args:
          pattern: a regular expression for the whole name.

        """
        named = output_of("apt-cache", *self._options(), "pkgnames").split()
        names = [name for name in named if re.fullmatch(pattern, name)]
        if not names:
            raise KitError(f"this machine's Debian mirror has no package {pattern}")
        return max(names, key=_numbers)

    def versions(self, *names: str) -> list[str]:
        """Return the versions of packages as they would be installed, in order."""
        policy = output_of("apt-cache", *self._options(), "policy", *names)
        found = re.findall(r"^  Candidate: (\S+)", policy, re.MULTILINE)
        if len(found) != len(names):
            raise KitError(f"this machine's Debian mirror lacks one of {names}")
        return found

    def source_version(self, name: str) -> str:
        """Return the version of ``name``'s source in the backports."""
        shown = output_of("apt-cache", *self._options(), "showsrc", name)
        found = re.findall(r"^Version: (\S+)", shown, re.MULTILINE)
        if not found:
            raise KitError(f"this machine's Debian mirror has no source of {name}")
        return str(found[0])

    def download(self, name: str, directory: Path, log: Path) -> Path:
        """Fetch a package, and return the file."""
        words = ("apt-get", *self._options(), "download", name)
        run_logged(log, *words, directory=directory)
        return next(directory.glob(f"{name}_*.deb"))

    def download_source(self, name: str, directory: Path, log: Path) -> Path:
        """Fetch the upstream part of a source, and return the file."""
        options = ("source", "--download-only", "--tar-only")
        words = ("apt-get", *self._options(), *options, name)
        run_logged(log, *words, directory=directory)
        return next(directory.glob(f"{name}_*.orig.tar.xz"))

    def one_line_sources(self) -> list[str]:
        """Return the binary sources, save the backports, in the one-line format."""
        return [_one_line(suite) for suite in _suites() if suite.name != _BACKPORTS]

    def _options(self) -> tuple[str, ...]:
        settings = {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": str(self.directory / "parts"),
            "Dir::State::lists": str(self.directory / "lists"),
            "Dir::Cache": str(self.directory / "cache"),
            # Container images switch these two off; without, each question takes
            # seconds.
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            # Apt's own unprivileged user can't write to a home directory. What is
            # fetched is checked against its signature all the same.
            "APT::Sandbox::User": "root",
        }
        options = (("-o", f"{name}={value}") for name, value in settings.items())
        return tuple(word for option in options for word in option)


def _suites() -> list[_Suite]:
    """Return this machine's suites of Debian 12, and the backports beside them."""
    line = "$(REPO_URI) $(RELEASE) $(SOURCESENTRY)"
    told = output_of(
        "apt-get", "indextargets", "--format", line, "Created-By: Packages"
    )
    suites: dict[str, _Suite] = {}
    for uri, name, entry in (row.split() for row in told.splitlines()):
        if name == _BASE or name.startswith(f"{_BASE}-"):
            suites.setdefault(name, _Suite(uri, name, entry.rpartition(":")[0]))
    if _BASE not in suites:
        raise KitError(f"this machine has no apt source for {_BASE}")
    base = suites[_BASE]
    suites.setdefault(_BACKPORTS, attrs.evolve(base, name=_BACKPORTS))
    return list(suites.values())


def _stanza(suite: _Suite) -> str:
    types = "deb deb-src" if suite.name == _BACKPORTS else "deb"
    lines = [f"Types: {types}", f"URIs: {suite.uri}", f"Suites: {suite.name}"]
    signed = [f"Signed-By: {suite.key}"] if suite.key else []
    return "\n".join([*lines, "Components: main", *signed, ""])


def _one_line(suite: _Suite) -> str:
    options = f"[signed-by={suite.key}] " if suite.key else ""
    return f"deb {options}{suite.uri} {suite.name} main"


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]

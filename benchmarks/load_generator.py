"""The load generator: a C program, compiled when it is first needed."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

import attrs

from benchmarks.processes import end

__all__ = ["BenchmarkError", "Client", "build", "compiler"]

_SOURCES: Final = Path(__file__).with_name("load")

#: The clients give up by themselves when nothing comes back for a while. This is for
#: those that can't, because they hang in a system call; in seconds.
_PATIENCE: Final = 12.0


class BenchmarkError(Exception):
    """Raised when something could not be measured."""


def compiler() -> str | None:
    """Return the C compiler to use, or None if there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def build() -> Path:
    """Compile the load generator unless that was done before; return the program.

    It is kept in the user's cache directory, under a name made of what it was compiled
    from.

    """
    sources = sorted(_SOURCES.glob("*.[ch]"))
    text = b"".join(source.read_bytes() for source in sources)
    program = _cache() / f"load-{hashlib.sha256(text).hexdigest()[:16]}"
    if not program.exists():
        _compile([str(source) for source in sources if source.suffix == ".c"], program)
    return program


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(base, "trionitro-benchmarks")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _compile(sources: list[str], program: Path) -> None:
    if (cc := compiler()) is None:
        raise BenchmarkError(
            "the load generator is written in C and there is no compiler: install one"
            " (on Debian: apt install gcc libc6-dev), or name it in the variable CC"
        )
    with tempfile.TemporaryDirectory(dir=program.parent) as directory:
        fresh = Path(directory, program.name)
        command = [cc, "-O2", "-pthread", "-o", str(fresh), *sources]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"{cc} failed:\n{done.stderr}")
        fresh.replace(program)


@attrs.frozen(eq=False)
class Client:
    """A load generator that plays clients: started, then told to go, then heard."""

    _process: subprocess.Popen[str]
    _words: tuple[str, ...]

    @classmethod
    def start(cls, program: Path, kind: str, port: int, *numbers: int) -> Self:
        """Start it, and return when its connections stand."""
        words = (kind, str(port), *map(str, numbers))
        process = subprocess.Popen(
            [program, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        client = cls(process, words)
        try:
            client._line()
        except BaseException:
            client.stop()
            raise
        return client

    def go(self) -> None:
        """Let it begin its work."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self, *, within: float) -> dict[str, float]:
        """Return what it measured, which is to take so many seconds at most."""
        found: dict[str, float] = json.loads(self._line(within))
        return found

    def stop(self) -> None:
        """End it, whatever it does."""
        end(self._process)

    def _line(self, within: float = 0.0) -> str:
        output, errors = self._process.stdout, self._process.stderr
        assert output is not None
        assert errors is not None
        if not select.select([output], [], [], within + _PATIENCE)[0]:
            raise BenchmarkError(f"{' '.join(self._words)}: it hangs")
        if line := output.readline():
            return line
        raise BenchmarkError(f"{' '.join(self._words)}: {errors.read().strip()}")

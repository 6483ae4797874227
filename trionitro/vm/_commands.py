"""Programs that build things: quiet while all goes well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trionitro._exceptions import CannotStartError

__all__ = ["KitError", "output_of", "run_logged"]

#: Lines of a failed program's output that are shown. Compilers and package managers
#: say what went wrong near the end.
_SHOWN: Final = 60

#: Characters of such a line.
_WIDTH: Final = 300


class KitError(CannotStartError):
    """Raised when there can be no guest; the message says why, and what to do.

    Attributes:
      said: the end of what a program printed that failed; it has line ends in it.

    """

    def __init__(self, message: str, said: str = "") -> None:
        """Take the message, and what was printed."""
        super().__init__(message)
        self.said = said


def output_of(*words: str) -> str:
    """Return what a program printed.

    Raises:
      KitError: if it failed or isn't there.

    """
    try:
        finished = subprocess.run(words, check=False, capture_output=True, text=True)
    except OSError as error:
        raise KitError(f"can't run {words[0]}: {error.strerror}") from error
    if finished.returncode != 0:
        raise _failure(words, finished.returncode, finished.stderr)
    return finished.stdout


def run_logged(
    log: Path,
    *words: str,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> None:
    """Run a program to its end, and append what it prints to ``log``.

    Args:
      log: a file, made if missing.
      *words: the program and its arguments.
      directory: where it runs.
      environment: what is added to this process's.
      given: its standard input.

    Raises:
      KitError: if it failed or isn't there; the end of its output is in it.

    """
    with log.open("ab") as output:
        start = output.tell()
        try:
            finished = subprocess.run(
                words,
                check=False,
                cwd=directory,
                env=os.environ | dict(environment or {}),
                input=given,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise KitError(f"can't run {words[0]}: {error.strerror}") from error
    if finished.returncode != 0:
        said = log.read_bytes()[start:].decode(errors="replace")
        raise _failure(words, finished.returncode, said, log)


def _failure(
    words: tuple[str, ...], status: int, said: str, log: Path | None = None
) -> KitError:
    lines = [line[:_WIDTH] for line in said.splitlines() if line.strip()][-_SHOWN:]
    last = lines[-1].strip() if lines else "it said nothing"
    more = f"; more is in {log}" if log else ""
    what = f"{' '.join(words[:3])} … failed with exit code {status}"
    return KitError(f"{what}: {last}{more}", "\n".join(lines))

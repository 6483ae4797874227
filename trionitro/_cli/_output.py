"""What commands write: lines for people, JSON and bytes for programs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

__all__ = ["in_red", "say", "say_bytes", "say_json", "write_file"]


def in_red(text: str) -> str:
    """Return a text that is red on a terminal, and itself anywhere else."""
    return click.style(text, fg="red", bold=True) if sys.stdout.isatty() else text


def say(line: str) -> None:
    """Print a line.

    Raises:
      click.ClickException: if nobody reads it any more, or the disk is full.

    """
    with _explaining():
        print(line, flush=True)


def say_json(value: Mapping[str, object]) -> None:
    """Print a JSON object, as :func:`say` does."""
    say(json.dumps(value))


def say_bytes(data: bytes, *, as_text: str) -> None:
    """Write bytes as they are; on a terminal, where they would be noise, a text.

    Args:
      data: the bytes.
      as_text: the same in hexadecimal, or base64.

    Raises:
      click.ClickException: as :func:`say` does.

    """
    if sys.stdout.isatty():
        say(as_text)
        return
    with _explaining():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def write_file(path: str, data: bytes) -> None:
    """Write a file that the user named.

    Raises:
      click.ClickException: if that can't be, with the path and the reason.

    """
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise click.ClickException(
            f"can't write {path}: {error.strerror}; choose another file"
        ) from None


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Python would try once more at its exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.ClickException(
            f"can't write to standard output: {error.strerror}; is there room, and"
            " does its reader live?"
        ) from None

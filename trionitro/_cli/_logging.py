"""Logs on standard error: text for people, JSON for machines."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO

import attrs
import structlog

__all__ = ["LogFormat", "set_up_logging"]

LogFormat = Literal["text", "json"]


def set_up_logging(
    form: LogFormat,
    *,
    verbosity: int = 0,
    copy: Callable[[str], object] = lambda text: None,
) -> None:
    """Send our logs, and those of the libraries, to standard error.

    Args:
      form: ``text``, a line of words and ``key=value`` pairs, or ``json``, an object
          a line with ``timestamp``, ``level`` and ``event``.
      verbosity: 0 for what an operator acts on, 1 for every connection.
      copy: is given all that is written there, in pieces, from any thread.

    """
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final = [*_final_steps(form)]
    output: Any = _LossyOutput(sys.stderr, copy)
    level = logging.DEBUG if verbosity else logging.INFO
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *final,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


@attrs.frozen
class _LossyOutput:
    """Standard error, for what may be lost, where there is such a thing at all.

    A full disk, or a reader that went away, is not to end anybody's connections.

    """

    _stream: TextIO | None
    _copy: Callable[[str], object]

    def write(self, text: str) -> None:
        self._copy(text)
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)

    def flush(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()


def _final_steps(form: LogFormat) -> list[Any]:
    if form == "json":
        return [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr is not None and sys.stderr.isatty(),
            sort_keys=False,
            pad_event_to=0,
        )
    ]

"""Logs on standard error: text for people, JSON for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

__all__ = ["LogFormat", "set_up_logging"]

LogFormat = Literal["text", "json"]


def set_up_logging(form: LogFormat, *, verbosity: int = 0) -> None:
    """Send our logs, and those of the libraries, to standard error.

    Args:
      form: ``text``, a line of words and ``key=value`` pairs, or ``json``, an object
          a line with ``timestamp``, ``level`` and ``event``.
      verbosity: 0 for what an operator acts on, 1 for every connection.

    """
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final = [*_final_steps(form)]
    level = logging.DEBUG if verbosity else logging.INFO
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
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


def _final_steps(form: LogFormat) -> list[Any]:
    if form == "json":
        return [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), sort_keys=False, pad_event_to=0
        )
    ]

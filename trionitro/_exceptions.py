"""The families of things that go wrong, by whose fault they are.

``OSError`` and Trio's own exceptions pass through unchanged: what is here says
what they can't.

"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "CannotStartError",
    "ConfigError",
    "NotAllowedError",
    "ProtocolError",
    "leaves",
]


class ProtocolError(Exception):
    """Raised when the peer sends bytes that make no sense."""


class ConfigError(ValueError):
    """Raised when what the user wrote is wrong.

    The message is one line that names the value, the place and the remedy.

    """


class NotAllowedError(Exception):
    """Raised when a policy forbids what a peer, or a route, asks for."""


class CannotStartError(Exception):
    """Raised when the world, not the configuration, stops a service from starting.

    A port in use, a device that is missing: the message is one line that names
    the value, the place and the remedy.

    """


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield what nurseries have wrapped in groups."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from leaves(inner)
    else:
        yield exc

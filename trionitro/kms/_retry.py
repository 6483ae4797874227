"""When a request is tried again: AWS's "standard" retry mode, without the waiting.

Source: "Retry behavior" of the AWS SDKs and Tools Reference Guide, and botocore's
``retries/standard.py``. Three attempts; between them a random part of a time that
doubles; and all the requests of a client together may only retry for as long as
most of them succeed. No I/O here.

"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import attrs

__all__ = ["MAX_ATTEMPTS", "RetryQuota", "backoff", "is_throttling", "is_transient"]

#: Of one request, the first included.
MAX_ATTEMPTS: Final = 3

_CAPACITY: Final = 500
_COST: Final = 14
_THROTTLING_COST: Final = 5

#: Seconds: what the first pause is at most, and what any is at most.
_BASE: Final = 0.05
_THROTTLING_BASE: Final = 1.0
_LONGEST: Final = 20.0

#: Of KMS's own errors, those that may be gone a moment later.
_TRANSIENT: Final = frozenset(
    {
        "KMSInternalException",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)

_THROTTLING: Final = frozenset(
    {"RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
)


def is_throttling(code: str) -> bool:
    """Tell whether an error says "not so fast"."""
    return code.startswith("Throttling") or code in _THROTTLING


def is_transient(code: str, status: int) -> bool:
    """Tell whether the same request may succeed in a moment."""
    return status >= 500 or code in _TRANSIENT


def backoff(
    attempt: int, *, throttled: bool, draw: Callable[[], float] = random.random
) -> float:
    """Return how many seconds to wait after an attempt that failed.

    Args:
      attempt: which one it was, from 1.
      throttled: whether it was refused for being one too many.
      draw: returns a number from 0 to 1.

    """
    base = _THROTTLING_BASE if throttled else _BASE
    return draw() * min(base * 2.0 ** (attempt - 1), _LONGEST)


@attrs.define(eq=False)
class RetryQuota:
    """What all the requests of a client may spend on being tried again."""

    _left: int = _CAPACITY

    def take(self, *, throttled: bool) -> int | None:
        """Pay for a retry: return what it cost, or None if there is too little left."""
        cost = _THROTTLING_COST if throttled else _COST
        if cost > self._left:
            return None
        self._left -= cost
        return cost

    def give_back(self, cost: int) -> None:
        """Be told that a request succeeded, after a retry that cost so much, or 0."""
        self._left = min(_CAPACITY, self._left + (cost or 1))

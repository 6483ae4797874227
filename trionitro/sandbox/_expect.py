"""What the demo says when a step doesn't do what it is there to show."""

from __future__ import annotations

__all__ = ["DemoFailedError", "expect"]


class DemoFailedError(Exception):
    """Raised when a step did not do what it is there to show."""


def expect(holds: bool, what: str) -> None:
    """Check something.

    Raises:
      DemoFailedError: if it doesn't hold.

    """
    if not holds:
        raise DemoFailedError(f"expected {what}")

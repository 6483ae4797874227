"""Whether it pays to look again before going back to Trio."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["Habit"]

#: A habit that has always paid takes so many disappointments, by three each time, to
#: be given up; and one that was given up is tried again once in so many times.
_STRONGEST: Final = 16
_DISAPPOINTMENT: Final = 3
_SECOND_CHANCE: Final = 64


@attrs.define
class Habit:
    """How often lingering has found work lately.

    Attributes:
      patience: for how long to look, in seconds.

    """

    patience: float = 50e-6
    _strength: int = _STRONGEST // 2
    _skipped: int = 0

    def is_worth_it(self) -> bool:
        """Say whether to linger now."""
        if self._strength > 0:
            return True
        self._skipped = (self._skipped + 1) % _SECOND_CHANCE
        return self._skipped == 0

    def learn(self, *, paid: bool) -> None:
        """Remember whether there was something to do in the end."""
        if paid:
            self._strength = min(self._strength + 1, _STRONGEST)
        else:
            self._strength = max(self._strength - _DISAPPOINTMENT, 0)

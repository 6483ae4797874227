"""Whether a thread gets enough of the time to be worth having."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["Share"]

#: The least part of the time that it has to run. Measured: a quarter and more where two
#: threads take turns with the interpreter, however many messages there are beside the
#: bulk; a seventh where one has to ask for it each time.
_LEAST: Final = 1 / 5

#: A single pass may have met with anything.
_PASSES: Final = 2


@attrs.define
class Share:
    """How much of the time a thread has run lately that it had something to do.

    A thread that computes without a pause keeps Python's interpreter for five
    milliseconds when another wants it. The other gives it up for every read and every
    write, and gets it back no sooner.

    Attributes:
      patience: for how long to look, in seconds.

    """

    patience: float = 20e-3
    _passes: int = 0
    _taken: float = 0.0
    _run: float = 0.0

    def is_too_small(self, taken: float, run: float) -> bool:
        """Take note of one pass, and say whether there is no use in going on.

        Args:
          taken: how long it took, in seconds.
          run: for how long the thread had a processor meanwhile.

        """
        self._passes += 1
        self._taken += taken
        self._run += run
        if self._taken < self.patience or self._passes < _PASSES:
            return False
        too_small = self._run < self._taken * _LEAST
        self._passes, self._taken, self._run = 0, 0.0, 0.0
        return too_small

"""Starting an application again, or not, and how long to wait before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from trionitro.manifest import Restart

__all__ = ["keep_running"]

_log = structlog.get_logger("trionitro.enclave")

#: The wait doubles with each failure, up to this many seconds: long enough to do no
#: harm, short enough that what was down meanwhile is found up again.
_LONGEST_DELAY: Final = 60.0

#: What has run for this many seconds was well, and the wait is the first one again.
_WELL_AFTER: Final = 60.0


async def keep_running(
    run: Callable[[], Awaitable[int]],
    *,
    policy: Restart,
    first_delay: float,
    stopping: trio.Event,
) -> int:
    """Call ``run`` again when it ends, as ``policy`` says; return its last exit code.

    Args:
      run: runs the application once, and returns its exit code.
      policy: ``never``, ``on-failure`` (any exit code but 0) or ``always``.
      first_delay: seconds before the application is started again. They double with
          each time that it ends within a minute, up to a minute.
      stopping: once set, nothing is started any more.

    """
    delay = first_delay
    while True:
        began = trio.current_time()
        code = await run()
        lasted = trio.current_time() - began
        _log.info("application ended", code=code, seconds=round(lasted, 3))
        if stopping.is_set() or policy == "never":
            return code
        if policy == "on-failure" and code == 0:
            return code
        if lasted >= _WELL_AFTER:
            delay = first_delay
        _log.warning(
            "application is started again", after=f"{delay:g} s", restart=policy
        )
        with trio.move_on_after(delay):
            await stopping.wait()
            return code
        delay = min(2 * delay, max(_LONGEST_DELAY, first_delay))

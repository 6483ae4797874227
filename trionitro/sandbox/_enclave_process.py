"""The enclave's half as a process, which takes everything in it along when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from trionitro.sandbox._namespaces import command_in_namespaces

__all__ = ["EnclaveProcess"]

#: What a shell adds to a signal's number for a program that it ended.
_SIGNALLED: Final = 128

#: Seconds for what was killed to be gone, and between two looks.
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.02


@attrs.define(eq=False)
class EnclaveProcess:
    """A command in namespaces of its own.

    Attributes:
      command: what runs in them; a byte on its standard input tells it to stop, and
          the end of that that we are gone.
      environment: its environment.

    """

    command: Sequence[str]
    environment: Mapping[str, str] = attrs.field(repr=False)
    _stopping: trio.Event = attrs.field(init=False, factory=trio.Event)

    async def run(self) -> int:
        """Run it to its end.

        Returns:
          Its exit code; for a signal that ended it, what a shell has.

        Raises:
          CannotStartError: if there are no namespaces to be had.

        Cancellation:
          It is killed, with everything in its namespaces.

        """
        process = await trio.lowlevel.open_process(
            await command_in_namespaces(self.command),
            stdin=subprocess.PIPE,
            env=dict(self.environment),
            # Not in our group: a terminal's Ctrl-C is for us, and we stop it in order.
            process_group=0,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hold_lifeline, process)
                code = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            # Shielded, because nothing may stay behind; what is killed ends soon, and
            # we don't wait for ever either.
            with trio.CancelScope(shield=True):
                await _kill(process)
        return code if code >= 0 else _SIGNALLED - code

    def stop(self) -> None:
        """Ask it to stop."""
        self._stopping.set()

    async def _hold_lifeline(self, process: trio.Process) -> None:
        assert process.stdin is not None
        async with process.stdin:
            await self._stopping.wait()
            with contextlib.suppress(trio.BrokenResourceError):  # it has just ended
                await process.stdin.send_all(b"\0")
            # Its end would say that we are gone.
            await trio.sleep_forever()


async def _kill(process: trio.Process) -> None:
    """Kill what unshare waits for, so that its end is that of all in there.

    Killed itself, it would be gone before the others are; or it has no child yet, and
    would leave the one behind that it is just making.
    """
    with trio.move_on_after(_PATIENCE):
        while process.returncode is None:
            for child in await trio.to_thread.run_sync(_children_of, process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            with trio.move_on_after(_PAUSE):
                await process.wait()
    if process.returncode is None:
        process.kill()
        with trio.move_on_after(_PATIENCE):
            await process.wait()


def _children_of(pid: int) -> list[int]:
    """Return the children of a process; none where the kernel doesn't tell."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]

"""The program that all of this is for: started, watched, ended with all it started."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import structlog
import trio
import trio.abc

from trionitro._exceptions import CannotStartError
from trionitro.enclave._children import Children
from trionitro.enclave._relatives import Relatives
from trionitro.enclave._restart import keep_running
from trionitro.enclave._user import find_user
from trionitro.manifest import Enclave

__all__ = ["Application", "Output"]

_log = structlog.get_logger("trionitro.enclave")

#: What takes the bytes that the application writes, with "stdout" or "stderr"; no bytes
#: are the end, until it is started again. It must not wait: the application would.
Output = Callable[[str, bytes], None]

#: Seconds for killed processes to be gone, and for the last of what they wrote. It
#: takes no time, unless the kernel keeps them, as it does while they wait for a
#: server that has gone away, or somebody who got away has their standard output.
_PATIENCE: Final = 5.0

#: How a process ends that is killed, as :class:`subprocess.Popen` tells it.
_KILLED: Final = -signal.SIGKILL

_REMEDIES: Final = {
    errno.ENOENT: "correct [enclave] command, or add the program to the image",
    errno.EACCES: "make it executable, for the user too that it runs as",
    errno.ENOEXEC: "build it for this machine, or give the script a #! line",
    errno.EPERM: "boot as root, which may become [enclave] user",
    errno.EINVAL: "this user namespace doesn't have [enclave] user",
}


@attrs.define(eq=False)
class Application:
    """An enclave's application, over all its restarts.

    Attributes:
      settings: the command, and how it is to run.
      environment: variables on top of those that we have ourselves.
      children: starts it, and knows what it has left us.
      output: takes what it writes on standard output and standard error.
      started: set once it has been started for the first time.

    """

    settings: Enclave
    environment: Mapping[str, str] = attrs.field(repr=False)
    children: Children
    output: Output
    started: trio.Event = attrs.field(init=False, factory=trio.Event)
    _stopping: trio.Event = attrs.field(init=False, factory=trio.Event)
    _grace: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _is_impatient: bool = attrs.field(init=False, default=False)

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after ``settings.stop_timeout``."""
        self._stopping.set()

    def kill(self) -> None:
        """End it, and wait no longer for what SIGTERM does."""
        self._stopping.set()
        self._is_impatient = True
        self._grace.cancel()

    async def run(self) -> int:
        """Run it until it ends for good, and return its exit code.

        Whatever it leaves running when its first process ends is ended too.

        Returns:
          Its exit code; for one that a signal ended that signal's number, negated.

        Raises:
          CannotStartError: if it can't be started.

        Cancellation:
          As with :meth:`stop`: it is ended, in at most ``settings.stop_timeout`` and
          some seconds.

        """
        return await keep_running(
            self._run_once,
            policy=self.settings.restart,
            first_delay=self.settings.restart_delay,
            stopping=self._stopping,
        )

    async def _run_once(self) -> int:
        process = await self._start()
        _log.info("application started", pid=process.pid)
        code = _KILLED
        # Shielded, because it may write while it is being ended, and must not fail at
        # that; this ends when the application has.
        reading = trio.CancelScope(shield=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_all, process, reading)
            try:
                self.started.set()
                await self._wait_until_ended_or_stopped(process)
            finally:
                # Shielded, because nothing of it may stay behind; its end is certain,
                # as SIGKILL comes after the grace, and we don't wait for ever either.
                with trio.CancelScope(shield=True):
                    try:
                        code = await self._end(process)
                    finally:
                        reading.deadline = trio.current_time() + _PATIENCE
        return code

    async def _start(self) -> trio.Process:
        settings = self.settings
        variables = {**os.environ}
        options = {}
        if settings.user is not None:
            user = await trio.to_thread.run_sync(find_user, settings.user)
            variables |= user.environment
            options = user.popen_options()
        try:
            return await self.children.start(
                settings.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=settings.directory,
                env={**variables, **self.environment},
                start_new_session=True,
                **options,
            )
        except OSError as exc:
            raise CannotStartError(_explain(exc, settings)) from exc

    async def _read_all(self, process: trio.Process, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for name in ("stdout", "stderr"):
                    nursery.start_soon(self._read, name, getattr(process, name))

    async def _read(self, name: str, stream: trio.abc.ReceiveStream) -> None:
        async with stream:
            async for data in stream:
                self.output(name, bytes(data))
        self.output(name, b"")

    async def _wait_until_ended_or_stopped(self, process: trio.Process) -> None:
        async with trio.open_nursery() as nursery:

            async def wait_for_stop() -> None:
                await self._stopping.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait_for_stop)
            await process.wait()
            nursery.cancel_scope.cancel()

    async def _end(self, process: trio.Process) -> int:
        relatives = Relatives(process.pid, self.children)
        seconds = -math.inf if self._is_impatient else self.settings.stop_timeout
        with trio.CancelScope(deadline=trio.current_time() + seconds) as self._grace:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            await relatives.terminate()
        with trio.move_on_after(_PATIENCE):
            await relatives.kill()
            return await self.children.wait(process)
        _log.warning("the application's processes can't be ended", pid=process.pid)
        return _KILLED


def _explain(problem: OSError, settings: Enclave) -> str:
    reason = problem.strerror or str(problem)
    if problem.filename == settings.directory:
        return (
            f"can't run the application in {settings.directory}: {reason}; create it in"
            " the image, or correct [enclave] directory"
        )
    remedy = _REMEDIES.get(problem.errno or 0, "see the kernel's log")
    return f"can't run the command {settings.command[0]!r}: {reason}; {remedy}"

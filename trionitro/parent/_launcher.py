"""The life of an enclave that the parent starts itself, from its start to its end."""

from __future__ import annotations

import math
from typing import Final

import attrs
import structlog
import trio

from trionitro._exceptions import CannotStartError
from trionitro.manifest import Enclave, Image, Plan
from trionitro.parent._collector import Collector, exit_code_of
from trionitro.parent._nitro_cli import NitroCli, NitroCliError, RunningEnclave

__all__ = ["Launcher"]

_log = structlog.get_logger("trionitro.parent")

#: Seconds between looks at an enclave that may have died without a word.
_LOOK_INTERVAL: Final = 10.0

#: Seconds for nitro-cli to terminate an enclave while everything else stops. It
#: takes one or two.
_TERMINATE_TIMEOUT: Final = 15.0


@attrs.define(eq=False, kw_only=True)
class Launcher:
    """Starts an enclave, watches it, and sees that it is gone in the end.

    Attributes:
      plan: what it is.
      image: what it is started from.
      collector: who hears it.
      cli: how it is started.

    """

    plan: Plan
    image: Image
    collector: Collector
    cli: NitroCli = attrs.field(factory=NitroCli)

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> int:
        """Have the enclave run until it ends, and return its application's exit code.

        One that runs already, under the same name and CID, is taken over: it was left
        by a parent's half that was killed.

        Raises:
          CannotStartError: if it can't be started, or its CID is taken.

        Cancellation:
          The enclave is terminated before this returns.

        """
        is_there = await self._find()
        try:
            if not is_there:
                await self._start()
            task_status.started()
            await self._watch()
        finally:
            # Shielded, because nobody would own what stays: it holds memory and CPUs.
            with trio.CancelScope(
                deadline=trio.current_time() + _TERMINATE_TIMEOUT, shield=True
            ):
                await self._remove()
        if self.collector.end is None:
            _log.error("enclave ended without a word", enclave=self._enclave.name)
            return 1
        return exit_code_of(self.collector.end)

    @property
    def _enclave(self) -> Enclave:
        return self.plan.manifest.enclave

    async def _start(self) -> None:
        _log.info("starting", enclave=self._enclave.name, image=self.image.eif)
        enclave_id = await self.cli.run(self._enclave, self.image)
        _log.info("started", enclave=self._enclave.name, id=enclave_id)

    async def _find(self) -> bool:
        """Tell whether it runs already.

        Raises:
          CannotStartError: if another has its name or its CID.

        """
        own = self._enclave
        for found in await self.cli.describe():
            if not found.is_running:
                continue
            if self._is_ours(found):
                _log.warning(
                    "taken over",
                    enclave=own.name,
                    id=found.enclave_id,
                    debug=found.is_debug,
                )
                return True
            if found.cid == own.cid or found.name == own.name:
                raise CannotStartError(_conflict(found))
        return False

    async def _watch(self) -> None:
        """Return when the enclave is gone, or has said that it goes."""
        wait = self.plan.manifest.control.wait
        patience = trio.current_time() + wait
        while self.collector.end is None:
            with trio.move_on_after(_LOOK_INTERVAL) as pause:
                await self.collector.changed.wait()
            is_due = pause.cancelled_caught or not self.collector.is_paired
            if is_due and not await self._is_there():
                return
            if self.collector.phase is None and trio.current_time() >= patience:
                # Without its console, that is all there is to know about it.
                name = self._enclave.name
                _log.warning("enclave is silent", enclave=name, seconds=wait)
                patience = math.inf

    async def _is_there(self) -> bool:
        try:
            return any(map(self._is_ours, await self.cli.describe()))
        except NitroCliError as problem:
            _log.warning(
                "can't see it", enclave=self._enclave.name, problem=str(problem)
            )
            return True

    async def _remove(self) -> None:
        try:
            for found in filter(self._is_ours, await self.cli.describe()):
                await self.cli.terminate(found.enclave_id)
                _log.info("terminated", enclave=found.name, id=found.enclave_id)
        except NitroCliError as problem:
            _log.error(
                "not terminated", enclave=self._enclave.name, problem=str(problem)
            )

    def _is_ours(self, found: RunningEnclave) -> bool:
        own = self._enclave
        same = found.cid == own.cid and found.name in (own.name, None)
        return same and found.is_running


def _conflict(found: RunningEnclave) -> str:
    return (
        f"the enclave {found.name or found.enclave_id} runs with CID {found.cid}: give"
        " this one another name and CID, or stop that one with nitro-cli"
        f" terminate-enclave --enclave-id {found.enclave_id}"
    )

"""The parent as a process: one manifest or several, started, told to reload and stop.

Each manifest is a subtree of its own. What fails in one is logged, and the others
don't notice.

"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from trionitro._exceptions import (
    CannotStartError,
    ConfigError,
    NotAllowedError,
    leaves,
)
from trionitro._file_limit import raise_file_limit
from trionitro._systemd import notify
from trionitro.abc import VsockNetwork
from trionitro.manifest import Plan, check_together, read_plan
from trionitro.parent._half import ParentHalf

if TYPE_CHECKING:
    from trionitro.kms import CredentialProvider

__all__ = ["ProviderOf", "read_plans", "run_parent"]

_log = structlog.get_logger("trionitro.parent")

#: Finds whose credentials an enclave gets, by ``source`` of ``[credentials]``.
ProviderOf = Callable[[str], "CredentialProvider"]


def read_plans(paths: Sequence[str]) -> dict[str, Plan]:
    """Read the manifests of one parent, and plan them.

    Raises:
      ConfigError: if one of them is wrong, or two want the same.

    """
    plans = {path: read_plan(path) for path in paths}
    check_together(plans)
    return plans


async def run_parent(
    paths: Sequence[str], *, network: VsockNetwork, provider_of: ProviderOf
) -> int:
    """Serve the enclaves of these manifests until a signal, or their own end.

    SIGTERM and SIGINT stop the enclaves that were started here, stop accepting and let
    connections finish; a second one ends all at once. SIGHUP reads the manifests
    again; where that fails nothing changes, and the log says why.

    Args:
      paths: of the manifests.
      network: the vsock.
      provider_of: finds credentials.

    Returns:
      The exit code of the application; of several, the first that is not 0.

    Raises:
      ConfigError: if a manifest is wrong, or two want the same.
      CannotStartError, NotAllowedError: if there is one manifest, as
          :meth:`ParentHalf.serve` says.

    """
    raise_file_limit()
    parent = _Parent(paths, network, provider_of)
    with trio.open_signal_receiver(
        signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    ) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parent.obey, signals, nursery)
            await parent.serve()
            nursery.cancel_scope.cancel()
    _log.info("stopped")
    return next(filter(None, parent.codes.values()), 0)


@attrs.define(eq=False)
class _Parent:
    """All halves of one process.

    Attributes:
      codes: how each of them ended, by the path of its manifest.

    """

    _paths: Sequence[str]
    _network: VsockNetwork
    _provider_of: ProviderOf
    codes: dict[str, int] = attrs.field(init=False, factory=dict)
    _halves: Mapping[str, ParentHalf] = attrs.field(init=False, factory=dict)
    _starting: set[str] = attrs.field(init=False, factory=set)
    _started: trio.Event = attrs.field(init=False, factory=trio.Event)
    _reloading: trio.Lock = attrs.field(init=False, factory=trio.Lock)

    async def serve(self) -> None:
        """Serve them all, until each has come to its end."""
        plans = await self._read()
        self._halves = {path: self._half_of(plan) for path, plan in plans.items()}
        self._starting = set(self._halves)
        async with trio.open_nursery() as nursery:
            for path in self._halves:
                nursery.start_soon(self._serve_one, path)

    async def obey(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        """Do what signals ask for."""
        stopping = False
        async for signum in signals:
            name = signal.Signals(signum).name
            if signum == signal.SIGHUP:
                if self._started.is_set() and not stopping:
                    nursery.start_soon(self._reload)
                else:
                    _log.warning("not reloaded", problem="it is starting, or stopping")
            elif stopping or not self._started.is_set():
                _log.warning("stopping at once", signal=name)
                nursery.cancel_scope.cancel()
            else:
                stopping = True
                _log.info("stopping", signal=name)
                notify("STOPPING=1")
                for half in self._halves.values():
                    half.drain()

    def _half_of(self, plan: Plan) -> ParentHalf:
        credentials = plan.manifest.credentials
        provider = None
        if credentials is not None:
            provider = self._provider_of(credentials.source)
        return ParentHalf(plan=plan, network=self._network, provider=provider)

    async def _serve_one(self, path: str) -> None:
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._serve_half, path)
                self._has_started(path)
        except Exception as exc:
            self.codes[path] = 1
            if len(self._halves) == 1:
                raise
            _log_failure(path, exc)
            self._has_started(path)
        else:
            _log.info("done", manifest=path, code=self.codes[path])

    async def _serve_half(
        self, path: str, *, task_status: trio.TaskStatus[None]
    ) -> None:
        self.codes[path] = await self._halves[path].serve(task_status=task_status)

    def _has_started(self, path: str) -> None:
        """Note that ``path`` has started, or never will."""
        self._starting.discard(path)
        if not self._starting and not self._started.is_set():
            self._started.set()
            notify("READY=1")
            _log.info("ready", enclaves=len(self._halves))

    async def _reload(self) -> None:
        async with self._reloading:
            try:
                plans = await self._read()
            except ConfigError as problem:
                _log.error("not reloaded", problem=str(problem))
                return
            for path, half in self._halves.items():
                try:
                    await half.reload(plans[path])
                except (ConfigError, CannotStartError) as problem:
                    _log.error("not reloaded", manifest=path, problem=str(problem))
                else:
                    _log.info("reloaded", manifest=path)

    async def _read(self) -> dict[str, Plan]:
        """Read the files in a thread, which is left to itself if they never come."""
        return await trio.to_thread.run_sync(
            read_plans, self._paths, abandon_on_cancel=True
        )


def _log_failure(path: str, exc: Exception) -> None:
    expected = (ConfigError, CannotStartError, NotAllowedError)
    problems = list(leaves(exc))
    if all(isinstance(problem, expected) for problem in problems):
        text = "; ".join(map(str, problems))
        _log.error("failed", manifest=path, problem=text)
    else:
        _log.error("crashed", manifest=path, exc_info=exc)

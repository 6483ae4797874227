"""The boot: what :meth:`Boot._steps` lists, one after the other, and back again.

Whatever a step puts up stands until the boot ends, and is taken down in reverse: the
application first, then the volumes, then the routes, then hosts and addresses. The
parent is told all along, and at the very end how the application has ended: whoever
runs the enclave may turn it off then.

"""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address
from typing import Final

import attrs
import structlog
import trio

from trionitro._control import Exited, Phase
from trionitro._exceptions import CannotStartError, ProtocolError
from trionitro.enclave._application import Application
from trionitro.enclave._console import Console
from trionitro.enclave._entropy import SEED_SIZE, seed_entropy
from trionitro.enclave._heartbeat import send_heartbeat
from trionitro.enclave._hosts import hosts_block
from trionitro.enclave._loopback import loopback_addresses
from trionitro.enclave._machine import Machine
from trionitro.enclave._parent_link import ParentLink
from trionitro.enclave._steps import Step, Steps, reasons_of
from trionitro.enclave._volume import Mounter
from trionitro.manifest import HEARTBEAT_PORT, Plan, PlannedVolume
from trionitro.nsm import Nsm, NsmError, NsmUnavailableError
from trionitro.proxy import NO_ALLOWLIST, Proxy, ProxyConfig, Surroundings

__all__ = ["Boot"]

_log = structlog.get_logger("trionitro.enclave")

_Enter = Callable[[Step], AbstractAsyncContextManager[None]]

#: What a shell adds to a signal's number for a program that it ended.
_SIGNALLED: Final = 128


@attrs.define(eq=False, kw_only=True)
class Boot:
    """One boot of one enclave.

    Attributes:
      plan: what follows from its manifest.
      machine: what it boots.
      parent: the line to its parent's half.
      sends_heartbeat: whether to send the boot's heartbeat, for an image whose first
          process this is.
      console: shows what the application writes, beside the parent; None for none.

    """

    plan: Plan
    machine: Machine
    parent: ParentLink
    sends_heartbeat: bool = False
    console: Console | None = None
    _application: Application = attrs.field(init=False)
    _climb: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _code: int | None = attrs.field(init=False, default=None)
    _stopped: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._application = Application(
            self.plan.manifest.enclave,
            self.plan.environment,
            self.machine.children,
            self._take_output,
        )

    async def run(self) -> int:
        """Boot, run the application, undo everything, and tell the parent the end.

        The parent can have the application stopped, as :meth:`stop` does.

        Returns:
          The application's exit code, as a shell has it: for one that a signal ended
          it is 128 and that signal's number.

        Raises:
          CannotStartError: if a step fails.
          Exception: whatever a route, or a channel to the parent, crashes with, which
              is a bug; after all was taken down, and the parent was told.

        Cancellation:
          All is taken down as at the end, which takes seconds; but the parent isn't
          told how it ended.

        """
        async with trio.open_nursery() as services:
            services.start_soon(self._obey_parent)
            services.start_soon(self._stop_at_crash)
            services.start_soon(self.parent.serve)
            if self.console is not None:
                services.start_soon(self.console.serve)
            if self.machine.children.inherits:
                await services.start(self.machine.children.serve_reaping)
            try:
                with self._climb:
                    await self._up_and_down()
                self.parent.check()
            except Exception as exc:
                reasons = reasons_of(exc)
                self.parent.tell(Phase.FAILED, reasons)
                await self.parent.say_goodbye(Exited(last_words=reasons))
                raise
            if self.console is not None:
                await self.console.finish()
            exited = self._how_it_ended()
            await self.parent.say_goodbye(exited)
            services.cancel_scope.cancel()
        return _code_of(exited)

    def stop(self, whose_wish: str) -> None:
        """Stop the application, and with it the boot; the second time kill it at once.

        A boot that isn't so far ends where it is.

        Args:
          whose_wish: for the log, and for the parent.

        """
        if self._stopped:
            _log.warning("stopping at once", by=whose_wish)
            self._application.kill()
            return
        _log.info("stopping", by=whose_wish)
        self._stopped = True
        self.parent.tell(Phase.STOPPING, f"{whose_wish} wants it")
        if self._application.started.is_set():
            self._application.stop()
        else:
            self._climb.cancel()

    async def _up_and_down(self) -> None:
        steps = Steps(self.parent)
        async with contextlib.AsyncExitStack() as standing:
            for name, enter in self._steps():
                with steps.take(name) as step:
                    await standing.enter_async_context(enter(step))
            steps.has_booted()

    def _steps(self) -> Iterator[tuple[str, _Enter]]:
        if self.sends_heartbeat:
            yield "heartbeat", self._heartbeat
        yield "loopback", self._loopback
        yield "hosts", self._hosts
        yield "entropy", self._entropy
        yield "routes", self._routes
        yield "parent", self._paired
        for volume in self.plan.volumes:
            yield volume.place, functools.partial(self._volume, volume)
        yield "application", self._running

    @asynccontextmanager
    async def _heartbeat(self, step: Step) -> AsyncIterator[None]:
        cid = self.plan.manifest.enclave.parent_cid
        await send_heartbeat(self.machine.network, cid=cid, port=HEARTBEAT_PORT)
        step.did = f"answered by vsock://{cid}:{HEARTBEAT_PORT}"
        yield

    @asynccontextmanager
    async def _loopback(self, step: Step) -> AsyncIterator[None]:
        addresses = [ip_address(address) for address in self.plan.addresses]
        async with loopback_addresses(addresses, loopback=self.machine.loopback):
            step.did = f"up, {', '.join(('127.0.0.1', *self.plan.addresses))}"
            yield

    @asynccontextmanager
    async def _hosts(self, step: Step) -> AsyncIterator[None]:
        lines = [str(line) for line in self.plan.hosts]
        async with hosts_block(lines, path=self.machine.hosts):
            step.did = f"{len(lines)} lines in {self.machine.hosts}"
            yield

    @asynccontextmanager
    async def _entropy(self, step: Step) -> AsyncIterator[None]:
        try:
            await seed_entropy(Nsm(self.machine.nsm), pool=self.machine.pool)
        except (NsmError, NsmUnavailableError, ProtocolError, OSError) as exc:
            raise CannotStartError(str(exc)) from exc
        step.did = f"{SEED_SIZE} bytes from the security module"
        yield

    @asynccontextmanager
    async def _routes(self, step: Step) -> AsyncIterator[None]:
        routes = self.plan.enclave_routes
        if not routes:
            step.did = "there are none"
            yield
            return
        proxy = Proxy(Surroundings(self.machine.network, NO_ALLOWLIST))
        # No grace: when these are taken down nobody is left who would use them.
        config = ProxyConfig(routes=routes, grace=0)
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.serve, config)
            step.did = f"{len(routes)} listening"
            yield
            proxy.drain()

    @asynccontextmanager
    async def _paired(self, step: Step) -> AsyncIterator[None]:
        await self.parent.wait_paired()
        step.did = "has the same manifest"
        yield

    @asynccontextmanager
    async def _volume(self, volume: PlannedVolume, step: Step) -> AsyncIterator[None]:
        mounter = Mounter(
            children=self.machine.children,
            search_path=self.machine.search_path,
            mounted=self.machine.mounted,
            patience=self.plan.manifest.control.wait,
        )
        async with mounter.mount(volume):
            step.did = f"{volume.source} on {volume.mount}"
            yield

    @asynccontextmanager
    async def _running(self, step: Step) -> AsyncIterator[None]:
        """Start the application; where everything is taken down, wait for its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_application)
            await self._application.started.wait()
            step.did = f"{self.plan.manifest.enclave.command[0]} started"
            yield

    async def _run_application(self) -> None:
        self._code = await self._application.run()
        self.parent.tell(Phase.STOPPING, f"the application ended with {self._code}")

    def _take_output(self, source: str, data: bytes) -> None:
        self.parent.write(source, data)
        if self.console is not None:
            self.console.write(source, data)

    def _how_it_ended(self) -> Exited:
        if self._code is None:
            return Exited(signal=signal.SIGTERM, last_words="stopped while it booted")
        words = self.parent.last_words()
        if self._code < 0:
            return Exited(signal=-self._code, last_words=words)
        return Exited(code=self._code, last_words=words)

    async def _obey_parent(self) -> None:
        await self.parent.stop_wanted.wait()
        self.stop("the parent")

    async def _stop_at_crash(self) -> None:
        await self.parent.crashed.wait()
        if not self._stopped:
            self.stop("a crash")


def _code_of(exited: Exited) -> int:
    if exited.code is not None:
        return exited.code
    assert exited.signal is not None  # one of the two, where something has run
    return _SIGNALLED + exited.signal

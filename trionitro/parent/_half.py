"""The parent's half of one enclave: all that it serves, in one subtree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import attrs
import structlog
import trio

from trionitro._control import ParentControl, ParentLogs
from trionitro._endpoints import VsockEndpoint
from trionitro._exceptions import CannotStartError, ConfigError
from trionitro._listen import open_bound
from trionitro.abc import VsockNetwork
from trionitro.manifest import Plan
from trionitro.parent._collector import Collector
from trionitro.parent._launcher import Launcher
from trionitro.parent._nitro_cli import NitroCli
from trionitro.proxy import Proxy, ProxyConfig, Surroundings

if TYPE_CHECKING:
    from trionitro.kms import CredentialProvider

__all__ = ["ParentHalf"]

_log = structlog.get_logger("trionitro.parent")

#: What a plan that is read again may not change, because it is at work.
_FIXED: Final = ("credentials", "logs", "control")


def _collector_of(half: ParentHalf) -> Collector:
    return Collector(half.plan.manifest.enclave.name)


@attrs.define(eq=False, kw_only=True)
class ParentHalf:
    """What a parent does for one enclave.

    Attributes:
      plan: what follows from its manifest.
      network: the vsock.
      provider: whose AWS credentials the enclave gets; None if it gets none.
      cli: how the enclave is started, if the manifest has an image.
      collector: hears the enclave.

    """

    plan: Plan
    network: VsockNetwork
    provider: CredentialProvider | None = None
    cli: NitroCli = attrs.field(factory=NitroCli)
    collector: Collector = attrs.field(
        default=attrs.Factory(_collector_of, takes_self=True)
    )
    _control: ParentControl = attrs.field(init=False)
    _logs: ParentLogs = attrs.field(init=False)
    _proxy: Proxy = attrs.field(init=False)
    _draining: trio.Event = attrs.field(init=False, factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        enclave, plan = self.plan.manifest.enclave, self.plan
        self._control = ParentControl(
            network=self.network,
            port=plan.control_port,
            cid=enclave.cid,
            digest=plan.digest,
            heartbeat=plan.manifest.control.heartbeat,
            listener=self.collector,
        )
        self._logs = ParentLogs(
            network=self.network,
            port=plan.logs_port,
            cid=enclave.cid,
            digest=plan.digest,
            hear=self.collector.lines,
        )
        self._proxy = Proxy(Surroundings(self.network, plan.allowlist))

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> int:
        """Serve the enclave until it ends, if it is started here, or :meth:`drain`.

        Started when everything is listened on, and the enclave is started.

        Returns:
          The exit code of the application; 0 after :meth:`drain`.

        Raises:
          CannotStartError: if a port can't be listened on, or the enclave not started.
          NotAllowedError: if the allowlist could never let a route do its work.

        Cancellation:
          Connections end at once, and an enclave that was started here is terminated.

        """
        async with trio.open_nursery() as services:
            await services.start(self._control.serve)
            await services.start(self._logs.serve)
            await services.start(self._serve_credentials)
            async with trio.open_nursery() as routes:
                if self.plan.parent_routes:
                    await routes.start(self._proxy.serve, _proxy_config(self.plan))
                code = await self._wait_for_end(task_status)
                self._proxy.drain()
            services.cancel_scope.cancel()
        return code

    def drain(self) -> None:
        """Stop the enclave if it was started here, and let connections finish."""
        self._draining.set()

    def request_stop(self) -> bool:
        """Ask the enclave to stop its application; tell whether it is there to hear."""
        return self._control.request_stop()

    async def reload(self, plan: Plan) -> None:
        """Go over to another plan of the same enclave.

        Routes that stay as they are keep their connections, and the allowlist counts
        at once. The enclave that is there stays paired; the next must have the new
        manifest.

        Raises:
          ConfigError: if the plan changes what can't change meanwhile.
          CannotStartError: if a new listener can't be opened; nothing has changed
              then.

        """
        self._check_can_become(plan)
        if plan.parent_routes:
            await self._proxy.reload(_proxy_config(plan), plan.allowlist)
        self.plan = plan
        self._control.digest = self._logs.digest = plan.digest

    def _check_can_become(self, plan: Plan) -> None:
        ours, theirs = self.plan.manifest, plan.manifest
        changed = [
            *_differing(("name", "cid"), ours.enclave, theirs.enclave),
            *(f"[{table}]" for table in _differing(_FIXED, ours, theirs)),
        ]
        if bool(self.plan.parent_routes) != bool(plan.parent_routes):
            changed.append("whether there are routes")
        if changed:
            raise ConfigError(
                f"{ours.enclave.name}: {', '.join(changed)} can't change meanwhile:"
                " start the parent again"
            )

    async def _serve_credentials(self, *, task_status: trio.TaskStatus[None]) -> None:
        port, cid = self.plan.credentials_port, self.plan.manifest.enclave.cid
        if port is None:
            task_status.started()
            return
        if self.provider is None:
            raise CannotStartError(
                f"{self.collector.name} wants credentials, and there are none to give:"
                " leave [credentials] out"
            )
        # Most parents give none, and need not load our KMS at their start.
        from trionitro.parent._credentials import CredentialBroker  # noqa: PLC0415

        broker = CredentialBroker(self.provider, frozenset({cid}))
        bound = await open_bound(VsockEndpoint(None, port), self.network)
        task_status.started()
        await broker.serve(bound.listeners)

    async def _wait_for_end(self, task_status: trio.TaskStatus[None]) -> int:
        image = self.plan.manifest.image
        if image is None:
            task_status.started()
            await self._draining.wait()
            return 0
        launcher = Launcher(
            plan=self.plan, image=image, collector=self.collector, cli=self.cli
        )
        code = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when_draining, nursery.cancel_scope)
            code = await launcher.run(task_status=task_status)
            nursery.cancel_scope.cancel()
        return 0 if self._draining.is_set() else code

    async def _stop_when_draining(self, enclave: trio.CancelScope) -> None:
        await self._draining.wait()
        if self.request_stop():
            patience = self.plan.manifest.enclave.stop_timeout
            with trio.move_on_after(2 * patience):  # its own, and the boot's
                while self.collector.is_paired and self.collector.end is None:
                    await self.collector.changed.wait()
        enclave.cancel()


def _proxy_config(plan: Plan) -> ProxyConfig:
    return ProxyConfig(routes=plan.parent_routes, allowlist=plan.allowlist.source)


def _differing(keys: Iterable[str], one: object, other: object) -> list[str]:
    return [key for key in keys if getattr(one, key) != getattr(other, key)]

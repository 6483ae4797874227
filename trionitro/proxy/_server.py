"""A proxy at work: its routes' listeners and connections, and how they change."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Final

import attrs
import structlog
import trio
import trio.abc

from trionitro._endpoints import Endpoint
from trionitro._exceptions import NotAllowedError
from trionitro._listen import Bound, close_all, open_bound
from trionitro._multiplexer import Carrier
from trionitro.proxy._accept import Handler, Places, accept_connections
from trionitro.proxy._allowlist import TargetPolicy
from trionitro.proxy._connection import Surroundings, receive
from trionitro.proxy._dial import check_route_allowed
from trionitro.proxy._metrics import Metrics
from trionitro.proxy._route import ProxyConfig, Route

__all__ = ["Proxy"]

_log = structlog.get_logger("trionitro.proxy")

#: Prometheus opens one connection or two; a hundred is a mistake or an attack.
_SCRAPERS: Final = 16


@attrs.define(eq=False)
class _Service:
    """One open endpoint, what it is for, and the connections that came through it.

    Attributes:
      purpose: the route as configured, or None for the metrics.
      bound: the open listeners. They outlive the service when another purpose takes
          the endpoint over.
      handler: what is done with a connection.
      places: for how many connections at once.
      carrier: moves the bytes of those that need no task of their own.

    """

    purpose: Route | None
    bound: Bound
    handler: Handler
    places: Places
    carrier: Carrier = attrs.field(factory=Carrier)
    _accepting: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _retired: trio.Event = attrs.field(factory=trio.Event)
    _grace: float = 0.0

    async def serve(self) -> None:
        """Accept connections until retired, then let them finish for the grace."""
        async with trio.open_nursery() as carrying:
            carrying.start_soon(self.carrier.run)
            async with trio.open_nursery() as connections:
                with self._accepting:
                    async with trio.open_nursery() as accepting:
                        for listener in self.bound.listeners:
                            accepting.start_soon(
                                accept_connections,
                                *(listener, self.handler, self.places, connections),
                            )
                self._retired.set()
                carrying.cancel_scope.deadline = trio.current_time() + self._grace
            # No connection is on its way to the carrier any more.
            self.carrier.close()

    async def retire(self, grace: float) -> None:
        """Stop accepting, and return when nothing accepts any more.

        The connections get ``grace`` seconds to finish.

        """
        self._grace = grace
        self._accepting.cancel()
        await self._retired.wait()


#: What a service is found by when the configuration is read again: the endpoint as
#: configured, and which one of that spelling it is (free ports look alike).
_Key = tuple[Endpoint, int]


@attrs.define(eq=False)
class Proxy:
    """All routes of one process, from their first listener to their last byte.

    Attributes:
      around: the network, the allowlist and the metrics that connections share.

    """

    around: Surroundings
    _grace: float = attrs.field(init=False, default=0.0)
    _services: dict[_Key, _Service] = attrs.field(init=False, factory=dict)
    _started: trio.Event = attrs.field(init=False, factory=trio.Event)
    _draining: trio.Event = attrs.field(init=False, factory=trio.Event)
    _changing: trio.Lock = attrs.field(init=False, factory=trio.Lock)
    _routes: trio.Nursery = attrs.field(init=False)
    _helpers: trio.Nursery = attrs.field(init=False)

    async def serve(
        self,
        config: ProxyConfig,
        *,
        task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Do what ``config`` says until :meth:`drain` is called and drained.

        Started when every listener is open: ``nursery.start`` returns where the
        routes listen, with the ports that were really bound, in the order of
        ``config``.

        Raises:
          NotAllowedError: if the allowlist could never let a route do its work.
          CannotStartError: if a listener can't be opened.

        Cancellation:
          Connections end at once, TCP ones with a reset; all listeners are closed.

        """
        if config.allowlist is not None:
            for route in config.routes:
                await check_route_allowed(route, self.around.allowlist)
        try:
            async with trio.open_nursery() as self._helpers:
                async with trio.open_nursery() as self._routes:
                    await self._change(config)
                    self._started.set()
                    task_status.started(self._listening(config))
                    await self._draining.wait()
                    async with self._changing:
                        await self._stop_accepting()
                # The metrics are there to be read until the last connection's end.
                self._helpers.cancel_scope.cancel()
        finally:
            await close_all([service.bound for service in self._services.values()])

    def drain(self) -> None:
        """Stop accepting, and let connections finish for the configured grace."""
        self._draining.set()

    async def reload(self, config: ProxyConfig, allowlist: TargetPolicy) -> None:
        """Go over to ``config`` and ``allowlist``.

        Routes that stay as they are keep their connections; a changed or removed
        one's get the grace to finish. An allowlist that forbids a route takes effect
        on its next connection: a policy that was tightened must hold.

        Waits until the proxy has started; does nothing when it is draining.

        Raises:
          CannotStartError: if a new listener can't be opened; nothing has changed
              then.

        """
        await self._started.wait()
        for route in config.routes:
            try:
                await check_route_allowed(route, allowlist)
            except NotAllowedError as refusal:
                _log.warning("route will refuse", route=route.name, reason=str(refusal))
        async with self._changing:
            if not self._draining.is_set():
                await self._change(config)
                self.around.allowlist = allowlist

    async def _change(self, config: ProxyConfig) -> None:
        wanted = _purposes(config)
        ready: dict[_Key, Bound] = {}
        try:
            for key in wanted.keys() - self._services.keys():
                ready[key] = await open_bound(key[0], self.around.network)
            # Only now that nothing can be refused any more is anything taken away.
            for key, service in list(self._services.items()):
                if key not in wanted:
                    await self._end(service)
                    del self._services[key]
                elif wanted[key] != service.purpose:
                    await service.retire(self._grace)
                    ready[key] = service.bound
        except BaseException:
            await close_all(ready.values())
            raise
        self._grace = config.grace
        for key in wanted:
            if key in ready:
                self._start(key, wanted[key], ready[key])

    def _listening(self, config: ProxyConfig) -> list[Endpoint]:
        purposes = _purposes(config).items()
        return [
            self._services[key].bound.endpoint
            for key, purpose in purposes
            if purpose is not None
        ]

    def _start(self, key: _Key, purpose: Route | None, bound: Bound) -> None:
        listen = str(bound.endpoint)
        metrics = self.around.metrics
        if purpose is None:
            handler = functools.partial(_receive_scraper, metrics=metrics)
            service = _Service(None, bound, handler, Places(_SCRAPERS))
            self._helpers.start_soon(service.serve)
            _log.info("serving metrics", listen=listen)
        else:
            route = attrs.evolve(purpose, listen=bound.endpoint)
            carrier = Carrier(route.idle_timeout)
            handler = functools.partial(
                receive, route=route, around=self.around, carrier=carrier
            )
            places = Places(route.max_connections)
            service = _Service(purpose, bound, handler, places, carrier)
            metrics.add_route(route.name)
            self._routes.start_soon(service.serve)
            _log.info("listening", listen=listen, forward=str(route.forward))
        self._services[key] = service

    async def _stop_accepting(self) -> None:
        for service in self._services.values():
            if service.purpose is not None:
                await self._end(service)

    async def _end(self, service: _Service) -> None:
        await service.retire(self._grace)
        await service.bound.aclose()
        _log.info("stopped listening", listen=str(service.bound.endpoint))


def _receive_scraper(
    stream: trio.abc.Stream, place: Places, nursery: trio.Nursery, *, metrics: Metrics
) -> None:
    nursery.start_soon(_serve_scraper, stream, place, metrics)


async def _serve_scraper(
    stream: trio.abc.Stream, place: Places, metrics: Metrics
) -> None:
    try:
        await metrics.serve_client(stream)
    except Exception:  # noqa: BLE001  a scraper must not end anybody's connections
        _log.exception("metrics request crashed")
    finally:
        place.give_back()


def _purposes(config: ProxyConfig) -> dict[_Key, Route | None]:
    purposes: dict[_Key, Route | None] = {}
    seen: Counter[Endpoint] = Counter()
    pairs = [(route.listen, route) for route in config.routes]
    for listen, purpose in [*pairs, (config.metrics, None)]:
        if listen is not None:
            purposes[listen, seen[listen]] = purpose
            seen[listen] += 1
    return purposes

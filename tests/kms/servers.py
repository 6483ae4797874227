"""HTTP servers in memory, with TLS if need be, and fakes of what they stand for."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache

import attrs
import trio
import trustme

from trionitro import Endpoint, VsockEndpoint
from trionitro._http_server import HttpRequest, HttpResponse, answer_http
from trionitro._listen import open_bound
from trionitro.kms import VsockBackend
from trionitro.testing import MemoryVsock

Respond = Callable[[HttpRequest], Awaitable[HttpResponse]]

PORT = 8000


@cache
def authority() -> trustme.CA:
    """Return who signs the servers' certificates."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@cache
def trusting_tls() -> ssl.SSLContext:
    """Return a client's context that trusts it, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


@cache
def server_tls(host: str) -> ssl.SSLContext:
    """Return a server's context for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(host).configure_cert(context)
    return context


@attrs.define
class Served:
    """A server that runs: how to get to it, and what it saw."""

    backend: VsockBackend
    network: MemoryVsock
    connections: int = 0
    requests: list[HttpRequest] = attrs.field(factory=list)


@attrs.define
class _Handler:
    """Answers connections, and counts."""

    respond: Respond
    tls: str | None
    served: Served

    async def handle(self, stream: trio.abc.Stream) -> None:
        self.served.connections += 1
        if self.tls is not None:
            stream = trio.SSLStream(
                stream, server_tls(self.tls), server_side=True, https_compatible=True
            )
        await answer_http(stream, self._record)

    async def _record(self, request: HttpRequest) -> HttpResponse:
        self.served.requests.append(request)
        return await self.respond(request)


@asynccontextmanager
async def serving(respond: Respond, *, tls: str | None = None) -> AsyncIterator[Served]:
    """Serve HTTP on the parent's vsock, with TLS for the name ``tls``."""
    parent = MemoryVsock()
    served = Served(VsockBackend(parent.at(16), 3, PORT), parent)
    endpoint = VsockEndpoint(None, PORT)
    async with serving_on(endpoint, respond, tls=tls, served=served):
        yield served


@asynccontextmanager
async def serving_on(
    endpoint: Endpoint,
    respond: Respond,
    *,
    tls: str | None = None,
    served: Served | None = None,
) -> AsyncIterator[Endpoint]:
    """Serve HTTP on an endpoint, and yield the one that was bound."""
    network = MemoryVsock() if served is None else served.network
    served = served or Served(VsockBackend(network, 3, PORT), network)
    handler = _Handler(respond, tls, served)
    async with trio.open_nursery() as nursery:
        bound = await open_bound(endpoint, network)
        nursery.start_soon(trio.serve_listeners, handler.handle, bound.listeners)
        yield bound.endpoint
        nursery.cancel_scope.cancel()

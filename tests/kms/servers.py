"""HTTP servers in memory, with TLS if need be, and fakes of what they stand for."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache

import attrs
import trio
import trustme

from trionitro._http_server import HttpRequest, HttpResponse, answer_http
from trionitro.kms._http import VsockBackend
from trionitro.testing import MemoryVsock

Respond = Callable[[HttpRequest], Awaitable[HttpResponse]]

PORT = 8000


@cache
def authority() -> trustme.CA:
    """Return who signs the servers' certificates."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def trusting_tls() -> ssl.SSLContext:
    """Return a client's context that trusts it."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@cache
def server_tls(host: str) -> ssl.SSLContext:
    """Return a server's context for a name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert(host).configure_cert(context)
    return context


@attrs.define
class Served:
    """A server that runs: how to get to it, and what it saw."""

    backend: VsockBackend
    network: MemoryVsock
    connections: int = 0
    requests: list[HttpRequest] = attrs.field(factory=list)


@asynccontextmanager
async def serving(respond: Respond, *, tls: str | None = None) -> AsyncIterator[Served]:
    """Serve HTTP on the parent's vsock, with TLS for the name ``tls``."""
    parent = MemoryVsock()
    served = Served(VsockBackend(parent.at(16), 3, PORT), parent)

    async def record(request: HttpRequest) -> HttpResponse:
        served.requests.append(request)
        return await respond(request)

    async def handle(stream: trio.abc.Stream) -> None:
        served.connections += 1
        if tls is not None:
            stream = trio.SSLStream(
                stream, server_tls(tls), server_side=True, https_compatible=True
            )
        await answer_http(stream, record)

    async with trio.open_nursery() as nursery:
        listener = await parent.open_listener(PORT)
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield served
        nursery.cancel_scope.cancel()

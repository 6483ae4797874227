"""Opening listeners on endpoints of any kind."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Final, assert_never

import attrs
import trio
import trio.abc

from trionitro._endpoints import Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._exceptions import CannotStartError
from trionitro._unix import open_unix_listener
from trionitro.abc import VMADDR_ANY, VsockNetwork

__all__ = ["Bound", "close_all", "open_bound"]

#: What to do about the usual reasons. Unix sockets and vsocks explain themselves.
_TCP_REMEDIES: Final = {
    errno.EADDRINUSE: "stop what listens there, or choose another",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose one of its own",
    errno.EACCES: "ask for the permission (ports below 1024 need"
    " CAP_NET_BIND_SERVICE), or choose another",
}


#: Bytes, as in :class:`trio.SocketStream`.
_NOT_SENT: Final = 2**14


@attrs.frozen
class Bound(trio.abc.AsyncResource):
    """Listeners that are open, and where.

    Attributes:
      endpoint: as configured, but with the port that was really bound.
      listeners: one for each address of the endpoint.

    """

    endpoint: Endpoint
    listeners: list[trio.abc.Listener[Any]]

    async def aclose(self) -> None:
        """Close all of them, at once."""
        await close_all(self.listeners)


async def close_all(resources: Iterable[trio.abc.AsyncResource]) -> None:
    """Close ``resources`` at once, all of them, even when cancelled meanwhile."""
    async with AsyncExitStack() as stack:
        for resource in resources:
            stack.push_async_callback(trio.aclose_forcefully, resource)


async def open_bound(endpoint: Endpoint, network: VsockNetwork) -> Bound:
    """Listen on ``endpoint``.

    Raises:
      CannotStartError: if it can't be done, with the reason and a remedy.

    """
    try:
        match endpoint:
            case TcpEndpoint():
                return await _open_tcp(endpoint)
            case UnixEndpoint():
                return Bound(endpoint, [await open_unix_listener(endpoint.path)])
            case VsockEndpoint():
                return await _open_vsock(endpoint, network)
            case _:
                assert_never(endpoint)
    except OSError as exc:
        raise CannotStartError(f"{endpoint}: {exc.strerror or exc}") from exc


async def _open_tcp(endpoint: TcpEndpoint) -> Bound:
    try:
        listeners = await trio.open_tcp_listeners(
            endpoint.port, host=endpoint.host or None
        )
    except OSError as exc:
        remedy = _TCP_REMEDIES.get(exc.errno or 0, "check the address")
        raise OSError(
            exc.errno, f"can't listen there: {exc.strerror or exc}; {remedy}"
        ) from exc
    if endpoint.port == 0:
        # Each address got a free port of its own, and an endpoint has but one.
        for superfluous in listeners[1:]:
            superfluous.socket.close()
        del listeners[1:]
    for listener in listeners:
        # Inherited by what is accepted, which so is set up as Trio does it: small
        # messages don't wait for others, and not much waits for its turn to be sent.
        # And a peer that is gone without a word is noticed, else it would stay.
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT
            )
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    port: int = listeners[0].socket.getsockname()[1]
    return Bound(attrs.evolve(endpoint, port=port), list(listeners))


async def _open_vsock(endpoint: VsockEndpoint, network: VsockNetwork) -> Bound:
    if endpoint.cid not in (None, network.cid):
        raise OSError(
            errno.EADDRNOTAVAIL,
            f"CID {endpoint.cid} is not this side's own"
            f" ({'not known' if network.cid is None else network.cid});"
            f" write vsock://:{endpoint.port}",
        )
    listener = await network.open_listener(endpoint.port or VMADDR_ANY)
    return Bound(attrs.evolve(endpoint, port=listener.port), [listener])

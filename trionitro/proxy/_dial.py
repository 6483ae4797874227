"""Connecting to a route's target, as the allowlist permits."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, assert_never

import attrs
import structlog
import trio
import trio.abc

from trionitro._endpoints import TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._exceptions import NotAllowedError
from trionitro._unix import open_unix_stream, open_unix_stream_nowait
from trionitro.abc import VsockNetwork
from trionitro.proxy._allowlist import Decision, TargetPolicy
from trionitro.proxy._route import Family, Route

__all__ = ["DialError", "check_route_allowed", "dial", "dial_nowait", "judge_addresses"]

_log = structlog.get_logger("trionitro.proxy")

#: How long an address may keep us waiting before the next one is tried beside it
#: (RFC 8305 §5, "Connection Attempt Delay").
_NEXT_ADDRESS_DELAY: Final = 0.25

_FAMILIES: Final[dict[Family, socket.AddressFamily]] = {
    None: socket.AF_UNSPEC,
    4: socket.AF_INET,
    6: socket.AF_INET6,
}

Stream = trio.abc.HalfCloseableStream


class DialError(Exception):
    """Raised when a target can't be reached; the message is one line that says why."""


async def dial(
    route: Route,
    *,
    network: VsockNetwork,
    allowlist: TargetPolicy,
    observe: Callable[[float], object] = lambda seconds: None,
) -> Stream:
    """Connect to ``route.forward``, as often as the route says.

    Args:
      route: says where to, how often and for how long to try.
      network: for vsock targets.
      allowlist: asked at every attempt, with the address about to be dialled.
      observe: called with how many seconds each attempt took.

    Raises:
      NotAllowedError: if the allowlist forbids it. That isn't tried again.
      DialError: if no attempt succeeded; the message is the last one's.

    """
    attempt = 1
    while True:
        began = trio.current_time()
        try:
            return await _attempt(route, network, allowlist, began)
        except (OSError, DialError) as exc:
            problem = _describe(route, exc)
            if attempt >= route.connect_attempts:
                raise DialError(problem) from exc
        finally:
            observe(trio.current_time() - began)
        _log.info(
            "dialling again",
            route=route.name,
            attempt=attempt,
            of=route.connect_attempts,
            problem=problem,
        )
        attempt += 1
        await trio.sleep(route.connect_delay)


def dial_nowait(route: Route, *, network: VsockNetwork) -> Stream:
    """Connect to ``route.forward``, if that takes no waiting and asks nobody.

    Raises:
      trio.WouldBlock: if it might take time; :func:`dial` does it.
      OSError: if nobody is there now; :func:`dial` may try again, or says why.

    """
    match route.forward:
        case UnixEndpoint(path=path):
            return open_unix_stream_nowait(path)
        case VsockEndpoint(cid=cid, port=port):
            assert cid is not None  # Route checked that it can be dialled
            return network.open_stream_nowait(cid, port)
        case _:  # TCP takes time, and its allowlist may ask DNS
            raise trio.WouldBlock


async def _attempt(
    route: Route, network: VsockNetwork, allowlist: TargetPolicy, began: float
) -> Stream:
    with trio.CancelScope(deadline=began + route.connect_timeout):
        return await _open(route, network, allowlist)
    raise DialError(
        f"{route.forward} did not answer within {route.connect_timeout:g} s"
    )


def _describe(route: Route, exc: OSError | DialError) -> str:
    if isinstance(exc, DialError):
        return str(exc)
    if not isinstance(route.forward, TcpEndpoint):
        return _reason(exc)  # unix sockets and vsocks explain themselves
    if isinstance(exc, socket.gaierror):
        return f"can't resolve {route.forward}: {_reason(exc)}"
    return f"can't connect to {route.forward}: {os.strerror(exc.errno or 0)}"


def _reason(exc: OSError) -> str:
    return exc.strerror or str(exc)


async def _open(route: Route, network: VsockNetwork, allowlist: TargetPolicy) -> Stream:
    match route.forward:
        case TcpEndpoint() as target:
            verdicts = await judge_addresses(target, route.family, allowlist)
            return await _open_first(_allowed(verdicts), target.port)
        case UnixEndpoint(path=path):
            return await open_unix_stream(path)
        case VsockEndpoint(cid=cid, port=port):
            assert cid is not None  # Route checked that it can be dialled
            return await network.open_stream(cid, port)
        case _:
            assert_never(route.forward)


# --- which addresses --------------------------------------------------------------


async def check_route_allowed(route: Route, allowlist: TargetPolicy) -> None:
    """Check, before anybody connects, that ``allowlist`` lets ``route`` do its work.

    DNS is asked only where the rules can't tell without. Where it doesn't answer
    either, the first connection will show.

    Raises:
      NotAllowedError: if the route could not connect as things are.

    """
    target = route.forward
    if not isinstance(target, TcpEndpoint):
        return
    verdict = allowlist.could_allow(target.host, target.port)
    if verdict.allowed:
        return
    if not _is_literal(target.host) and not allowlist.judges_addresses(target.port):
        raise NotAllowedError(verdict.reason)
    try:
        with trio.move_on_after(route.connect_timeout):
            _allowed(await judge_addresses(target, route.family, allowlist))
    except OSError as exc:
        _log.warning("can't resolve yet", target=str(target), problem=_reason(exc))


async def judge_addresses(
    target: TcpEndpoint, family: Family, allowlist: TargetPolicy
) -> dict[str, Decision]:
    """Resolve ``target`` and decide about each of its addresses, best one first.

    Raises:
      OSError: if it can't be resolved.

    """
    resolved: dict[str, list[str]] = {}
    if _is_literal(target.host):
        # As in vsock-proxy, a name in the list allows the addresses it stands for.
        for name in allowlist.names_at(target.port):
            with contextlib.suppress(OSError):
                resolved[name] = await _resolve(name, target.port, family)
    return {
        address: allowlist.decide(target.host, target.port, address, resolved=resolved)
        for address in await _resolve(target.host, target.port, family)
    }


def _allowed(verdicts: Mapping[str, Decision]) -> list[str]:
    allowed = [address for address, verdict in verdicts.items() if verdict.allowed]
    if not allowed:
        raise NotAllowedError(next(iter(verdicts.values())).reason)
    return allowed


async def _resolve(host: str, port: int, family: Family) -> list[str]:
    """Ask the system for the addresses of ``host``; a literal is never asked about."""
    found = await trio.socket.getaddrinfo(
        host, port, family=_FAMILIES[family], type=socket.SOCK_STREAM
    )
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# --- the first that answers -------------------------------------------------------


async def _open_first(addresses: Sequence[str], port: int) -> trio.SocketStream:
    """Connect to whichever of ``addresses`` answers first, trying them in order.

    :func:`trio.open_tcp_stream` does this for the addresses of a name, but it looks
    the name up itself, and what the allowlist has checked must be what is dialled.

    """
    return await _Race(_alternating(addresses), port).run()


async def _open_tcp(address: str, port: int) -> trio.SocketStream:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        # Else a peer that is gone without a word would stay for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await sock.connect((address, port))
        return trio.SocketStream(sock)
    except BaseException:
        sock.close()
        raise


def _alternating(addresses: Iterable[str]) -> list[str]:
    """Take turns between IPv6 and IPv4, so that a broken one costs one delay only."""
    ordered = list(addresses)
    first = [a for a in ordered if (":" in a) == (":" in ordered[0])]
    second = [a for a in ordered if (":" in a) != (":" in ordered[0])]
    turns: list[str] = []
    while first or second:
        turns += first[:1] + second[:1]
        del first[:1], second[:1]
    return turns


@attrs.define(eq=False)
class _Race:
    """Tries one address beside the other until one of them has answered."""

    addresses: Sequence[str]
    port: int
    _winner: trio.SocketStream | None = None
    _problems: list[OSError] = attrs.field(factory=list)

    async def run(self) -> trio.SocketStream:
        try:
            async with trio.open_nursery() as nursery:
                for address in self.addresses:
                    failed = trio.Event()
                    nursery.start_soon(self._try, address, failed, nursery.cancel_scope)
                    with trio.move_on_after(_NEXT_ADDRESS_DELAY):
                        await failed.wait()
        except BaseException:
            if self._winner is not None:
                await trio.aclose_forcefully(self._winner)
            raise
        if self._winner is None:
            raise self._problems[0]
        return self._winner

    async def _try(
        self, address: str, failed: trio.Event, scope: trio.CancelScope
    ) -> None:
        try:
            stream = await _open_tcp(address, self.port)
        except OSError as exc:
            self._problems.append(exc)
            failed.set()
            return
        if self._winner is not None:
            await trio.aclose_forcefully(stream)
            return
        self._winner = stream
        scope.cancel()

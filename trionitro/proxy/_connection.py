"""One connection's life: admitted, dialled, relayed, counted."""

from __future__ import annotations

import contextlib
import logging
import socket

import attrs
import structlog
import trio.abc

from trionitro._endpoints import TcpEndpoint
from trionitro._exceptions import NotAllowedError
from trionitro._relay import relay
from trionitro._reset import reset, socket_of
from trionitro._transfer import Ending, Progress, Transfer
from trionitro.abc import VsockNetwork, VsockStream
from trionitro.proxy._accept import Places
from trionitro.proxy._allowlist import TargetPolicy
from trionitro.proxy._dial import DialError, dial
from trionitro.proxy._metrics import Metrics, Outcome, Refusal
from trionitro.proxy._route import Route

__all__ = ["Surroundings", "carry"]

_log = structlog.get_logger("trionitro.proxy")

_OUTCOMES = {
    Ending.FINISHED: Outcome.FINISHED,
    Ending.LEFT_BROKE: Outcome.CLIENT_BROKE,
    Ending.RIGHT_BROKE: Outcome.TARGET_BROKE,
    Ending.IDLE: Outcome.IDLE,
}


@attrs.define(eq=False)
class Surroundings:
    """What connections share. The allowlist is replaced when it is read again."""

    network: VsockNetwork
    allowlist: TargetPolicy
    metrics: Metrics = attrs.field(factory=Metrics)


async def carry(
    client: trio.abc.HalfCloseableStream,
    place: Places,
    *,
    route: Route,
    around: Surroundings,
) -> None:
    """Carry one accepted connection to the route's target and back, until it ends.

    Resource handling:
      ``client`` is closed when this returns or is cancelled. Where it did not come
      to a clean end it is reset, never given an end-of-file it could take for one.
      Then its ``place`` is given back.

    Error handling:
      Nothing that goes wrong with one connection leaves this function: it is logged
      and counted, and others don't notice.

    """
    progress = Progress()
    outcome = Outcome.CANCELLED
    around.metrics.connection_opened(route.name, progress)
    try:
        # Nothing else is awaited here: thousands of these may wait, and what a task
        # holds while it waits is what a connection costs.
        reached = await _reach(client, route, around)
        if isinstance(reached, Outcome):
            outcome = reached
            return
        transfer = await relay(
            client, reached, idle_timeout=route.idle_timeout, progress=progress
        )
        outcome = _OUTCOMES[transfer.ending]
        _log_end(route, outcome, transfer)
    except Exception:  # noqa: BLE001  a bug met by one connection must not end others
        outcome = Outcome.CRASHED
        _log.exception("connection crashed", route=route.name)
    finally:
        around.metrics.connection_ended(progress, outcome)
        place.give_back()
        await reset(client)


async def _reach(
    client: trio.abc.HalfCloseableStream, route: Route, around: Surroundings
) -> trio.abc.HalfCloseableStream | Outcome:
    """Connect to the target; where that can't be, say what becomes of the client."""
    if (stranger := _unknown_cid(client, route)) is not None:
        around.metrics.refusals.labels(route.name, Refusal.CID).inc()
        reason = f"CID {stranger} is not admitted (allow_cids)"
        _log.warning("refused", **_names(client, route), reason=reason)
        return Outcome.REFUSED
    try:
        target = await dial(
            route,
            network=around.network,
            allowlist=around.allowlist,
            observe=around.metrics.dial_seconds.labels(route.name).observe,
        )
    except NotAllowedError as refusal:
        around.metrics.refusals.labels(route.name, Refusal.ALLOWLIST).inc()
        _log.warning("refused", **_names(client, route), reason=str(refusal))
        return Outcome.REFUSED
    except DialError as problem:
        _log.warning("dial failed", **_names(client, route), problem=str(problem))
        return Outcome.DIAL_FAILED
    if _log.is_enabled_for(logging.DEBUG):
        _log.debug("connected", **_names(client, route), target=str(route.forward))
    _watch_for_death(client)
    _watch_for_death(target)
    return target


def _unknown_cid(client: trio.abc.HalfCloseableStream, route: Route) -> int | None:
    """Return the client's CID if it is one that ``route`` doesn't admit."""
    if not route.allow_cids or not isinstance(client, VsockStream):
        return None
    return None if client.peer.cid in route.allow_cids else client.peer.cid


def _names(client: trio.abc.HalfCloseableStream, route: Route) -> dict[str, str]:
    """Say for the log which connection this is."""
    return {"route": route.name, "peer": _peer_of(client)}


def _peer_of(stream: trio.abc.HalfCloseableStream) -> str:
    """Say who is at the other end, for the log."""
    if isinstance(stream, VsockStream):
        return str(stream.peer)
    sock = socket_of(stream)
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # it may have gone already
            host, port = sock.getpeername()[:2]
            return str(TcpEndpoint(host, port))
    return "unknown"


def _watch_for_death(stream: trio.abc.HalfCloseableStream) -> None:
    """Have TCP notice a peer that is gone without a word: else it stays for ever."""
    sock = socket_of(stream)
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _log_end(route: Route, outcome: Outcome, transfer: Transfer) -> None:
    # A peer that breaks off is news about that peer; the proxy is fine.
    level = "debug" if outcome is Outcome.FINISHED else "info"
    getattr(_log, level)(
        "connection ended",
        route=route.name,
        how=str(outcome),
        to_target=transfer.left_to_right,
        to_client=transfer.right_to_left,
    )

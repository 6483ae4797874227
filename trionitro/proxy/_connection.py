"""One connection's life: admitted, dialled, carried, counted."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

import attrs
import structlog
import trio.abc

from trionitro._endpoints import TcpEndpoint
from trionitro._exceptions import NotAllowedError
from trionitro._multiplexer import Carrier
from trionitro._relay import relay
from trionitro._reset import prepare_reset, reset, socket_of
from trionitro._transfer import Ending, Progress
from trionitro.abc import VsockNetwork, VsockStream
from trionitro.proxy._accept import Places
from trionitro.proxy._allowlist import TargetPolicy
from trionitro.proxy._dial import DialError, dial, dial_nowait
from trionitro.proxy._metrics import Metrics, Outcome, Refusal
from trionitro.proxy._route import Route

__all__ = ["Surroundings", "receive"]

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


def receive(
    client: trio.abc.HalfCloseableStream,
    place: Places,
    nursery: trio.Nursery,
    *,
    route: Route,
    around: Surroundings,
    carrier: Carrier,
) -> None:
    """Carry one accepted connection to the route's target and back, until it ends.

    Where the target is reached without waiting, and all that is left to do is to move
    bytes between two sockets, ``carrier`` does that. Otherwise there is a task in
    ``nursery``, and for no longer than it takes until then.

    Resource handling:
      ``client`` is closed when ``carrier`` or ``nursery`` is cancelled, if not before.
      Where it did not come to a clean end it is reset, never given an end-of-file it
      could take for one. Then its ``place`` is given back.

    Error handling:
      Nothing that goes wrong with one connection gets any further: it is logged and
      counted, and others don't notice.

    """
    connection = Connection(client, place, route, around, carrier)
    around.metrics.connection_opened(route.name, connection.progress)
    if not connection.is_carried_at_once():
        nursery.start_soon(connection.run)


@attrs.define(eq=False)
class Connection:
    """One connection: admitted, dialled, carried, counted."""

    client: trio.abc.HalfCloseableStream
    place: Places
    route: Route
    around: Surroundings
    carrier: Carrier
    target: trio.abc.HalfCloseableStream | None = None
    progress: Progress = attrs.field(factory=Progress)

    def is_carried_at_once(self) -> bool:
        """Hand the connection to the carrier, if there is nothing to wait for.

        Where anything stands in the way, it is left to :meth:`run` to meet it again.

        """
        try:
            if socket_of(self.client) is None or self._stranger() is not None:
                return False
            began = trio.current_time()
            self.target = dial_nowait(self.route, network=self.around.network)
            self._observe_dial(trio.current_time() - began)
            return self._is_carried()
        except Exception:  # noqa: BLE001  a bug met by one connection must not end others
            return False

    async def run(self) -> None:
        """Do all that takes time."""
        outcome: Outcome | None = Outcome.CANCELLED
        try:
            outcome = None if self.target is not None else await self._reach()
            if outcome is None and not self._is_carried():
                outcome = Outcome.CANCELLED
                outcome = await self._relay()
        except Exception:  # noqa: BLE001  a bug met by one connection must not end others
            outcome = Outcome.CRASHED
            _log.exception("connection crashed", route=self.route.name)
        finally:
            if outcome is not None:
                self._count(outcome)
                try:
                    await reset(self.client)
                finally:
                    if self.target is not None:
                        await reset(self.target)

    async def _reach(self) -> Outcome | None:
        """Connect to the target; if it can't be, say what becomes of the client."""
        route, around = self.route, self.around
        if (stranger := self._stranger()) is not None:
            around.metrics.connection_refused(route.name, Refusal.CID)
            reason = f"CID {stranger} is not admitted (allow_cids)"
            _log.warning("refused", **self._names(), reason=reason)
            return Outcome.REFUSED
        try:
            self.target = await dial(
                route,
                network=around.network,
                allowlist=around.allowlist,
                observe=self._observe_dial,
            )
        except NotAllowedError as refusal:
            around.metrics.connection_refused(route.name, Refusal.ALLOWLIST)
            _log.warning("refused", **self._names(), reason=str(refusal))
            return Outcome.REFUSED
        except DialError as problem:
            _log.warning("dial failed", **self._names(), problem=str(problem))
            return Outcome.DIAL_FAILED
        return None

    def _stranger(self) -> int | None:
        """Return the client's CID if it is one that the route doesn't admit."""
        client, admitted = self.client, self.route.allow_cids
        if not admitted or not isinstance(client, VsockStream):
            return None
        return None if client.peer.cid in admitted else client.peer.cid

    # --- moving bytes -------------------------------------------------------------

    def _is_carried(self) -> bool:
        """Hand the two streams to the carrier, if it can do anything with them."""
        assert self.target is not None
        client, target = socket_of(self.client), socket_of(self.target)
        if client is None or target is None:
            return False
        if _log.is_enabled_for(logging.DEBUG):
            forward = str(self.route.forward)
            _log.debug("connected", **self._names(), target=forward)
        self.carrier.add(client, target, self.progress, self._end)
        return True

    def _end(self, ending: Ending | None) -> None:
        """Close both streams: called by the carrier, and then nobody else has them."""
        client, target = socket_of(self.client), socket_of(self.target)
        for sock in (client, target):
            assert sock is not None
            if ending is not Ending.FINISHED:
                prepare_reset(sock)
            # Trio's own close() wakes those who wait for the socket. Nobody does.
            os.close(sock.detach())
        outcome = Outcome.CANCELLED if ending is None else _OUTCOMES[ending]
        self._count(outcome)
        if ending is not None:
            self._log_end(outcome)

    async def _relay(self) -> Outcome:
        """Move bytes between streams that aren't both sockets."""
        assert self.target is not None
        transfer = await relay(
            self.client,
            self.target,
            idle_timeout=self.route.idle_timeout,
            progress=self.progress,
        )
        outcome = _OUTCOMES[transfer.ending]
        self._log_end(outcome)
        return outcome

    # --- what is said of it -------------------------------------------------------

    def _count(self, outcome: Outcome) -> None:
        self.around.metrics.connection_ended(self.progress, outcome)
        self.place.give_back()

    def _observe_dial(self, seconds: float) -> None:
        self.around.metrics.dialled(self.route.name, seconds)

    def _names(self) -> dict[str, str]:
        """Say for the log which connection this is."""
        return {"route": self.route.name, "peer": _peer_of(self.client)}

    def _log_end(self, outcome: Outcome) -> None:
        # A peer that breaks off is news about that peer; the proxy is fine.
        level = logging.DEBUG if outcome is Outcome.FINISHED else logging.INFO
        if _log.is_enabled_for(level):
            _log.log(
                level,
                "connection ended",
                route=self.route.name,
                how=str(outcome),
                to_target=self.progress.left_to_right,
                to_client=self.progress.right_to_left,
            )


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

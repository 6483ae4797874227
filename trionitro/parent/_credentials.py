"""The credential broker: the parent's role, for its enclaves, over vsock.

It speaks the container credentials protocol, so that any AWS SDK in an enclave gets
its credentials through an ordinary proxy route, and gets new ones before they
expire::

    SDK in the enclave                         parent
    AWS_CONTAINER_CREDENTIALS_FULL_URI  ->  route  ->  broker  ->  IMDS
    = http://127.0.0.1:8002/credentials

Who may have them is decided by CID, for which the hypervisor vouches.

"""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import attrs
import structlog
import trio
import trio.abc

from trionitro._endpoints import Endpoint, TcpEndpoint, VsockEndpoint
from trionitro._exceptions import ConfigError
from trionitro._http_server import HttpRequest, HttpResponse, answer_http
from trionitro._listen import open_bound
from trionitro.abc import VsockNetwork, VsockStream
from trionitro.kms import (
    CredentialProvider,
    CredentialsUnavailableError,
    encode_credentials,
    is_loopback,
    utc_now,
)

__all__ = ["BrokerConfig", "CredentialBroker", "run_credential_broker"]

_log = structlog.get_logger("trionitro.parent")

_PATH: Final = "/credentials"

#: Open at once: an SDK asks once an hour, and holds the connection for a moment.
_MAX_CONNECTIONS: Final = 64


@attrs.frozen(kw_only=True)
class BrokerConfig:
    """Where a broker listens, and for whom.

    Attributes:
      listen: a vsock; or a unix socket or loopback, which are as trusted as the
          machine's users are.
      allow_cids: whose connections are answered; at least one for a vsock, and none
          for the others.

    Raises:
      ConfigError: if they don't go together.

    """

    listen: Endpoint
    allow_cids: frozenset[int] = frozenset()

    def __attrs_post_init__(self) -> None:
        if isinstance(self.listen, VsockEndpoint):
            if not self.allow_cids:
                raise ConfigError(
                    f"{self.listen} would give credentials to any enclave: name those"
                    " that may have them with --allow-cid"
                )
        elif self.allow_cids:
            raise ConfigError(f"{self.listen} has no CIDs to allow: listen on vsock://")
        if isinstance(self.listen, TcpEndpoint) and not is_loopback(self.listen.host):
            raise ConfigError(
                f"{self.listen} would give credentials to the network: listen on"
                " vsock://:8002"
            )


@attrs.define(eq=False)
class CredentialBroker:
    """Gives out credentials to those that may have them.

    Attributes:
      provider: whose credentials: :class:`.RefreshingCredentials` of IMDS, usually.
      allow_cids: as :class:`BrokerConfig` has it.

    """

    provider: CredentialProvider
    allow_cids: frozenset[int]
    _open: int = attrs.field(default=0, init=False)

    async def serve(
        self,
        listeners: Iterable[trio.abc.Listener[Any]],
    ) -> NoReturn:
        """Answer whoever connects, until cancelled; the listeners are closed then."""
        await trio.serve_listeners(self.serve_client, list(listeners))

    async def serve_client(self, stream: trio.abc.Stream) -> None:
        """Answer one client, or close its connection if it may not ask."""
        if not self._admits(stream):
            await trio.aclose_forcefully(stream)
            return
        self._open += 1
        try:
            await answer_http(stream, functools.partial(self._respond, _peer(stream)))
        finally:
            self._open -= 1

    def _admits(self, stream: trio.abc.Stream) -> bool:
        if self._open >= _MAX_CONNECTIONS:
            _log.warning("refused", peer=_peer(stream), problem="too many connections")
            return False
        if not isinstance(stream, VsockStream) or stream.peer.cid in self.allow_cids:
            return True
        _log.warning("refused", peer=_peer(stream), problem="this CID is not allowed")
        return False

    async def _respond(self, peer: str, request: HttpRequest) -> HttpResponse:
        if request.target.partition("?")[0] != _PATH:
            return _complain(404, "NotFound", f"credentials are at {_PATH}")
        if request.method != "GET":
            return _complain(405, "MethodNotAllowed", "only GET")
        try:
            credentials = await self.provider.get()
        except CredentialsUnavailableError as problem:
            _log.error("no credentials", problem=str(problem))
            return _complain(503, "Unavailable", "the parent has no credentials now")
        _log.info("credentials given", peer=peer, key=credentials.access_key_id)
        return HttpResponse(
            content_type="application/json",
            headers={"cache-control": "no-store"},
            body=encode_credentials(credentials, at=utc_now()),
        )


async def run_credential_broker(
    config: BrokerConfig, provider: CredentialProvider, *, network: VsockNetwork
) -> None:
    """Run a broker until SIGTERM or SIGINT.

    Raises:
      CannotStartError: if it can't listen there.

    """
    broker = CredentialBroker(provider, config.allow_cids)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            await open_bound(config.listen, network) as bound,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(broker.serve, bound.listeners)
            _log.info("listening", endpoint=str(bound.endpoint))
            async for signum in signals:
                _log.info("stopping", signal=signal.Signals(signum).name)
                nursery.cancel_scope.cancel()
                break


def _peer(stream: trio.abc.Stream) -> str:
    return str(stream.peer) if isinstance(stream, VsockStream) else "local"


def _complain(status: int, code: str, message: str) -> HttpResponse:
    return HttpResponse(
        status=status,
        content_type="application/json",
        body=json.dumps({"Code": code, "Message": message}).encode(),
    )

"""Calling KMS with or without attestation, over connections opened when needed."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import attrs
import httpcore
import trio

from trionitro._exceptions import ConfigError
from trionitro.kms._answers import Answer, KmsError
from trionitro.kms._http import StreamBackend, default_tls
from trionitro.kms._providers import CredentialProvider
from trionitro.kms._recipient import Recipient, attested_pcrs, recipient_members
from trionitro.kms._service import KmsService

__all__ = ["KmsCaller"]

#: Seconds for which an idle connection is kept. KMS closes them after a minute or so.
_KEEP_ALIVE: Final = 30.0


@attrs.define(eq=False, kw_only=True)
class KmsCaller:
    """What a client's operations have in common.

    Attributes:
      url: scheme, host and port of the endpoint.
      region: what is signed for.
      credentials: who signs.
      recipient: whom KMS encrypts to; None where nothing is attested.
      network_backend: where connections go.
      tls: whom to trust; None for :func:`default_tls`.
      max_connections: how many may be open at once.

    """

    url: str
    region: str
    credentials: CredentialProvider = attrs.field(repr=False)
    recipient: Recipient | None
    network_backend: StreamBackend
    tls: ssl.SSLContext | None
    max_connections: int
    _service: KmsService | None = attrs.field(default=None, init=False)
    _opening: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _places: trio.CapacityLimiter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = trio.CapacityLimiter(self.max_connections)

    async def aclose(self) -> None:
        """Close all connections."""
        service, self._service = self._service, None
        if service is not None:
            await service.pool.aclose()
        else:
            await trio.lowlevel.checkpoint()

    async def call(self, operation: str, **members: Any) -> Answer:
        """Call ``operation`` with those of ``members`` that say anything."""
        async with self._places:
            return await self._call_now(operation, members)

    async def _call_now(self, operation: str, members: Mapping[str, Any]) -> Answer:
        service = await self._open()
        given = {name: value for name, value in members.items() if value}
        return await service.call(operation, given)

    async def call_attested(
        self, operation: str, **members: Any
    ) -> tuple[Answer, bytes]:
        """Call, and return the answer with what it says to this enclave only.

        Raises:
          ConfigError: if there is no recipient.
          ProtocolError: if the answer has nothing for the recipient.

        """
        if self.recipient is None:
            raise ConfigError(
                f"{operation} attests, and this client has no nsm: give it one, such"
                " as trionitro.nsm.Nsm(…)"
            )
        # The place comes first: a document that waited for one would grow old.
        async with self._places:
            document = await self.recipient.attest()
            attested = {**members, **recipient_members(document)}
            try:
                answer = await self._call_now(operation, attested)
            except KmsError as problem:
                if problem.code == "AccessDeniedException":
                    problem.pcrs = dict(attested_pcrs(document))
                raise
        return answer, await self.recipient.open_untrusted(answer)

    async def _open(self) -> KmsService:
        async with self._opening:
            if self._service is None:
                tls = self.tls or await trio.to_thread.run_sync(default_tls)
                self._service = KmsService(
                    url=self.url,
                    region=self.region,
                    credentials=self.credentials,
                    pool=httpcore.AsyncConnectionPool(
                        ssl_context=tls,
                        max_connections=self.max_connections,
                        max_keepalive_connections=self.max_connections,
                        keepalive_expiry=_KEEP_ALIVE,
                        network_backend=self.network_backend,
                    ),
                )
            return self._service

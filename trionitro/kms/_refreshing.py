"""Credentials that are fetched anew before they expire, one fetch at a time."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Callable, Mapping
from typing import Final, final

import attrs
import structlog
import trio

from trionitro.kms._clock import utc_now
from trionitro.kms._container import ContainerCredentials
from trionitro.kms._credentials import Credentials, CredentialsUnavailableError
from trionitro.kms._http import StreamBackend, TcpBackend
from trionitro.kms._imds import ImdsCredentials
from trionitro.kms._providers import CredentialProvider, EnvironmentCredentials

__all__ = ["RefreshingCredentials", "default_credentials"]

_log = structlog.get_logger("trionitro.kms")

#: How long before the end new ones are fetched; botocore's "mandatory" time. IMDS
#: has new ones at least five minutes before, and most give theirs for hours.
_BEFORE_EXPIRY: Final = dt.timedelta(minutes=10)

#: Seconds until a source is asked again after it failed, or gave what is nearly over.
_PAUSE: Final = 60.0


@final
@attrs.define(eq=False)
class RefreshingCredentials(CredentialProvider):
    """Keeps what another provider gave until it is nearly over.

    However many tasks ask at once, one of them fetches. While the old credentials
    still hold, the others get them without waiting, and a fetch that fails is
    logged, and tried again a minute later.

    Attributes:
      source: who is asked.
      now: tells the time, in UTC.

    """

    source: CredentialProvider
    now: Callable[[], dt.datetime] = utc_now
    _held: Credentials | None = attrs.field(default=None, init=False)
    _fresh_until: float = attrs.field(default=-math.inf, init=False, repr=False)
    _wait_until: float = attrs.field(default=-math.inf, init=False, repr=False)
    _fetching: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)

    async def get(self) -> Credentials:
        """Return credentials that hold, from memory if they do."""
        held = self._held
        if (
            held is not None
            and self._holds(held)
            and (self._fetching.locked() or not self._is_due(held))
        ):
            await trio.lowlevel.checkpoint()
            return held
        async with self._fetching:
            # Whoever held the lock before may have fetched what we came for.
            held = self._held
            if held is not None and self._holds(held) and not self._is_due(held):
                return held
            return await self._fetch(held)

    async def _fetch(self, held: Credentials | None) -> Credentials:
        try:
            self._held = await self.source.get()
        except CredentialsUnavailableError as problem:
            if held is None or not self._holds(held):
                raise
            _log.warning("credentials not refreshed", problem=str(problem))
            self._wait_until = trio.current_time() + _PAUSE
            return held
        self._fresh_until = self._wait_until = trio.current_time() + _PAUSE
        return self._held

    def _is_due(self, held: Credentials) -> bool:
        if held.expires_at is None or trio.current_time() < self._wait_until:
            return False
        return self.now() >= held.expires_at - _BEFORE_EXPIRY

    def _holds(self, held: Credentials) -> bool:
        # What was given a moment ago is used whatever its end: an enclave's clock may
        # be wrong, and then each request would fetch anew.
        if held.expires_at is None or trio.current_time() < self._fresh_until:
            return True
        return self.now() < held.expires_at


def default_credentials(
    environ: Mapping[str, str] | None = None,
    *,
    network_backend: StreamBackend | None = None,
) -> CredentialProvider:
    """Choose as AWS's SDKs do: keys in the environment, a container's, the instance's.

    The first that is configured is the one, even if it fails later.

    Args:
      environ: None for the process's own.
      network_backend: where connections of the latter two really go.

    Raises:
      ConfigError: if the environment configures something that can't be.

    """
    environ = os.environ if environ is None else environ
    if environ.get("AWS_ACCESS_KEY_ID"):
        return EnvironmentCredentials(environ)
    container = ContainerCredentials.from_environment(
        environ, network_backend=network_backend
    )
    if container is not None:
        return RefreshingCredentials(container)
    return RefreshingCredentials(
        ImdsCredentials(network_backend=network_backend or TcpBackend())
    )

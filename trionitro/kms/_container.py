"""The container credentials endpoint of ECS and EKS, and of our own broker.

``AWS_CONTAINER_CREDENTIALS_FULL_URI`` says where, or
``AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`` where on 169.254.170.2; a token for the
``Authorization`` header may be in a file, which is read anew each time, or in a
variable.

"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self, final

import attrs
import trio

from trionitro._exceptions import ConfigError
from trionitro.kms._credentials import (
    Credentials,
    CredentialsUnavailableError,
    decode_credentials_untrusted,
)
from trionitro.kms._http import StreamBackend, TcpBackend
from trionitro.kms._providers import CredentialProvider, HttpSource
from trionitro.kms._urls import parse_url

__all__ = ["ContainerCredentials"]

FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
RELATIVE_URI: Final = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
TOKEN_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105  a name
TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105  a name

_ECS: Final = "http://169.254.170.2"

#: Where plain HTTP may go besides loopback: ECS, and EKS Pod Identity.
_TRUSTED_HOSTS: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})

_MAX_TOKEN: Final = 2**14


@final
@attrs.frozen(kw_only=True)
class ContainerCredentials(CredentialProvider):
    """Asks a container credentials endpoint, each time anew.

    Attributes:
      url: https anywhere, and http to loopback, ECS or EKS only.
      token_file: holds what the ``Authorization`` header says; it wins.
      token: the same as a text; never shown.
      network_backend: where connections really go.

    Raises:
      ConfigError: if ``url`` is no such URL.

    """

    url: str = attrs.field(
        validator=lambda _, __, value: parse_url(value, plain=_TRUSTED_HOSTS)
    )
    token_file: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    network_backend: StreamBackend = attrs.field(factory=TcpBackend)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, network_backend: StreamBackend | None = None
    ) -> Self | None:
        """Return what the environment configures, or None if it doesn't.

        Raises:
          ConfigError: if it configures something that can't be.

        """
        url = environ.get(FULL_URI)
        if relative := environ.get(RELATIVE_URI):
            if not relative.startswith("/"):
                raise ConfigError(f"{RELATIVE_URI}={relative!r} must start with /")
            url = f"{_ECS}{relative}"
        if not url:
            return None
        return cls(
            url=url,
            token_file=environ.get(TOKEN_FILE) or None,
            token=environ.get(TOKEN) or None,
            network_backend=network_backend or TcpBackend(),
        )

    async def get(self) -> Credentials:
        """Ask."""
        parts = parse_url(self.url, plain=_TRUSTED_HOSTS)
        source = HttpSource(
            origin=f"{parts.scheme}://{parts.netloc}", backend=self.network_backend
        )
        headers = {"Accept": "application/json"}
        if token := await self._authorization():
            headers["Authorization"] = token
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        return await source.ask("GET", path, headers, decode_credentials_untrusted)

    async def _authorization(self) -> str | None:
        token, place = self.token, TOKEN
        if self.token_file is not None:
            place = self.token_file
            token = await trio.to_thread.run_sync(_read_token, self.token_file)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise CredentialsUnavailableError(
                f"the token of {place} has a character that a header can't have"
            )
        return token


def _read_token(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            token = file.read(_MAX_TOKEN + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not text"
        raise CredentialsUnavailableError(
            f"can't read the token in {path!r}: {reason}"
        ) from None
    if len(token) > _MAX_TOKEN:
        raise CredentialsUnavailableError(
            f"the token in {path!r} is longer than {_MAX_TOKEN} characters"
        )
    return token.removesuffix("\n").removesuffix("\r")

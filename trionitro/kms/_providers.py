"""Where credentials come from: given, in the environment, or asked for.

What is configured decides, once: a source that is configured and fails is an error,
and never a reason to go on as somebody else.

"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, TypeVar, final

import attrs
import httpcore
import trio

from trionitro._exceptions import ConfigError, ProtocolError
from trionitro.kms._credentials import Credentials, CredentialsUnavailableError
from trionitro.kms._http import HttpAnswer, StreamBackend, TcpBackend, fetch

__all__ = [
    "CredentialProvider",
    "EnvironmentCredentials",
    "HttpSource",
    "StaticCredentials",
]

_T = TypeVar("_T")

#: What botocore gives such an endpoint: nearby, plain HTTP, and not always there.
_ATTEMPTS: Final = 3
_TIMEOUT: Final = 2.0
_PAUSE: Final = 1.0

#: Several times what any of them answers.
_MAX_ANSWER: Final = 2**16


class CredentialProvider(ABC):
    """Knows the credentials to sign with now."""

    @abstractmethod
    async def get(self) -> Credentials:
        """Return them.

        Raises:
          CredentialsUnavailableError: if there are none; no secret is in the message.

        """


@final
@attrs.frozen
class StaticCredentials(CredentialProvider):
    """Credentials that stay what they are."""

    credentials: Credentials

    async def get(self) -> Credentials:
        """Return them."""
        await trio.lowlevel.checkpoint()
        return self.credentials


@final
@attrs.frozen
class EnvironmentCredentials(CredentialProvider):
    """``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``.

    They are read anew each time, so that a program may replace them.

    Attributes:
      environ: the environment.

    """

    environ: Mapping[str, str] = attrs.field(repr=False)

    async def get(self) -> Credentials:
        """Read them."""
        await trio.lowlevel.checkpoint()
        try:
            return Credentials(
                access_key_id=self.environ.get("AWS_ACCESS_KEY_ID", ""),
                secret_access_key=self.environ.get("AWS_SECRET_ACCESS_KEY", ""),
                session_token=self.environ.get("AWS_SESSION_TOKEN") or None,
            )
        except ConfigError as problem:
            raise CredentialsUnavailableError(
                f"no credentials in the environment: {problem}; set AWS_ACCESS_KEY_ID"
                " and AWS_SECRET_ACCESS_KEY"
            ) from None


@attrs.frozen(kw_only=True)
class HttpSource:
    """A credential endpoint nearby: plain HTTP, impatient, and tried three times.

    Attributes:
      origin: scheme, host and port.
      backend: where connections to it really go.

    """

    origin: str
    backend: StreamBackend = attrs.field(factory=TcpBackend)

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        read: Callable[[bytes], _T],
    ) -> _T:
        """Send a request until it is answered, and read the answer.

        Args:
          method: in capitals.
          path: with the leading slash.
          headers: besides ``Host``.
          read: makes something of the body; a ProtocolError is final.

        Raises:
          CredentialsUnavailableError: if no attempt was answered with 200.

        """
        problem = "nothing was tried"
        for attempt in range(_ATTEMPTS):
            if attempt:
                await trio.sleep(_PAUSE)
            try:
                with trio.fail_after(_TIMEOUT):
                    response = await self._send(method, path, headers)
            except trio.TooSlowError:
                problem = f"no answer within {_TIMEOUT:g} s"
                continue
            except (OSError, ProtocolError) as exc:
                problem = str(exc)
                continue
            if response.status == 200:
                try:
                    return read(response.body)
                except ProtocolError as exc:
                    problem = str(exc)
                    break
            problem = f"it answered {response.status}"
            if response.status < 500:
                break
        raise CredentialsUnavailableError(
            f"no credentials from {self.origin}: {problem}"
        )

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> HttpAnswer:
        # A connection of its own: it is hours until the next time.
        async with httpcore.AsyncConnectionPool(network_backend=self.backend) as pool:
            host = ("Host", self.origin.partition("//")[2])
            return await fetch(
                pool,
                method,
                f"{self.origin}{path}",
                headers=[host, *headers.items()],
                max_body=_MAX_ANSWER,
            )

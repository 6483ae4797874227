"""The instance metadata service, version 2: a parent's own role.

An enclave has none: there a proxy must lead to it, or the parent's broker gives the
credentials out.

"""

from __future__ import annotations

import re
from typing import Final, final

import attrs

from trionitro._exceptions import ProtocolError
from trionitro.kms._credentials import Credentials, decode_credentials_untrusted
from trionitro.kms._http import StreamBackend, TcpBackend
from trionitro.kms._providers import CredentialProvider, HttpSource

__all__ = ["ImdsCredentials"]

_TOKEN_PATH: Final = "/latest/api/token"  # noqa: S105  a path
_ROLE_PATH: Final = "/latest/meta-data/iam/security-credentials/"

#: Six hours, the longest there is. It is asked for anew each time anyway.
_TTL: Final = "21600"

#: IAM's role names (``RoleNameType``).
_ROLE: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,1024}")


@final
@attrs.frozen(kw_only=True)
class ImdsCredentials(CredentialProvider):
    """Asks the instance metadata service, each time anew.

    Attributes:
      url: where it is; ``http://[fd00:ec2::254]`` where there is IPv6 only.
      network_backend: where connections really go.

    """

    url: str = "http://169.254.169.254"
    network_backend: StreamBackend = attrs.field(factory=TcpBackend)

    async def get(self) -> Credentials:
        """Ask for a token, the role's name, and its credentials."""
        source = HttpSource(origin=self.url, backend=self.network_backend)
        token = await source.ask(
            "PUT",
            _TOKEN_PATH,
            {"x-aws-ec2-metadata-token-ttl-seconds": _TTL, "Content-Length": "0"},
            _read_token_untrusted,
        )
        headers = {"x-aws-ec2-metadata-token": token}
        role = await source.ask("GET", _ROLE_PATH, headers, _read_role_untrusted)
        return await source.ask(
            "GET", f"{_ROLE_PATH}{role}", headers, decode_credentials_untrusted
        )


def _read_token_untrusted(body: bytes) -> str:
    token = body.decode("latin-1").strip()
    if not _TOKEN.fullmatch(token):
        raise ProtocolError("it answered with something that is no token")
    return token


def _read_role_untrusted(body: bytes) -> str:
    name = body.decode("latin-1").strip().partition("\n")[0]
    if not _ROLE.fullmatch(name):
        raise ProtocolError("it answered with something that is no role's name")
    return name

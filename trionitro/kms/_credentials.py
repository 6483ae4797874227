"""Credentials: who signs, as a record and as the JSON that AWS's sources answer.

Secrets are in no ``repr``. This module does no I/O: where credentials come from is
in the modules next to it.

"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final

import attrs

from trionitro._exceptions import ConfigError, ProtocolError

__all__ = [
    "Credentials",
    "CredentialsUnavailableError",
    "decode_credentials_untrusted",
    "encode_credentials",
]

#: Several times what AWS sends: a session token has about 1 kB.
_MAX_MEMBER: Final = 2**14

#: The times of AWS's credential sources, always in UTC.
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"

#: Until when a broker vouches for credentials that have no end.
_ASK_AGAIN: Final = dt.timedelta(hours=1)


class CredentialsUnavailableError(Exception):
    """Raised when no credentials can be had; the message says where was looked."""


def _printable(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    # Never with the value: it may be the secret, pasted with a line break.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"{attribute.name} is empty or has a character that is no printable ASCII"
        )


@attrs.frozen(kw_only=True)
class Credentials:
    """An access key.

    Attributes:
      access_key_id: ``AKIA…`` or, with a token, ``ASIA…``.
      secret_access_key: never shown.
      session_token: what temporary credentials have besides; never shown.
      expires_at: when they end, in UTC; None for those that don't.

    Raises:
      ConfigError: if one of the texts is empty or could break a header.

    """

    access_key_id: str = attrs.field(validator=_printable)
    secret_access_key: str = attrs.field(repr=False, validator=_printable)
    session_token: str | None = attrs.field(
        default=None, repr=False, validator=attrs.validators.optional(_printable)
    )
    expires_at: dt.datetime | None = None


def decode_credentials_untrusted(data: bytes) -> Credentials:
    """Read what the container endpoint and IMDSv2 answer.

    The members are ``AccessKeyId``, ``SecretAccessKey``, ``Token`` and
    ``Expiration``; an answer may hold ``Code`` and ``Message`` instead.

    Raises:
      ProtocolError: if it is something else; no secret is in the message.

    """
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        raise ProtocolError("the credentials are no JSON") from None
    if not isinstance(members, dict):
        raise ProtocolError("the credentials are no JSON object")
    if "AccessKeyId" not in members and "Code" in members:
        raise ProtocolError(f"no credentials: {_complaint(members)}")
    expiration = members.get("Expiration")
    try:
        return Credentials(
            access_key_id=_text(members, "AccessKeyId"),
            secret_access_key=_text(members, "SecretAccessKey"),
            session_token=_text(members, "Token") if members.get("Token") else None,
            expires_at=None if expiration is None else _parse_time(expiration),
        )
    except ConfigError as problem:
        raise ProtocolError(f"the credentials' {problem}") from None


def encode_credentials(credentials: Credentials, *, at: dt.datetime) -> bytes:
    """Write credentials as a container endpoint answers them.

    botocore wants all four members: credentials without a token have an empty one,
    and those that don't expire are to be asked for again in an hour.

    Args:
      credentials: whose secret this is.
      at: the time now, aware of its zone.

    """
    expires_at = credentials.expires_at or at + _ASK_AGAIN
    return json.dumps(
        {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token or "",
            "Expiration": expires_at.astimezone(dt.UTC).strftime(_TIME_FORMAT),
        }
    ).encode()


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > _MAX_MEMBER:
        raise ProtocolError(f"the credentials' {name} is missing or no text")
    return value


def _complaint(members: dict[str, Any]) -> str:
    words = (members.get(name) for name in ("Code", "Message"))
    return ": ".join(repr(word)[:200] for word in words if isinstance(word, str))


def _parse_time(value: object) -> dt.datetime:
    try:
        # fromisoformat reads fractions of a second and offsets as well, which
        # some container endpoints send.
        parsed = dt.datetime.fromisoformat(str(value))
        return parsed.replace(tzinfo=parsed.tzinfo or dt.UTC).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ProtocolError("the credentials' Expiration is no time") from None

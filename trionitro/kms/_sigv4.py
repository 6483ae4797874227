r"""AWS Signature Version 4, in headers: signing, and what a verifier needs.

Source: "Signature Version 4 signing process" of the AWS General Reference, and the
test suite of ``aws-c-auth``. This module does no I/O, and reads no clock::

    canonical request   METHOD \n path \n query \n name:value \n … \n
                        signed names \n hex(SHA-256(body))
    string to sign      AWS4-HMAC-SHA256 \n YYYYMMDDTHHMMSSZ \n
                        YYYYMMDD/region/service/aws4_request \n
                        hex(SHA-256(canonical request))
    key                 HMAC over HMAC: "AWS4" + secret, date, region, service,
                        "aws4_request"

"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final, Self
from urllib.parse import quote

import attrs

from trionitro._exceptions import ProtocolError
from trionitro.kms._credentials import Credentials

__all__ = [
    "ALGORITHM",
    "Authorization",
    "AwsRequest",
    "Scope",
    "canonical_request",
    "normalise_path",
    "parse_amz_date_untrusted",
    "parse_authorization_untrusted",
    "quote_path",
    "sign_request",
    "signature_of",
    "string_to_sign",
]

ALGORITHM: Final = "AWS4-HMAC-SHA256"

_TIME_FORMAT: Final = "%Y%m%dT%H%M%SZ"

#: What is on the way to be changed by proxies and clients, and so is not signed;
#: botocore leaves the same four out.
_NEVER_SIGNED: Final = frozenset(
    {"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"}
)

#: Ten times what an SDK sends.
_MAX_AUTHORIZATION: Final = 4096

_CREDENTIAL: Final = re.compile(
    r"(?P<key>[\w/.+=@-]{1,128}?)/(?P<date>[0-9]{8})/(?P<region>[a-z0-9-]{1,64})"
    r"/(?P<service>[a-z0-9-]{1,64})/aws4_request",
    re.ASCII,
)

_SIGNED_HEADERS: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(;[^;,\s]+)*", re.ASCII)

_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")

_AMZ_DATE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@attrs.frozen(kw_only=True)
class AwsRequest:
    """A request to be signed, or as it was received.

    Attributes:
      method: in capitals.
      target: path and query.
      headers: names and values, in order; ``Host`` must be among them, and is the
          name of the service, wherever the socket goes.
      body: all of it.

    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    def with_headers(self, *headers: tuple[str, str]) -> Self:
        """Return the request with some headers more."""
        return attrs.evolve(self, headers=(*self.headers, *headers))


@attrs.frozen
class Scope:
    """What a signing key is good for.

    Attributes:
      date: ``YYYYMMDD``, in UTC.
      region: ``eu-west-1``.
      service: ``kms``.

    """

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@attrs.frozen
class Authorization:
    """The ``Authorization`` header, taken apart.

    Attributes:
      access_key_id: whose signature this says it is.
      scope: what the key was made for.
      signed_headers: names in lower case, as they were listed.
      signature: 64 hexadecimal digits.

    """

    access_key_id: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str = attrs.field(repr=False)

    def __str__(self) -> str:
        return (
            f"{ALGORITHM} Credential={self.access_key_id}/{self.scope},"
            f" SignedHeaders={';'.join(self.signed_headers)},"
            f" Signature={self.signature}"
        )


def normalise_path(path: str) -> str:
    """Resolve ``.`` and ``..``, drop empty segments, and quote: all but S3 does so."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    slash = "/" if path.endswith("/") and kept else ""
    return quote_path(f"/{'/'.join(kept)}{slash}")


def quote_path(path: str) -> str:
    """Quote a path as it stands."""
    return quote(path, safe="/~")


def sign_request(
    request: AwsRequest,
    credentials: Credentials,
    *,
    region: str,
    service: str,
    at: dt.datetime,
    canonical_path: Callable[[str], str] = normalise_path,
) -> AwsRequest:
    """Sign all headers of ``request`` but those that change on the way.

    A session token is signed as well; a service that wants it unsigned gets it with
    :meth:`AwsRequest.with_headers` afterwards, and the body's hash, where it is
    wanted as a header, before.

    Args:
      request: without ``X-Amz-Date``, ``X-Amz-Security-Token``, ``Authorization``.
      credentials: whose key signs.
      region: where the service is.
      service: its name in the scope.
      at: the time that is signed, aware of its zone.
      canonical_path: how a path becomes the canonical one.

    Returns:
      The request with these three headers, the token if there is one.

    """
    timestamp = at.astimezone(dt.UTC).strftime(_TIME_FORMAT)
    request = request.with_headers(("X-Amz-Date", timestamp))
    if credentials.session_token is not None:
        token = ("X-Amz-Security-Token", credentials.session_token)
        request = request.with_headers(token)
    names = {name.strip().lower() for name, _ in request.headers} - _NEVER_SIGNED
    unsigned = Authorization(
        credentials.access_key_id,
        Scope(timestamp[:8], region, service),
        tuple(sorted(names)),
        "",
    )
    signature = signature_of(
        request,
        unsigned,
        credentials.secret_access_key,
        timestamp=timestamp,
        canonical_path=canonical_path,
    )
    authorization = attrs.evolve(unsigned, signature=signature)
    return request.with_headers(("Authorization", str(authorization)))


def signature_of(
    request: AwsRequest,
    authorization: Authorization,
    secret_access_key: str,
    *,
    timestamp: str,
    canonical_path: Callable[[str], str] = normalise_path,
) -> str:
    """Compute what the signature of ``request`` must be.

    A verifier compares it with ``authorization.signature`` by
    :func:`hmac.compare_digest`, and checks date, region and service by itself.

    Args:
      request: as received.
      authorization: which headers are signed, and for what scope.
      secret_access_key: of the key that it names.
      timestamp: the ``X-Amz-Date``.
      canonical_path: how a path becomes the canonical one.

    """
    canonical = canonical_request(
        request, authorization.signed_headers, canonical_path=canonical_path
    )
    text = string_to_sign(canonical, authorization.scope, timestamp=timestamp)
    key = _signing_key(secret_access_key, authorization.scope)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def canonical_request(
    request: AwsRequest,
    signed_headers: Iterable[str],
    *,
    canonical_path: Callable[[str], str] = normalise_path,
) -> str:
    """Write a request in the one form that is hashed."""
    names = list(signed_headers)
    path, _, query = request.target.partition("?")
    return "\n".join(
        [
            request.method.upper(),
            canonical_path(path),
            _canonical_query(query),
            *(f"{name}:{_canonical_value(request, name)}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )


def string_to_sign(canonical: str, scope: Scope, *, timestamp: str) -> str:
    """Write what is signed: the canonical request's hash, when, and what for."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def parse_authorization_untrusted(text: str) -> Authorization:
    """Take an ``Authorization`` header apart.

    Raises:
      ProtocolError: if it is no signature of this kind.

    """
    algorithm, _, rest = text[:_MAX_AUTHORIZATION].partition(" ")
    if algorithm != ALGORITHM or len(text) > _MAX_AUTHORIZATION:
        raise ProtocolError(f"the Authorization header is no {ALGORITHM}")
    pairs = [part.strip().partition("=") for part in rest.split(",")]
    parts = {name: value for name, _, value in pairs}
    if len(pairs) != 3 or parts.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise ProtocolError(
            "the Authorization header needs Credential, SignedHeaders and Signature"
        )
    credential = _CREDENTIAL.fullmatch(parts["Credential"])
    if credential is None:
        raise ProtocolError(
            "the Credential is not KEY/DATE/REGION/SERVICE/aws4_request"
        )
    if not _SIGNED_HEADERS.fullmatch(parts["SignedHeaders"]):
        raise ProtocolError("the SignedHeaders are no names in lower case")
    if not _SIGNATURE.fullmatch(parts["Signature"]):
        raise ProtocolError("the Signature is not 64 hexadecimal digits")
    return Authorization(
        credential["key"],
        Scope(credential["date"], credential["region"], credential["service"]),
        tuple(parts["SignedHeaders"].split(";")),
        parts["Signature"],
    )


def parse_amz_date_untrusted(text: str) -> dt.datetime:
    """Read an ``X-Amz-Date``.

    Raises:
      ProtocolError: if it is no time of the form ``YYYYMMDDTHHMMSSZ``.

    """
    try:
        if _AMZ_DATE.fullmatch(text):
            return dt.datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=dt.UTC)
    except ValueError:
        pass
    raise ProtocolError("the X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ")


def _canonical_query(query: str) -> str:
    if not query:
        return query
    pairs = [part.partition("=")[::2] for part in query.split("&")]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _canonical_value(request: AwsRequest, wanted: str) -> str:
    return ",".join(
        " ".join(value.split())
        for name, value in request.headers
        if name.strip().lower() == wanted
    )


def _signing_key(secret_access_key: str, scope: Scope) -> bytes:
    key = f"AWS4{secret_access_key}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key

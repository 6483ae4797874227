"""Who signed a request, and whether he did: Signature Version 4, looked at by AWS.

Source: the texts are those that AWS answers with.

"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from trionitro._exceptions import ProtocolError
from trionitro._http_server import HttpRequest
from trionitro.kms._sigv4 import (
    Authorization,
    AwsRequest,
    parse_amz_date_untrusted,
    parse_authorization_untrusted,
    signature_of,
)
from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._principals import AccessKey

__all__ = ["authenticate"]

#: By how much a signature's time may differ from ours, either way.
_WINDOW: Final = dt.timedelta(minutes=5)

#: Whoever could change one of these on the way could change what is asked.
_MUST_BE_SIGNED: Final = ("host", "x-amz-date", "x-amz-target")

_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided."
    " Check your AWS Secret Access Key and signing method. Consult the service"
    " documentation for details."
)


def authenticate(
    request: HttpRequest,
    access_keys: Mapping[str, AccessKey],
    *,
    region: str,
    now: dt.datetime,
) -> AccessKey:
    """Return the access key that signed ``request``.

    Raises:
      KmsFault: if it is not known, has expired, or is not what signed it now.

    """
    header = request.headers.get("authorization")
    if header is None:
        raise KmsFault(
            "MissingAuthenticationTokenException", "Missing Authentication Token"
        )
    try:
        authorization = parse_authorization_untrusted(header)
        timestamp = request.headers.get("x-amz-date", "")
        signed_at = parse_amz_date_untrusted(timestamp)
    except ProtocolError as problem:
        raise KmsFault("IncompleteSignatureException", str(problem)) from None
    access_key = access_keys.get(authorization.access_key_id)
    if access_key is None:
        raise _unknown_token()
    _check_scope(authorization, region, timestamp)
    _check_time(signed_at, now)
    _check_signature(request, authorization, access_key, timestamp)
    _check_session(request, access_key, now)
    return access_key


def _check_scope(authorization: Authorization, region: str, timestamp: str) -> None:
    scope = authorization.scope
    if scope.region != region:
        raise _bad_signature(
            f"Credential should be scoped to a valid region, not '{scope.region}'. "
        )
    if scope.service != "kms":
        raise _bad_signature("Credential should be scoped to correct service: 'kms'. ")
    if not timestamp.startswith(scope.date):
        raise _bad_signature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of"
            f" date from HTTP: '{scope.date}' != '{timestamp[:8]}', from"
            f" '{timestamp}'."
        )


def _check_time(signed_at: dt.datetime, now: dt.datetime) -> None:
    now = now.replace(microsecond=0)
    shown = _stamp(signed_at)
    if signed_at < (earliest := now - _WINDOW):
        raise _bad_signature(
            f"Signature expired: {shown} is now earlier than {_stamp(earliest)}"
            f" ({_stamp(now)} - 5 min.)"
        )
    if signed_at > (latest := now + _WINDOW):
        raise _bad_signature(
            f"Signature not yet current: {shown} is still later than {_stamp(latest)}"
            f" ({_stamp(now)} + 5 min.)"
        )


def _check_signature(
    request: HttpRequest,
    authorization: Authorization,
    access_key: AccessKey,
    timestamp: str,
) -> None:
    for name in _MUST_BE_SIGNED:
        if name not in authorization.signed_headers:
            raise _bad_signature(
                f"'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )
    digest = request.headers.get("x-amz-content-sha256")
    if digest not in (None, hashlib.sha256(request.body).hexdigest()):
        raise _bad_signature(_MISMATCH)
    received = AwsRequest(
        method=request.method,
        target=request.target,
        headers=tuple(request.headers.items()),
        body=request.body,
    )
    secret = access_key.credentials.secret_access_key
    expected = signature_of(received, authorization, secret, timestamp=timestamp)
    if not hmac.compare_digest(expected, authorization.signature):
        raise _bad_signature(_MISMATCH)


def _check_session(
    request: HttpRequest, access_key: AccessKey, now: dt.datetime
) -> None:
    token = request.headers.get("x-amz-security-token", "")
    expected = access_key.credentials.session_token or ""
    if not hmac.compare_digest(token.encode(), expected.encode()):
        raise _unknown_token()
    expires_at = access_key.credentials.expires_at
    if expires_at is not None and expires_at <= now:
        raise KmsFault(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        )


def _unknown_token() -> KmsFault:
    return KmsFault(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


def _bad_signature(message: str) -> KmsFault:
    return KmsFault("InvalidSignatureException", message)


def _stamp(time: dt.datetime) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ")

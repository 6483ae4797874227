"""Signatures are AWS's own, and botocore's for any request."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vectors import needs_vectors, vectors
from trionitro import ProtocolError
from trionitro.kms._credentials import Credentials
from trionitro.kms._sigv4 import (
    Authorization,
    AwsRequest,
    Scope,
    canonical_request,
    normalise_path,
    parse_amz_date_untrusted,
    parse_authorization_untrusted,
    quote_path,
    sign_request,
    signature_of,
    string_to_sign,
)

AT = dt.datetime(2025, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
TIMESTAMP = "20250102T030405Z"

SUITE = vectors("sigv4/*/context.json")
REQUESTS = vectors("kms_requests/*.json")


def parse_suite_request(text: str) -> AwsRequest:
    """Read the suite's plain text, in which a path may have a space."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.rstrip("\n").split("\n")
    method, _, rest = first.partition(" ")
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(" "):
            name, value = headers.pop()
            headers.append((name, f"{value} {line}"))
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    return AwsRequest(
        method=method,
        target=rest.rpartition(" ")[0],
        headers=tuple(headers),
        body=body.encode(),
    )


def header_of(request: AwsRequest, name: str) -> str:
    """Return the one header of that name."""
    (value,) = [value for key, value in request.headers if key.lower() == name]
    return value


def authorization_of(request: AwsRequest) -> Authorization:
    """Take the request's own Authorization apart."""
    return parse_authorization_untrusted(header_of(request, "authorization"))


def sign_as_the_suite_says(
    context: dict[str, Any], request: AwsRequest
) -> tuple[AwsRequest, Callable[[str], str]]:
    keys = context["credentials"]
    token = keys.get("token")
    path = normalise_path if context["normalize"] else quote_path
    if context["sign_body"]:
        canonical = canonical_request(request, [])
        request = request.with_headers(
            ("x-amz-content-sha256", canonical.rpartition("\n")[2])
        )
    signed = sign_request(
        request,
        Credentials(
            access_key_id=keys["access_key_id"],
            secret_access_key=keys["secret_access_key"],
            session_token=None if context.get("omit_session_token") else token,
        ),
        region=context["region"],
        service=context["service"],
        at=dt.datetime.fromisoformat(context["timestamp"]),
        canonical_path=path,
    )
    return signed, path


@needs_vectors
@pytest.mark.parametrize("file", SUITE, ids=lambda file: file.parent.name)
def test_the_suite_of_aws(file: Path) -> None:
    def text(name: str) -> str:
        return (file.parent / f"header-{name}.txt").read_text()

    context = json.loads(file.read_text())
    request = parse_suite_request((file.parent / "request.txt").read_text())
    signed, path = sign_as_the_suite_says(context, request)

    authorization = authorization_of(signed)
    canonical = canonical_request(
        signed, authorization.signed_headers, canonical_path=path
    )
    timestamp = header_of(signed, "x-amz-date")
    assert canonical == text("canonical-request")
    assert string_to_sign(canonical, authorization.scope, timestamp=timestamp) == text(
        "string-to-sign"
    )
    assert authorization.signature == text("signature")
    assert f"Authorization:{authorization}\n" in text("signed-request")


@needs_vectors
def test_the_suite_is_whole() -> None:
    assert len(SUITE) == 27
    assert len(REQUESTS) == 8


@needs_vectors
@pytest.mark.parametrize("file", REQUESTS, ids=lambda file: file.stem)
def test_requests_to_kms_as_botocore_makes_them(file: Path) -> None:
    vector = json.loads(file.read_text())
    request = AwsRequest(
        method=vector["method"],
        target="/",
        headers=(
            ("Host", urlsplit(vector["url"]).netloc),
            ("X-Amz-Target", vector["headers"]["X-Amz-Target"]),
            ("Content-Type", vector["headers"]["Content-Type"]),
        ),
        body=vector["body"].encode(),
    )

    signed = sign_request(
        request,
        Credentials(**vector["credentials"]),
        region=vector["region"],
        service="kms",
        at=parse_amz_date_untrusted(vector["time"]),
    )

    authorization = authorization_of(signed)
    canonical = canonical_request(signed, authorization.signed_headers)
    assert canonical == vector["canonical_request"]
    assert (
        string_to_sign(canonical, authorization.scope, timestamp=vector["time"])
        == vector["string_to_sign"]
    )
    assert header_of(signed, "authorization") == vector["headers"]["Authorization"]


names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).filter(
    lambda name: (
        name.lower()
        not in {"host", "x-amz-date", "authorization", "x-amz-security-token"}
    )
)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
segments = st.text("ab/.~ %+é-_*", max_size=12)
queries = st.text("ab=&%2F+~", max_size=12)
keys = st.text("AKIDabc/+=019", min_size=1, max_size=40)


@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=segments,
    query=queries,
    headers=st.lists(st.tuples(names, values), max_size=5),
    body=st.binary(max_size=50),
    secret=keys,
    token=st.none() | keys,
    region=st.sampled_from(["us-east-1", "cn-north-1"]),
    at=st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)),  # noqa: DTZ001
)
@example(
    method="GET",
    path="..//./a/../b/",
    query="b=2&a=1&a=0&&c",
    headers=[("A", " x   y "), ("a", "z"), ("User-Agent", "me")],
    body=b"",
    secret="s",
    token=None,
    region="us-east-1",
    at=dt.datetime(2025, 1, 2),  # noqa: DTZ001
)
def test_any_request_is_signed_as_botocore_signs_it(
    *,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    secret: str,
    token: str | None,
    region: str,
    at: dt.datetime,
) -> None:
    target = f"/{path}?{query}" if query else f"/{path}"
    request = AwsRequest(
        method=method,
        target=target,
        headers=(("Host", "service.example.com"), *headers),
        body=body,
    )
    theirs = AWSRequest(method, f"https://service.example.com{target}", data=body)
    for name, value in headers:
        theirs.headers.add_header(name, value)

    signed = sign_request(
        request,
        Credentials(
            access_key_id="AKID", secret_access_key=secret, session_token=token
        ),
        region=region,
        service="kms",
        at=at.replace(tzinfo=dt.UTC),
    )

    assert header_of(signed, "authorization") == botocore_signs(
        theirs, BotocoreCredentials("AKID", secret, token), region, at
    )


def botocore_signs(
    request: AWSRequest, credentials: BotocoreCredentials, region: str, at: dt.datetime
) -> str:
    """Do what ``SigV4Auth.add_auth`` does, at a given time."""
    timestamp = at.strftime("%Y%m%dT%H%M%SZ")
    auth = SigV4Auth(credentials, "kms", region)
    request.context["timestamp"] = timestamp
    auth._modify_request_before_signing(request)
    del request.headers["X-Amz-Date"]
    request.headers["X-Amz-Date"] = timestamp
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return str(request.headers["Authorization"])


def signed_example() -> AwsRequest:
    return sign_request(
        AwsRequest(
            method="POST",
            target="/",
            headers=(("host", "kms.eu-west-1.amazonaws.com"),),
            body=b"{}",
        ),
        Credentials(access_key_id="AKID", secret_access_key="secret"),
        region="eu-west-1",
        service="kms",
        at=AT,
    )


def test_a_verifier_computes_the_same_signature() -> None:
    received = signed_example()
    authorization = authorization_of(received)

    expected = signature_of(received, authorization, "secret", timestamp=TIMESTAMP)

    assert expected == authorization.signature
    assert authorization.access_key_id == "AKID"
    assert authorization.scope == Scope("20250102", "eu-west-1", "kms")


def test_another_body_or_secret_has_another_signature() -> None:
    received = signed_example()
    authorization = authorization_of(received)
    forged = AwsRequest(
        method="POST", target="/", headers=received.headers, body=b"{ }"
    )

    signatures = {
        signature_of(forged, authorization, "secret", timestamp=TIMESTAMP),
        signature_of(received, authorization, "terces", timestamp=TIMESTAMP),
        authorization.signature,
    }

    assert len(signatures) == 3


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "AWS4-HMAC-SHA256"),
        ("Bearer x", "AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256", "needs Credential"),
        ("AWS4-HMAC-SHA256 " + "x" * 5000, "AWS4-HMAC-SHA256"),
        (str(authorization_of(signed_example())) + ", X=y", "needs Credential"),
        (str(authorization_of(signed_example())).replace("kms/", ""), "Credential"),
        (str(authorization_of(signed_example())).replace("=host", "=Host"), "lower"),
        (str(authorization_of(signed_example()))[:-1], "64"),
    ],
)
def test_what_is_no_signature_is_refused(text: str, word: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(word)):
        parse_authorization_untrusted(text)


@given(st.text() | st.text("AWS4-HMC25 Credntial=/,;").map("AWS4-HMAC-SHA256 ".__add__))
def test_any_text_is_an_authorization_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert len(parse_authorization_untrusted(text).signature) == 64


@given(st.text() | st.from_regex(r"[0-9]{8}T[0-9]{6}Z"))
def test_any_text_is_a_time_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert parse_amz_date_untrusted(text).tzinfo is dt.UTC


def test_the_signature_s_parts_are_printed_as_they_were_read() -> None:
    text = header_of(signed_example(), "authorization")

    assert str(parse_authorization_untrusted(text)) == text

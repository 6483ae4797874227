from __future__ import annotations

import contextlib
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ConfigError, ProtocolError
from trionitro.kms import Credentials, encode_credentials
from trionitro.kms._credentials import decode_credentials_untrusted

NOON = dt.datetime(2025, 1, 2, 12, tzinfo=dt.UTC)

ANSWER = {
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "the-secret",
    "Token": "the-token",
    "Expiration": "2025-01-02T12:00:00Z",
}


def test_an_endpoint_s_answer_is_read() -> None:
    credentials = decode_credentials_untrusted(json.dumps(ANSWER).encode())

    assert credentials == Credentials(
        access_key_id="ASIAEXAMPLE",
        secret_access_key="the-secret",
        session_token="the-token",
        expires_at=NOON,
    )


def test_secrets_are_not_in_the_repr() -> None:
    shown = repr(decode_credentials_untrusted(json.dumps(ANSWER).encode()))

    assert "ASIAEXAMPLE" in shown
    assert "the-secret" not in shown
    assert "the-token" not in shown


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2025-01-02T12:00:00.123456Z", NOON.replace(microsecond=123456)),
        ("2025-01-02T14:00:00+02:00", NOON),
        ("2025-01-02T12:00:00", NOON),
    ],
)
def test_other_forms_of_the_time_are_read_too(time: str, expected: dt.datetime) -> None:
    answer = json.dumps({**ANSWER, "Expiration": time}).encode()

    assert decode_credentials_untrusted(answer).expires_at == expected


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"AccessKeyId": None}, "AccessKeyId"),
        ({"SecretAccessKey": 7}, "SecretAccessKey"),
        ({"SecretAccessKey": ""}, "secret_access_key"),
        ({"SecretAccessKey": "a\r\nHost: evil"}, "secret_access_key"),
        ({"Token": ["x"]}, "Token"),
        ({"Token": "x" * 20_000}, "Token"),
        ({"Expiration": "soon"}, "Expiration"),
        ({"Expiration": 17}, "Expiration"),
    ],
)
def test_what_is_wrong_is_named_without_the_secret(
    change: dict[str, Any], word: str
) -> None:
    with pytest.raises(ProtocolError, match=word) as caught:
        decode_credentials_untrusted(json.dumps({**ANSWER, **change}).encode())

    assert "evil" not in str(caught.value)
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="JSON"):
        decode_credentials_untrusted(data)


def test_a_complaint_in_place_of_credentials_is_passed_on() -> None:
    answer = b'{"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 can\'t"}'

    with pytest.raises(ProtocolError, match=r"AssumeRoleUnauthorizedAccess.*EC2 can't"):
        decode_credentials_untrusted(answer)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)


@given(
    st.binary()
    | st.dictionaries(st.sampled_from([*ANSWER, "Code", "Message"]), json_values)
    .map(json.dumps)
    .map(str.encode)
)
def test_any_bytes_are_credentials_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert decode_credentials_untrusted(data).access_key_id


def test_what_is_encoded_can_be_decoded() -> None:
    credentials = decode_credentials_untrusted(json.dumps(ANSWER).encode())

    encoded = encode_credentials(credentials, at=NOON)

    assert json.loads(encoded) == ANSWER
    assert decode_credentials_untrusted(encoded) == credentials


def test_credentials_without_an_end_are_to_be_asked_for_again_in_an_hour() -> None:
    forever = Credentials(access_key_id="AKIA", secret_access_key="s")

    members = json.loads(encode_credentials(forever, at=NOON))

    assert members["Expiration"] == "2025-01-02T13:00:00Z"
    assert members["Token"] == ""


@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "é"])
def test_a_secret_that_would_break_a_header_is_refused_and_not_shown(
    secret: str,
) -> None:
    with pytest.raises(ConfigError, match="secret_access_key") as caught:
        Credentials(access_key_id="AKIA", secret_access_key=secret)

    assert not secret or secret not in str(caught.value)

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ConfigError
from trionitro.kms import parse_principal


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::111122223333:role/signer",
        "arn:aws:iam::111122223333:role/service-role/signer",
        "arn:aws-us-gov:iam::111122223333:user/alice",
        "arn:aws-cn:iam::111122223333:root",
    ],
)
def test_roles_users_and_roots_are_taken_as_they_are(arn: str) -> None:
    principal = parse_principal(arn)

    assert principal.arn == arn
    assert principal.note is None


def test_a_session_is_taken_for_its_role_and_the_path_is_warned_about() -> None:
    principal = parse_principal("arn:aws:sts::111122223333:assumed-role/signer/i-0123")

    assert principal.arn == "arn:aws:iam::111122223333:role/signer"
    assert principal.note is not None
    assert "path" in principal.note


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "",
        "111122223333",
        "arn:aws:iam::*:root",
        "arn:aws:iam::111122223333:*",
        "arn:aws:iam::111122223333:role/*",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:group/admins",
        "arn:aws:sts::111122223333:role/signer",
        "arn:aws:sts::111122223333:assumed-role/signer",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::111122223333:role/signer\n",
    ],
)
def test_what_names_nobody_or_everybody_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="arn:aws:iam::111122223333:role/signer"):
        parse_principal(text)


@given(st.text() | st.text("arn:awsiam:123456789012role/*").map("arn:aws:".__add__))
def test_any_text_is_a_principal_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert "*" not in parse_principal(text).arn

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kms.test_policy import ROLE, STATEMENT, policy_with
from trionitro._exceptions import ConfigError
from trionitro.kms._policy import parse_policy
from trionitro.kms._policy_decision import (
    AccessRequest,
    Caller,
    Effect,
    judge,
    request_context,
)

KEY = "arn:aws:kms:us-east-1:111122223333:key/1"
SESSION = "arn:aws:sts::111122223333:assumed-role/enclave/i-0abc"
ACCOUNT = "arn:aws:iam::111122223333:root"


def request(
    action: str = "kms:Decrypt", caller: str = ROLE, **context: str | list[str]
) -> AccessRequest:
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return AccessRequest(
        action=action,
        resource=KEY,
        caller=Caller(caller),
        context=request_context(keys),
    )


def effect(document: dict[str, Any], asked: AccessRequest | None = None) -> Effect:
    return judge(parse_policy(document), asked or request()).effect


def test_an_allow_that_matches_allows() -> None:
    verdict = judge(parse_policy(policy_with()), request())

    assert verdict.effect is Effect.ALLOWED
    assert verdict.statement is not None
    assert verdict.statement.place == "Statement[0] 'Enclave'"


def test_what_nobody_allows_is_not_allowed() -> None:
    assert effect(policy_with(), request("kms:Encrypt")) is Effect.SILENT


def test_a_deny_wins_wherever_it_stands() -> None:
    deny = {**STATEMENT, "Effect": "Deny", "Action": "kms:D*"}

    for statements in ([STATEMENT, deny], [deny, STATEMENT]):
        assert effect({"Statement": statements}) is Effect.DENIED


@pytest.mark.parametrize(
    "pattern", ["*", "kms:*", "kms:Decrypt", "KMS:decrypt", "kms:De?rypt", "kms:*pt"]
)
def test_actions_have_wildcards_and_no_case(pattern: str) -> None:
    assert effect(policy_with(Action=pattern)) is Effect.ALLOWED


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (KEY, Effect.ALLOWED),
        ("arn:aws:kms:*:111122223333:key/*", Effect.ALLOWED),
        (KEY.upper(), Effect.SILENT),
        (f"{KEY}2", Effect.SILENT),
    ],
)
def test_resources_have_wildcards_and_case(pattern: str, expected: Effect) -> None:
    assert effect(policy_with(Resource=pattern)) is expected


def test_the_negated_elements_are_all_but_these() -> None:
    document = policy_with(Action=None, NotAction="kms:Encrypt")

    assert effect(document) is Effect.ALLOWED
    assert effect(document, request("kms:Encrypt")) is Effect.SILENT


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ("*", ROLE, Effect.ALLOWED),
        ({"AWS": "*"}, ROLE, Effect.ALLOWED),
        ({"AWS": ROLE}, ROLE, Effect.ALLOWED),
        ({"AWS": ROLE}, SESSION, Effect.ALLOWED),
        ({"AWS": SESSION}, SESSION, Effect.ALLOWED),
        ({"AWS": SESSION}, f"{SESSION}d", Effect.SILENT),
        ({"AWS": f"{ROLE}2"}, SESSION, Effect.SILENT),
        (
            {"AWS": "arn:aws:iam::111122223333:role/path/enclave"},
            SESSION,
            Effect.ALLOWED,
        ),
        ({"AWS": ACCOUNT}, ROLE, Effect.DELEGATED),
        ({"AWS": "111122223333"}, SESSION, Effect.DELEGATED),
        ({"AWS": ACCOUNT}, ACCOUNT, Effect.ALLOWED),
        ({"AWS": [ACCOUNT, ROLE]}, ROLE, Effect.ALLOWED),
        ({"AWS": "444455556666"}, ROLE, Effect.SILENT),
        ({"Service": "ec2.amazonaws.com"}, ROLE, Effect.SILENT),
    ],
)
def test_principals_are_named_in_person_or_by_their_account(
    principal: Any, caller: str, expected: Effect
) -> None:
    assert effect(policy_with(Principal=principal), request(caller=caller)) is expected


def test_a_deny_of_the_account_is_one_of_all_in_it() -> None:
    deny = policy_with(Effect="Deny", Principal={"AWS": ACCOUNT})

    assert effect(deny) is Effect.DENIED


def test_a_principal_that_is_excepted() -> None:
    document = policy_with(Principal=None, NotPrincipal={"AWS": ROLE})

    assert effect(document) is Effect.SILENT
    assert effect(document, request(caller=f"{ROLE}2")) is Effect.ALLOWED


def test_all_conditions_must_hold_and_keys_have_no_case() -> None:
    document = policy_with(
        Condition={
            "StringEquals": {"kms:EncryptionContext:App": ["x", "signer"]},
            "Null": {"aws:MultiFactorAuthAge": "true"},
        }
    )

    fine = request(kms__encryptioncontext__app="signer")
    mfa = request(kms__EncryptionContext__App="signer", aws__MultiFactorAuthAge="1")
    assert effect(document, fine) is Effect.ALLOWED
    assert effect(document, mfa) is Effect.SILENT
    assert effect(document) is Effect.SILENT


def test_a_key_of_many_values() -> None:
    only = {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}
    document = policy_with(Condition=only)

    one = request(kms__EncryptionContextKeys=["a"])
    two = request(kms__EncryptionContextKeys=["a", "c"])
    assert effect(document, one) is Effect.ALLOWED
    assert effect(document, two) is Effect.SILENT


def test_a_caller_must_be_the_arn_of_somebody() -> None:
    with pytest.raises(ConfigError, match="'me' is no principal"):
        Caller("me")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Allow", "Deny"]),
            st.sampled_from([ROLE, ACCOUNT, f"{ROLE}2"]),
            st.sampled_from(["kms:Decrypt", "kms:*", "kms:Encrypt"]),
            st.sampled_from(["x", "y"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_decisions_are_those_of_a_naive_reading(
    statements: list[tuple[str, str, str, str]],
) -> None:
    """Any Deny that matches; else an Allow in person; else one of the account."""
    document = {
        "Statement": [
            {
                "Effect": allow,
                "Principal": {"AWS": who},
                "Action": action,
                "Resource": "*",
                "Condition": {"StringEquals": {"a:k": value}},
            }
            for allow, who, action, value in statements
        ]
    }

    matching = [
        (allow, who)
        for allow, who, action, value in statements
        if who != f"{ROLE}2" and action != "kms:Encrypt" and value == "x"
    ]
    if "Deny" in [allow for allow, _ in matching]:
        expected = Effect.DENIED
    elif ("Allow", ROLE) in matching:
        expected = Effect.ALLOWED
    else:
        expected = Effect.DELEGATED if matching else Effect.SILENT
    assert effect(document, request(a__k="x")) is expected

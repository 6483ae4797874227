from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._exceptions import ConfigError
from trionitro.kms._policy import MAX_POLICY_SIZE, Patterns, Principals, parse_policy

ROLE = "arn:aws:iam::111122223333:role/enclave"

STATEMENT: dict[str, Any] = {
    "Sid": "Enclave",
    "Effect": "Allow",
    "Principal": {"AWS": ROLE},
    "Action": "kms:Decrypt",
    "Resource": "*",
}


def policy_with(**members: Any) -> dict[str, Any]:
    """Make a policy of one statement, with members changed; None takes one out."""
    statement = {**STATEMENT, **members}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {name: value for name, value in statement.items() if value is not None}
        ],
    }


def condition(operator: str, key: str, values: Any) -> dict[str, Any]:
    return policy_with(Condition={operator: {key: values}})


def test_a_policy_is_read_from_its_text() -> None:
    policy = parse_policy(json.dumps(condition("StringEquals", "kms:KeySpec", "a")))

    (statement,) = policy.statements
    assert statement.place == "Statement[0] 'Enclave'"
    assert statement.allows
    assert statement.principals == Principals(aws=(ROLE,))
    assert statement.actions == Patterns(("kms:Decrypt",))
    assert statement.resources == Patterns(("*",))
    assert statement.conditions[0].values == ("a",)


def test_one_statement_needs_no_list() -> None:
    policy = parse_policy({"Statement": STATEMENT})

    assert len(policy.statements) == 1


def test_the_policy_of_a_principal_names_none() -> None:
    (statement,) = parse_policy(policy_with(Principal=None)).statements

    assert statement.principals is None


def test_all_kinds_of_principals_are_read() -> None:
    principal = {
        "AWS": ["111122223333", f"{ROLE}2", "*", "AROADBQP57FF2AEXAMPLE"],
        "Service": "ec2.amazonaws.com",
    }

    (statement,) = parse_policy(policy_with(Principal=principal)).statements

    assert statement.principals is not None
    assert statement.principals.everyone
    assert statement.principals.others == ("Service:ec2.amazonaws.com",)


def test_the_negated_elements_are_read_as_such() -> None:
    document = policy_with(
        Principal=None,
        NotPrincipal={"AWS": ROLE},
        Action=None,
        NotAction="kms:Put*",
        Resource=None,
        NotResource="arn:aws:kms:*:*:key/x",
    )

    (statement,) = parse_policy(document).statements

    assert statement.principals is not None
    assert statement.principals.negated
    assert statement.actions.negated
    assert statement.resources.negated


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (5, "5"), ("x", "x")]
)
def test_a_condition_s_scalar_stands_for_its_text(value: object, text: str) -> None:
    operator = "Bool" if isinstance(value, bool) else "StringEquals"

    (statement,) = parse_policy(condition(operator, "aws:x", value)).statements

    assert statement.conditions[0].values == (text,)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", ["not JSON"]),
        ("[" * 20_000, ["not JSON"]),
        ("[]", ["a list", "object"]),
        (" " * (MAX_POLICY_SIZE + 1), [str(MAX_POLICY_SIZE)]),
        ('{"Statement": [], "Statement": []}', ["'Statement'", "twice"]),
        ({}, ["'Statement'", "missing"]),
        ({"Statement": []}, ["Statement", "one or more"]),
        ({"Statement": ["x"]}, ["Statement[0]", "'x'"]),
        ({"Statements": [STATEMENT]}, ["'Statements'", "'Statement'"]),
        ({"Version": "2015", "Statement": STATEMENT}, ["Version", "'2015'"]),
        (policy_with(Effect="allow"), ["Statement[0] 'Enclave'", "Effect", "'allow'"]),
        (policy_with(Efect="Allow"), ["'Efect'", "'Effect'"]),
        (policy_with(Action=None), ["'Action'", "missing"]),
        (policy_with(Action="Decrypt"), ["Action", "kms:Decrypt"]),
        (policy_with(Action=[]), ["Action", "empty"]),
        (policy_with(Action=7), ["Action", "7", "string"]),
        (policy_with(NotAction="kms:*"), ["Action", "NotAction", "exclude"]),
        (policy_with(Resource=None), ["'Resource'", "missing"]),
        (policy_with(Principal=ROLE), ["Principal", ROLE, "object"]),
        (policy_with(Principal={"Aws": ROLE}), ["'Aws'", "AWS"]),
        (policy_with(Principal={"AWS": "enclave"}), ["Principal.AWS", "'enclave'"]),
        (
            policy_with(Principal={"AWS": "arn:aws:iam::111122223333:role/*"}),
            ["Principal.AWS", "no wildcard"],
        ),
        (policy_with(Condition=[]), ["Condition", "a list"]),
        (policy_with(Condition={"StringEquals": {}}), ["StringEquals", "keys"]),
        (condition("StringEqual", "aws:x", "y"), ["StringEqual", "'StringEquals'"]),
        (condition("NullIfExists", "aws:x", "true"), ["NullIfExists", "suffix"]),
        (condition("ForAnyValue:Null", "aws:x", "true"), ["ForAnyValue:Null"]),
        (condition("Null", "aws:x", "yes"), ["Null.aws:x", "'yes'"]),
        (condition("NumericEquals", "aws:x", "nan"), ["'nan'", "NumericEquals"]),
        (condition("DateLessThan", "aws:x", "soon"), ["'soon'"]),
        (condition("DateLessThan", "aws:x", "1e99"), ["'1e99'"]),
        (condition("IpAddress", "aws:SourceIp", "10.0.0.0/33"), ["'10.0.0.0/33'"]),
        (condition("ArnLike", "aws:x", "arn:aws"), ["'arn:aws'"]),
        (condition("StringEquals", "PCR0", "x"), ["'PCR0'", "no condition key"]),
        (condition("StringEquals", "aws:x", None), ["aws:x", "string"]),
        (condition("StringEquals", "aws:x", "${aws:username}"), ["policy variable"]),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_policy(document, source="key.json")

    message = str(caught.value)
    assert message.startswith("key.json: ")
    assert "\n" not in message
    for word in words:
        assert word in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Statement", "Effect", "Principal", "AWS", "Condition", "Bool", "a:b"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(json_values)
def test_anything_is_a_policy_or_a_config_error(document: Any) -> None:
    try:
        parse_policy(json.dumps(document))
    except ConfigError as problem:
        assert str(problem)  # noqa: PT017  either is fine

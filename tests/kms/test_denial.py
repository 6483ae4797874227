from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from tests.kms.test_policy import ROLE, STATEMENT, policy_with
from trionitro._exceptions import ConfigError
from trionitro.kms import explain_denial
from trionitro.kms._recipient_keys import pcr_of, recipient_keys

IMAGE = "kms:RecipientAttestation:ImageSha384"
GOOD, OTHER, ZERO = bytes([1] * 48), bytes([0xAB] * 48), bytes(48)


@attrs.frozen
class Document:
    """An attestation document, as far as a policy looks at one."""

    pcrs: Mapping[int, bytes]


def policy(operator: str, key: str, *values: str) -> dict[str, Any]:
    return policy_with(Condition={operator: {key: list(values)}})


def test_a_wrong_image_is_told_with_both_values() -> None:
    document = Document({0: OTHER})

    (line,) = explain_denial(
        policy("StringEqualsIgnoreCase", IMAGE, GOOD.hex()), document
    )

    assert line == (
        f"Statement[0] 'Enclave': {IMAGE} was {OTHER.hex()}, and must be {GOOD.hex()}"
        " (StringEqualsIgnoreCase)"
    )


def test_debug_mode_is_called_by_its_name() -> None:
    (line,) = explain_denial(
        policy("StringEqualsIgnoreCase", "kms:RecipientAttestation:PCR0", GOOD.hex()),
        Document({0: ZERO}),
    )

    assert "debug mode" in line
    assert "--debug-mode" in line


def test_a_missing_recipient_is_called_by_its_name() -> None:
    (line,) = explain_denial(policy("StringEqualsIgnoreCase", IMAGE, GOOD.hex()), None)

    assert f"{IMAGE} is absent" in line
    assert "no Recipient" in line


def test_a_pcr_that_is_not_locked_is_not_in_the_document() -> None:
    (line,) = explain_denial(
        policy("StringEquals", "kms:RecipientAttestation:PCR16", GOOD.hex()),
        Document({0: GOOD}),
    )

    assert "PCR16 is not in the document" in line


def test_a_difference_in_case_only_is_told() -> None:
    (line,) = explain_denial(
        policy("StringEquals", IMAGE, OTHER.hex().upper()), Document({0: OTHER})
    )

    assert "StringEqualsIgnoreCase" in line


def test_the_prefix_alone_is_no_condition_key() -> None:
    """SDKC issue 157: a Null test on it never holds."""
    (line,) = explain_denial(
        policy("Null", "kms:RecipientAttestation:", "false"), Document({0: GOOD})
    )

    assert "is absent, and must be there" in line
    assert f"write {IMAGE}" in line


def test_every_statement_that_could_have_allowed_is_explained() -> None:
    first = policy("StringEquals", IMAGE, OTHER.hex())
    second = policy("StringEquals", "kms:RecipientAttestation:PCR3", OTHER.hex())
    both = {"Statement": first["Statement"] + second["Statement"]}

    lines = explain_denial(both, Document({0: GOOD, 3: GOOD}))

    assert [line.partition(" ")[0] for line in lines] == [
        "Statement[0]",
        "Statement[1]",
    ]


def test_a_deny_is_told_with_its_reason() -> None:
    deny = {
        **STATEMENT,
        "Sid": "NoDebug",
        "Effect": "Deny",
        "Condition": {"StringEquals": {IMAGE: ZERO.hex()}},
    }

    lines = explain_denial({"Statement": [STATEMENT, deny]}, Document({0: ZERO}))

    assert lines[0].startswith("Statement[1] 'NoDebug' denies it because")


def test_a_deny_that_can_t_be_judged_says_so() -> None:
    deny = {
        **STATEMENT,
        "Effect": "Deny",
        "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
    }

    lines = explain_denial({"Statement": [deny, STATEMENT]}, Document({0: GOOD}))

    assert "may deny it" in lines[0]


def test_what_can_t_be_told_from_here_is_said() -> None:
    (line,) = explain_denial(
        policy("StringEquals", "kms:ViaService", "s3.us-east-1.amazonaws.com"),
        Document({0: GOOD}),
    )

    assert "kms:ViaService can't be told from here" in line


def test_the_encryption_context_counts_when_it_is_given() -> None:
    document = policy("StringNotEquals", "kms:EncryptionContext:app", "signer")

    (line,) = explain_denial(
        document, Document({}), context={"kms:EncryptionContext:app": "signer"}
    )

    assert "must not be signer" in line


def test_a_policy_that_allows_it_points_elsewhere() -> None:
    (line,) = explain_denial(
        policy("StringEquals", IMAGE, GOOD.hex()), Document({0: GOOD})
    )

    assert "allows it" in line
    assert "Principal" in line


def test_a_caller_that_isn_t_named_is_told() -> None:
    (line,) = explain_denial(policy_with(), None, caller=f"{ROLE}2")

    assert f"is not about {ROLE}2" in line


def test_statements_about_others_are_left_out_where_one_names_the_caller() -> None:
    ours = policy("StringEquals", IMAGE, GOOD.hex())
    theirs = policy_with(Principal={"AWS": f"{ROLE}2"})
    both = {"Statement": theirs["Statement"] + ours["Statement"]}

    (line,) = explain_denial(both, Document({0: OTHER}), caller=ROLE)

    assert line.startswith("Statement[1]")


def test_a_policy_without_a_statement_for_it_says_so() -> None:
    (line,) = explain_denial(policy_with(Action="kms:Encrypt"), None)

    assert line.startswith("no statement allows kms:Decrypt")


def test_a_policy_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="Statement"):
        explain_denial({}, None)


def test_condition_keys_of_a_document() -> None:
    keys = recipient_keys(Document({0: GOOD, 4: OTHER}))

    assert keys == {
        IMAGE: GOOD.hex(),
        "kms:RecipientAttestation:PCR0": GOOD.hex(),
        "kms:RecipientAttestation:PCR4": OTHER.hex(),
    }
    assert recipient_keys(None) == {}


@pytest.mark.parametrize(
    ("key", "index"),
    [
        (IMAGE, 0),
        ("KMS:recipientattestation:pcr16", 16),
        ("kms:RecipientAttestation:PCR", None),
        ("kms:RecipientAttestation:NitroTPMPCR4", None),
        ("kms:PCR0", None),
    ],
)
def test_which_pcr_a_key_is_about(key: str, index: int | None) -> None:
    assert pcr_of(key) == index

from __future__ import annotations

import json
from typing import Any

import pytest

from trionitro import ConfigError
from trionitro.kms import enclave_key_policy, explain_denial
from trionitro.kms._recipient_keys import Measured

ADMIN = "arn:aws:iam::111122223333:role/admin"
ROLE = "arn:aws:iam::111122223333:role/enclaves/signer"
PCR = "ab" * 48


def statements(**settings: Any) -> dict[str, Any]:
    policy = enclave_key_policy(
        **{"administrators": [ADMIN], "principal": ROLE, "pcrs": {0: PCR}, **settings}
    )
    document = json.loads(str(policy))
    assert document["Version"] == "2012-10-17"
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_only_the_enclave_gets_at_what_the_key_protects() -> None:
    found = statements(pcrs={0: PCR, 8: bytes(range(48))})

    decrypting = [sid for sid, each in found.items() if "kms:Decrypt" in each["Action"]]
    assert decrypting == ["UseInEnclave"]
    assert found["UseInEnclave"]["Principal"] == {"AWS": [ROLE]}
    assert found["UseInEnclave"]["Condition"] == {
        "StringEqualsIgnoreCase": {
            "kms:RecipientAttestation:PCR0": [PCR],
            "kms:RecipientAttestation:PCR8": [bytes(range(48)).hex()],
        }
    }


def test_administrators_can_neither_use_the_key_nor_change_who_can() -> None:
    actions = statements()["Administer"]["Action"]

    assert "kms:ScheduleKeyDeletion" in actions
    for power in ("kms:*", "kms:PutKeyPolicy", "kms:Decrypt", "kms:CreateGrant"):
        assert power not in actions


def test_an_image_is_asked_for_by_its_own_name_and_several_are_alternatives() -> None:
    found = statements(pcrs=None, image_sha384=[PCR.upper(), "cd" * 48])

    assert found["UseInEnclave"]["Condition"]["StringEqualsIgnoreCase"] == {
        "kms:RecipientAttestation:ImageSha384": [PCR, "cd" * 48]
    }


def test_who_may_encrypt_needs_no_attestation() -> None:
    found = statements(encrypters=[ADMIN])

    assert "kms:Encrypt" in found["Encrypt"]["Action"]
    assert "Condition" not in found["Encrypt"]


def test_nobody_who_may_change_it_is_said_to_lock_everybody_out() -> None:
    policy = enclave_key_policy(
        administrators=[ADMIN], principal=ROLE, image_sha384=PCR
    )

    assert policy.locks_out
    assert "lost" in policy.notes[-1]


def test_somebody_who_may_change_it_is_said_to_be_able_to_decrypt() -> None:
    policy = enclave_key_policy(
        administrators=[], principal=ROLE, pcrs={0: PCR}, policy_administrators=[ADMIN]
    )

    assert not policy.locks_out
    assert "decrypt" in policy.notes[-1]
    assert ADMIN in policy.notes[-1]


def test_a_session_s_role_stands_in_the_policy_with_a_note() -> None:
    policy = enclave_key_policy(
        administrators=[ADMIN],
        principal="arn:aws:sts::111122223333:assumed-role/signer/me",
        pcrs={0: PCR},
    )

    assert "arn:aws:iam::111122223333:role/signer" in str(policy)
    assert "assumed-role" not in str(policy)
    assert any("path" in note for note in policy.notes)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"pcrs": None}, "any enclave"),
        ({"pcrs": {}}, "any enclave"),
        ({"pcrs": {32: PCR}}, "PCR32"),
        ({"pcrs": {0: "ab"}}, "96"),
        ({"pcrs": {0: b"ab"}}, "48"),
        ({"pcrs": {0: []}}, "no value"),
        ({"pcrs": {0: "00" * 48}}, "debug"),
        ({"image_sha384": bytes(48)}, "debug"),
        ({"principal": "*"}, "'\\*'"),
        ({"administrators": ADMIN}, "list"),
        ({"administrators": []}, "administrator"),
    ],
)
def test_a_policy_that_would_be_a_mistake_is_refused(
    settings: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        statements(**settings)


def test_a_debug_enclave_can_be_asked_for() -> None:
    assert statements(pcrs={0: bytes(48)}, allow_debug=True)


class Document(Measured):
    """A document, as far as a policy looks at one."""

    pcrs = {0: bytes.fromhex(PCR)}  # noqa: RUF012


def test_the_policy_is_one_that_denials_are_explained_from() -> None:
    policy = str(
        enclave_key_policy(administrators=[ADMIN], principal=ROLE, pcrs={0: "cd" * 48})
    )

    lines = "\n".join(explain_denial(policy, Document(), caller=ROLE))

    assert "PCR0" in lines
    assert PCR in lines

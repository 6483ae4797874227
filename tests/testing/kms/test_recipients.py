"""Whom KMS encrypts to: the document must be genuine, fresh, and have an RSA key."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.testing.kms.worlds import (
    DEBUG,
    GOOD,
    NOW,
    OTHER,
    Clock,
    World,
    key_policy,
    make_world,
    recipient,
    rsa_key,
    spki,
)
from trionitro.kms._envelope import open_envelope_untrusted
from trionitro.testing._kms._faults import KmsFault


async def refusal(world: World, **members: Any) -> KmsFault:
    """Decrypt as the enclave, and return why not."""
    key = world.kms.add_key(key_policy())
    blob = (await world.ask("Encrypt", KeyId=key, Plaintext=b"x"))["CiphertextBlob"]
    with pytest.raises(KmsFault) as caught:
        await world.ask(
            "Decrypt",
            by=world.enclave,
            CiphertextBlob=base64.b64decode(blob),
            **members,
        )
    return caught.value


async def test_another_image_is_denied_by_the_policy(world: World) -> None:
    document = await world.attest(spki(rsa_key()), OTHER)

    fault = await refusal(world, Recipient=recipient(document))

    assert fault.code == "AccessDeniedException"
    assert "no resource-based policy allows the kms:Decrypt action" in fault.message
    assert any(OTHER.pcr0.hex() in line for line in world.kms.events[-1].why)


async def test_debug_mode_is_denied_by_the_policy(world: World) -> None:
    document = await world.attest(spki(rsa_key()), DEBUG)

    fault = await refusal(world, Recipient=recipient(document))

    assert fault.code == "AccessDeniedException"
    assert any("debug mode" in line for line in world.kms.events[-1].why)


async def test_without_a_recipient_the_policy_denies_it(world: World) -> None:
    assert (await refusal(world)).code == "AccessDeniedException"
    assert any("no Recipient" in line for line in world.kms.events[-1].why)


async def test_a_stale_document_is_refused(world: World) -> None:
    document = await world.attest(spki(rsa_key()))
    world.clock.time += dt.timedelta(minutes=5, seconds=1)

    fault = await refusal(world, Recipient=recipient(document))

    assert fault.code == "ValidationException"
    assert "attestation document is refused" in fault.message


async def test_how_old_a_document_may_be_is_a_setting() -> None:
    world = make_world(max_document_age=dt.timedelta(hours=1))
    document = await world.attest(spki(rsa_key()))
    world.clock.time += dt.timedelta(minutes=59)

    await world.ask("GenerateRandom", NumberOfBytes=1, Recipient=recipient(document))


async def test_a_document_with_the_public_key_exchanged_is_refused(
    world: World,
) -> None:
    theirs = rsa.generate_private_key(65537, 2048)
    document = await world.attest(spki(rsa_key()))
    replaced = document.replace(spki(rsa_key()), spki(theirs))
    assert replaced != document

    fault = await refusal(world, Recipient=recipient(replaced))

    assert fault.code == "ValidationException"
    assert "signature" in fault.message


async def test_a_replayed_document_helps_only_whom_it_was_made_for(
    world: World,
) -> None:
    """As with KMS itself: what comes is sealed to the key in the document."""
    document = await world.attest(spki(rsa_key()))
    thief = rsa.generate_private_key(65537, 2048)

    answer = await world.ask(
        "GenerateRandom", NumberOfBytes=9, Recipient=recipient(document)
    )
    sealed = base64.b64decode(answer["CiphertextForRecipient"])

    assert len(open_envelope_untrusted(sealed, rsa_key())) == 9
    with pytest.raises(Exception, match="doesn't open"):
        open_envelope_untrusted(sealed, thief)


async def test_a_document_under_another_root_is_refused(world: World) -> None:
    stranger = make_world(Clock(NOW))
    document = await stranger.attest(spki(rsa_key()))

    fault = await refusal(world, Recipient=recipient(document))

    assert fault.code == "ValidationException"


async def test_without_roots_no_document_is_believed() -> None:
    world = make_world(attestation_roots=())
    document = await world.attest(spki(rsa_key()))

    assert (await refusal(world, Recipient=recipient(document))).code == (
        "ValidationException"
    )


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    ("public_key", "words"),
    [
        (None, "no public_key"),
        (b"\x30", "no SubjectPublicKeyInfo"),
        (pem(rsa_key()), "no SubjectPublicKeyInfo"),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "no RSA key",
        ),
        (spki(rsa.generate_private_key(65537, 1024)), "no RSA key"),
    ],
)
async def test_the_document_must_have_an_rsa_key(
    world: World, public_key: bytes | None, words: str
) -> None:
    document = await world.attest(public_key)

    fault = await refusal(world, Recipient=recipient(document))

    assert fault.code == "ValidationException"
    assert words in fault.message


async def test_all_sizes_of_rsa_that_kms_was_seen_to_take(world: World) -> None:
    for size in (2048, 3072):
        key = rsa_key(size)
        answer = await world.ask(
            "GenerateRandom",
            NumberOfBytes=5,
            Recipient=recipient(await world.attest(spki(key))),
        )
        sealed = base64.b64decode(answer["CiphertextForRecipient"])
        assert len(open_envelope_untrusted(sealed, key)) == 5


@pytest.mark.parametrize("missing", ["KeyEncryptionAlgorithm", "AttestationDocument"])
async def test_both_members_of_a_recipient_are_needed(
    world: World, missing: str
) -> None:
    member = recipient(await world.attest(spki(rsa_key())))
    del member[missing]

    fault = await refusal(world, Recipient=member)

    assert fault.code == "ValidationException"
    assert missing in fault.message


async def test_a_recipient_counts_in_the_five_operations_only(world: World) -> None:
    """Encrypt ignores one, so that a condition on it is never met."""
    policy = key_policy()
    policy["Statement"][1]["Action"] = "kms:Encrypt"
    key = world.kms.add_key(policy)
    document = await world.attest(spki(rsa_key()), GOOD)

    with pytest.raises(KmsFault, match="AccessDenied"):
        await world.ask(
            "Encrypt",
            by=world.enclave,
            KeyId=key,
            Plaintext=b"x",
            Recipient=recipient(document),
        )

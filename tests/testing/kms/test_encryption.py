from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.testing.kms.worlds import ROLE, World, key_policy, rsa_key
from trionitro.testing._kms._faults import KmsFault


async def refusal(world: World, operation: str, **members: Any) -> KmsFault:
    with pytest.raises(KmsFault) as caught:
        await world.ask(operation, **members)
    return caught.value


async def encrypted(world: World, key: str, **members: Any) -> bytes:
    answer = await world.ask("Encrypt", KeyId=key, Plaintext=b"secret", **members)
    return base64.b64decode(answer["CiphertextBlob"])


async def test_what_was_encrypted_is_decrypted(world: World) -> None:
    key = world.kms.add_key()
    context = {"app": "signer", "stage": "test"}
    blob = await encrypted(world, key, EncryptionContext=context)

    answer = await world.ask("Decrypt", CiphertextBlob=blob, EncryptionContext=context)

    assert answer == {
        "KeyId": key,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "Plaintext": base64.b64encode(b"secret").decode(),
    }


async def test_another_encryption_context_opens_nothing(world: World) -> None:
    blob = await encrypted(world, world.kms.add_key(), EncryptionContext={"a": "b"})

    fault = await refusal(world, "Decrypt", CiphertextBlob=blob)

    assert fault.code == "InvalidCiphertextException"
    assert fault.message == ""


async def test_an_enclave_gets_an_envelope_and_no_plaintext(world: World) -> None:
    blob = await encrypted(world, world.kms.add_key(key_policy()))

    answer, plaintext = await world.ask_attested("Decrypt", CiphertextBlob=blob)

    assert plaintext == b"secret"
    assert "Plaintext" not in answer


async def test_data_keys_open_again(world: World) -> None:
    key = world.kms.add_key(key_policy())

    answer, data_key = await world.ask_attested(
        "GenerateDataKey", KeyId=key, KeySpec="AES_256"
    )
    _, again = await world.ask_attested(
        "Decrypt", CiphertextBlob=base64.b64decode(answer["CiphertextBlob"])
    )

    assert len(data_key) == 32
    assert again == data_key
    assert "Plaintext" not in answer


async def test_a_data_key_has_the_size_that_was_asked_for(world: World) -> None:
    key = world.kms.add_key()

    answer = await world.ask("GenerateDataKey", KeyId=key, NumberOfBytes=17)
    bare = await world.ask(
        "GenerateDataKeyWithoutPlaintext", KeyId=key, KeySpec="AES_128"
    )

    assert len(base64.b64decode(answer["Plaintext"])) == 17
    assert "Plaintext" not in bare


@pytest.mark.parametrize("sizes", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}])
async def test_a_data_key_has_one_size(world: World, sizes: dict[str, Any]) -> None:
    fault = await refusal(world, "GenerateDataKey", KeyId=world.kms.add_key(), **sizes)

    assert "number of bytes or key spec" in fault.message


async def test_random_bytes_for_anybody_and_for_an_enclave(world: World) -> None:
    answer = await world.ask("GenerateRandom", NumberOfBytes=7)
    _, sealed = await world.ask_attested("GenerateRandom", NumberOfBytes=1024)

    assert len(base64.b64decode(answer["Plaintext"])) == 7
    assert len(sealed) == 1024
    assert (await refusal(world, "GenerateRandom")).code == "ValidationException"


async def test_reencryption_moves_a_secret_to_another_key(world: World) -> None:
    old, new = world.kms.add_key(), world.kms.add_key()
    blob = await encrypted(world, old, EncryptionContext={"a": "b"})

    answer = await world.ask(
        "ReEncrypt",
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=new,
    )
    moved = base64.b64decode(answer["CiphertextBlob"])

    assert (answer["SourceKeyId"], answer["KeyId"]) == (old, new)
    opened = await world.ask("Decrypt", CiphertextBlob=moved, KeyId=new)
    assert base64.b64decode(opened["Plaintext"]) == b"secret"


async def test_a_blob_of_another_key_is_refused_when_the_key_is_named(
    world: World,
) -> None:
    ours, theirs = world.kms.add_key(), world.kms.add_key()
    blob = await encrypted(world, theirs)

    fault = await refusal(world, "Decrypt", CiphertextBlob=blob, KeyId=ours)

    assert fault.code == "IncorrectKeyException"


async def test_a_blob_of_nobodys_key_says_no_more_than_aws_does(world: World) -> None:
    key = world.kms.add_key()
    blob = await encrypted(world, key)
    del world.kms._service.store.keys[key.rpartition("/")[2]]

    fault = await refusal(world, "Decrypt", CiphertextBlob=blob)

    assert fault.code == "AccessDeniedException"
    assert "does not exist in this region, or you are not allowed" in fault.message


async def test_rsa_keys_decrypt_for_an_enclave_as_well(world: World) -> None:
    policy = key_policy()
    key = world.kms.add_key(policy, material=rsa_key(), usage="ENCRYPT_DECRYPT")
    algorithm = "RSAES_OAEP_SHA_256"
    blob = await encrypted(world, key, EncryptionAlgorithm=algorithm)

    _, plaintext = await world.ask_attested(
        "Decrypt", CiphertextBlob=blob, KeyId=key, EncryptionAlgorithm=algorithm
    )

    assert plaintext == b"secret"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, "ValidationException"),
        (
            {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1", "named": True},
            "InvalidCiphertextException",
        ),
        ({"named": True}, "InvalidKeyUsageException"),
        (
            {
                "EncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                "named": True,
                "EncryptionContext": {"a": "b"},
            },
            "ValidationException",
        ),
    ],
)
async def test_rsa_decryption_needs_key_algorithm_and_no_context(
    world: World, members: dict[str, Any], code: str
) -> None:
    key = world.kms.add_key(material=rsa_key(), usage="ENCRYPT_DECRYPT")
    blob = await encrypted(world, key, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    if members.pop("named", False):
        members["KeyId"] = key

    fault = await refusal(world, "Decrypt", CiphertextBlob=blob, **members)

    assert fault.code == code


async def test_what_is_too_long_for_rsa_is_told(world: World) -> None:
    key = world.kms.add_key(material=rsa_key(), usage="ENCRYPT_DECRYPT")

    fault = await refusal(
        world,
        "Encrypt",
        KeyId=key,
        Plaintext=bytes(191),
        EncryptionAlgorithm="RSAES_OAEP_SHA_256",
    )

    assert "191 bytes is too long" in fault.message


async def test_a_dry_run_says_what_would_have_been(world: World) -> None:
    key = world.kms.add_key(key_policy())

    allowed = await refusal(world, "Encrypt", KeyId=key, Plaintext=b"x", DryRun=True)
    denied = await refusal(
        world, "Encrypt", by=world.enclave, KeyId=key, Plaintext=b"x", DryRun=True
    )

    assert (allowed.code, allowed.status) == ("DryRunOperationException", 412)
    assert denied.code == "AccessDeniedException"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("DisableKey", "DisabledException"),
        ("ScheduleKeyDeletion", "KMSInvalidStateException"),
    ],
)
async def test_a_key_that_is_not_enabled_does_nothing(
    world: World, state: str, code: str
) -> None:
    key = world.kms.add_key()
    blob = await encrypted(world, key)
    await world.ask(state, KeyId=key)

    for fault in (
        await refusal(world, "Decrypt", CiphertextBlob=blob),
        await refusal(world, "Encrypt", KeyId=key, Plaintext=b"x"),
        await refusal(world, "GenerateDataKey", KeyId=key, NumberOfBytes=1),
    ):
        assert fault.code == code
        assert key in fault.message


async def test_the_encryption_context_is_a_condition_key(world: World) -> None:
    policy = key_policy()
    policy["Statement"][1]["Action"] = "kms:Encrypt"
    policy["Statement"][1]["Condition"] = {
        "StringEquals": {"kms:EncryptionContext:app": "signer"},
        "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["app"]},
    }
    key = world.kms.add_key(policy)

    async def encrypt(context: dict[str, str]) -> None:
        await world.ask(
            "Encrypt",
            by=world.enclave,
            KeyId=key,
            Plaintext=b"x",
            EncryptionContext=context,
        )

    await encrypt({"app": "signer"})
    for context in ({}, {"app": "other"}, {"app": "signer", "more": "x"}):
        with pytest.raises(KmsFault, match=f"{ROLE} is not authorized"):
            await encrypt(context)

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from tests.testing.kms.worlds import World, key_policy, rsa_key
from trionitro.testing._kms._faults import KmsFault

SPECS = {
    "RSA_2048": rsa.RSAPrivateKey,
    "ECC_NIST_P256": ec.EllipticCurvePrivateKey,
    "ECC_NIST_P521": ec.EllipticCurvePrivateKey,
    "ECC_SECG_P256K1": ec.EllipticCurvePrivateKey,
    "ECC_NIST_EDWARDS25519": ed25519.Ed25519PrivateKey,
}


def public_of(key: Any) -> bytes:
    spki: bytes = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return spki


@pytest.mark.parametrize("spec", SPECS)
async def test_a_pair_for_an_enclave(world: World, spec: str) -> None:
    key = world.kms.add_key(key_policy())

    answer, pkcs8 = await world.ask_attested(
        "GenerateDataKeyPair", KeyId=key, KeyPairSpec=spec
    )
    private = load_der_private_key(pkcs8, None)
    _, again = await world.ask_attested(
        "Decrypt", CiphertextBlob=base64.b64decode(answer["PrivateKeyCiphertextBlob"])
    )

    assert isinstance(private, SPECS[spec])
    assert base64.b64decode(answer["PublicKey"]) == public_of(private)
    assert again == pkcs8
    assert "PrivateKeyPlaintext" not in answer


async def test_a_pair_for_anybody_with_and_without_plaintext(world: World) -> None:
    members: dict[str, Any] = {
        "KeyId": world.kms.add_key(),
        "KeyPairSpec": "ECC_NIST_P384",
    }

    full = await world.ask("GenerateDataKeyPair", **members)
    bare = await world.ask("GenerateDataKeyPairWithoutPlaintext", **members)

    private = load_der_private_key(base64.b64decode(full["PrivateKeyPlaintext"]), None)
    assert base64.b64decode(full["PublicKey"]) == public_of(private)
    assert bare.keys() == {
        *("KeyId", "KeyPairSpec", "PublicKey", "PrivateKeyCiphertextBlob"),
    }


async def test_what_is_not_emulated_says_so(world: World) -> None:
    key = world.kms.add_key()

    with pytest.raises(KmsFault, match="ML_KEM_512 is not emulated"):
        await world.ask("GenerateDataKeyPair", KeyId=key, KeyPairSpec="ML_KEM_512")


async def test_both_sides_agree_on_a_secret(world: World) -> None:
    ours, theirs = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    policy = key_policy()
    policy["Statement"][1]["Action"] = "kms:DeriveSharedSecret"
    key = world.kms.add_key(policy, material=ours, usage="KEY_AGREEMENT")

    answer, secret = await world.ask_attested(
        "DeriveSharedSecret",
        KeyId=key,
        KeyAgreementAlgorithm="ECDH",
        PublicKey=public_of(theirs),
    )

    assert secret == theirs.exchange(ec.ECDH(), ours.public_key())
    assert "SharedSecret" not in answer


@pytest.mark.parametrize(
    "public_key",
    [b"x", public_of(ec.generate_private_key(ec.SECP256R1())), public_of(rsa_key())],
)
async def test_a_public_key_that_doesn_t_fit_is_refused(
    world: World, public_key: bytes
) -> None:
    key = world.kms.add_key(
        material=ec.generate_private_key(ec.SECP384R1()), usage="KEY_AGREEMENT"
    )

    with pytest.raises(KmsFault, match="PublicKey is no key of ECC_NIST_P384"):
        await world.ask(
            "DeriveSharedSecret",
            KeyId=key,
            KeyAgreementAlgorithm="ECDH",
            PublicKey=public_key,
        )


async def test_the_public_key_of_a_pair(world: World) -> None:
    key = world.kms.add_key(material=rsa_key(), usage="ENCRYPT_DECRYPT")

    answer = await world.ask("GetPublicKey", KeyId=key)

    found = load_der_public_key(base64.b64decode(answer["PublicKey"]))
    assert found == rsa_key().public_key()
    assert answer["EncryptionAlgorithms"] == ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
    with pytest.raises(KmsFault, match="no public key"):
        await world.ask("GetPublicKey", KeyId=world.kms.add_key())


SIGNERS: list[tuple[Any, str]] = [
    (rsa_key(), "RSASSA_PSS_SHA_256"),
    (rsa_key(), "RSASSA_PKCS1_V1_5_SHA_512"),
    (ec.generate_private_key(ec.SECP256R1()), "ECDSA_SHA_256"),
    (ec.generate_private_key(ec.SECP256K1()), "ECDSA_SHA_256"),
    (ed25519.Ed25519PrivateKey.generate(), "ED25519_SHA_512"),
]


@pytest.mark.parametrize(("material", "algorithm"), SIGNERS)
async def test_signatures_verify_and_others_are_errors(
    world: World, material: Any, algorithm: str
) -> None:
    key = world.kms.add_key(material=material, usage="SIGN_VERIFY")
    members: dict[str, Any] = {
        "KeyId": key,
        "SigningAlgorithm": algorithm,
        "Message": b"hello",
    }

    signature = base64.b64decode((await world.ask("Sign", **members))["Signature"])
    answer = await world.ask("Verify", **members, Signature=signature)

    assert answer["SignatureValid"] is True
    with pytest.raises(KmsFault, match="KMSInvalidSignatureException"):
        await world.ask("Verify", **{**members, "Message": b"x"}, Signature=signature)


async def test_a_digest_is_signed_as_its_message_is(world: World) -> None:
    key = world.kms.add_key(material=rsa_key(), usage="SIGN_VERIFY")
    algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
    digest = hashlib.sha256(b"hello").digest()

    one = await world.ask(
        "Sign", KeyId=key, SigningAlgorithm=algorithm, Message=b"hello"
    )
    two = await world.ask(
        "Sign",
        KeyId=key,
        SigningAlgorithm=algorithm,
        Message=digest,
        MessageType="DIGEST",
    )

    assert one["Signature"] == two["Signature"]
    with pytest.raises(KmsFault, match="Digest is invalid length"):
        await world.ask(
            "Sign",
            KeyId=key,
            SigningAlgorithm=algorithm,
            Message=b"short",
            MessageType="DIGEST",
        )


async def test_a_key_signs_with_its_own_algorithms_only(world: World) -> None:
    key = world.kms.add_key(
        material=ec.generate_private_key(ec.SECP256R1()), usage="SIGN_VERIFY"
    )

    with pytest.raises(KmsFault, match="InvalidKeyUsageException"):
        await world.ask(
            "Sign", KeyId=key, SigningAlgorithm="ECDSA_SHA_384", Message=b"x"
        )

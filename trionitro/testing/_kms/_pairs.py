"""The operations on key pairs: made for others, agreed with, signed with."""

from __future__ import annotations

from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from trionitro.testing._kms._calls import Call
from trionitro.testing._kms._ciphertexts import encrypt
from trionitro.testing._kms._encryption import symmetric_key
from trionitro.testing._kms._faults import KmsFault, validation
from trionitro.testing._kms._keys import Key
from trionitro.testing._kms._specs import (
    SYMMETRIC,
    PrivateKey,
    generate_pair,
)

__all__ = [
    "derive_shared_secret",
    "generate_data_key_pair",
    "generate_data_key_pair_without_plaintext",
    "get_public_key",
    "sign",
    "verify",
]

_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


async def generate_data_key_pair(call: Call) -> dict[str, Any]:
    """``GenerateDataKeyPair``: the private key is PKCS #8 in DER."""
    pkcs8, answer = await _pair(call)
    return {**answer, **call.reveal("PrivateKeyPlaintext", pkcs8)}


async def generate_data_key_pair_without_plaintext(call: Call) -> dict[str, Any]:
    """``GenerateDataKeyPairWithoutPlaintext``."""
    _, answer = await _pair(call)
    return answer


async def _pair(call: Call) -> tuple[bytes, dict[str, Any]]:
    spec = call.input["KeyPairSpec"]
    key = symmetric_key(call, {"kms:DataKeyPairSpec": spec})
    pair = await generate_pair(spec)
    pkcs8 = pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return pkcs8, {
        "KeyId": key.arn,
        "KeyPairSpec": spec,
        "PublicKey": _spki(pair),
        "PrivateKeyCiphertextBlob": encrypt(
            key, pkcs8, call.input.get("EncryptionContext", {})
        ),
    }


async def derive_shared_secret(call: Call) -> dict[str, Any]:
    """``DeriveSharedSecret``: the x coordinate that ECDH agrees on."""
    key = call.store.find(call.input["KeyId"])
    call.authorize(key, {"kms:KeyAgreementAlgorithm": "ECDH"})
    key.check_usable()
    key.check_algorithm("KEY_AGREEMENT", "ECDH")
    call.stop_if_dry()
    secret = _agree(key, call.input["PublicKey"])
    return {
        "KeyId": key.arn,
        "KeyAgreementAlgorithm": "ECDH",
        "KeyOrigin": "AWS_KMS",
        **call.reveal("SharedSecret", secret),
    }


def _agree(key: Key, spki: bytes) -> bytes:
    assert isinstance(key.material, ec.EllipticCurvePrivateKey)
    try:
        theirs = load_der_public_key(spki)
        if isinstance(theirs, ec.EllipticCurvePublicKey):
            return key.material.exchange(ec.ECDH(), theirs)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise validation(f"PublicKey is no key of {key.spec}.")


async def get_public_key(call: Call) -> dict[str, Any]:
    """``GetPublicKey``, as SubjectPublicKeyInfo in DER."""
    key = call.store.find(call.input["KeyId"])
    call.authorize(key)
    key.check_usable()
    metadata = key.metadata()
    copied = (
        *("KeySpec", "CustomerMasterKeySpec", "KeyUsage", "EncryptionAlgorithms"),
        *("SigningAlgorithms", "KeyAgreementAlgorithms"),
    )
    return {
        "KeyId": key.arn,
        "PublicKey": _spki(_private_key(key)),
        **{name: metadata[name] for name in copied if name in metadata},
    }


async def sign(call: Call) -> dict[str, Any]:
    """``Sign``."""
    key, algorithm = _signing(call)
    call.stop_if_dry()
    return {
        "KeyId": key.arn,
        "SigningAlgorithm": algorithm,
        "Signature": _sign(call, _private_key(key), algorithm),
    }


async def verify(call: Call) -> dict[str, Any]:
    """``Verify``: what is not a signature is an error, and not an answer."""
    key, algorithm = _signing(call)
    public = _private_key(key).public_key()
    message, signature = call.input["Message"], call.input["Signature"]
    try:
        match public:
            case rsa.RSAPublicKey():
                public.verify(
                    signature,
                    message,
                    _rsa_padding(algorithm),
                    _digest(call, algorithm),
                )
            case ec.EllipticCurvePublicKey():
                public.verify(signature, message, ec.ECDSA(_digest(call, algorithm)))
            case ed25519.Ed25519PublicKey():
                public.verify(signature, message)
    except InvalidSignature:
        raise KmsFault("KMSInvalidSignatureException") from None
    call.stop_if_dry()
    return {"KeyId": key.arn, "SigningAlgorithm": algorithm, "SignatureValid": True}


def _signing(call: Call) -> tuple[Key, str]:
    key = call.store.find(call.input["KeyId"])
    algorithm: str = call.input["SigningAlgorithm"]
    message_type = call.input.get("MessageType", "RAW")
    call.authorize(
        key, {"kms:SigningAlgorithm": algorithm, "kms:MessageType": message_type}
    )
    key.check_usable()
    key.check_algorithm("SIGN_VERIFY", algorithm)
    raw_only = algorithm == "ED25519_SHA_512"
    if message_type == "DIGEST" and not raw_only:
        size = _DIGESTS[algorithm[-3:]].digest_size
        if len(call.input["Message"]) != size:
            raise validation(f"Digest is invalid length for algorithm {algorithm}.")
    elif message_type != "RAW":
        raise validation(f"MessageType {message_type} is not valid for {algorithm}.")
    return key, algorithm


def _sign(call: Call, private: PrivateKey, algorithm: str) -> bytes:
    message = call.input["Message"]
    match private:
        case rsa.RSAPrivateKey():
            return private.sign(
                message, _rsa_padding(algorithm), _digest(call, algorithm)
            )
        case ec.EllipticCurvePrivateKey():
            return private.sign(message, ec.ECDSA(_digest(call, algorithm)))
        case ed25519.Ed25519PrivateKey():
            return private.sign(message)


def _digest(call: Call, algorithm: str) -> hashes.HashAlgorithm | Prehashed:
    digest = _DIGESTS[algorithm[-3:]]
    prehashed = call.input.get("MessageType") == "DIGEST"
    return Prehashed(digest) if prehashed else digest


def _rsa_padding(algorithm: str) -> padding.PSS | padding.PKCS1v15:
    if "PKCS1" in algorithm:
        return padding.PKCS1v15()
    digest = _DIGESTS[algorithm[-3:]]
    return padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)


def _private_key(key: Key) -> PrivateKey:
    if isinstance(key.material, bytes):
        raise KmsFault(
            "UnsupportedOperationException",
            f"{key.arn} is a {SYMMETRIC} key, which has no public key.",
        )
    return key.material


def _spki(pair: PrivateKey) -> bytes:
    return pair.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )

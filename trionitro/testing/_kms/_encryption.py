"""The operations that encrypt, decrypt, and make data keys and random bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from trionitro.testing._kms._calls import Call
from trionitro.testing._kms._ciphertexts import (
    decrypt as open_ciphertext,
)
from trionitro.testing._kms._ciphertexts import (
    encrypt as make_ciphertext,
)
from trionitro.testing._kms._ciphertexts import parse_ciphertext_untrusted
from trionitro.testing._kms._faults import (
    KmsFault,
    access_denied,
    validation,
)
from trionitro.testing._kms._keys import Key
from trionitro.testing._kms._specs import OAEP, SYMMETRIC

__all__ = [
    "decrypt",
    "encrypt",
    "encryption_keys",
    "generate_data_key",
    "generate_data_key_without_plaintext",
    "generate_random",
    "re_encrypt",
    "symmetric_key",
]

_DATA_KEY_SIZES: Final = {"AES_256": 32, "AES_128": 16}


async def encrypt(call: Call) -> dict[str, Any]:
    """``Encrypt``."""
    key = call.store.find(call.input["KeyId"])
    algorithm = call.input.get("EncryptionAlgorithm", SYMMETRIC)
    context = call.input.get("EncryptionContext", {})
    call.authorize(key, encryption_keys(context, algorithm))
    blob = _encrypt(key, algorithm, call.input["Plaintext"], context)
    call.stop_if_dry()
    return {
        "KeyId": key.arn,
        "EncryptionAlgorithm": algorithm,
        "CiphertextBlob": blob,
    }


async def decrypt(call: Call) -> dict[str, Any]:
    """``Decrypt``."""
    algorithm = call.input.get("EncryptionAlgorithm", SYMMETRIC)
    context = call.input.get("EncryptionContext", {})
    key = _key_of(call, algorithm, call.input.get("KeyId"))
    call.authorize(key, encryption_keys(context, algorithm))
    plaintext = _decrypt(key, algorithm, call.input["CiphertextBlob"], context)
    call.stop_if_dry()
    return {
        "KeyId": key.arn,
        "EncryptionAlgorithm": algorithm,
        **call.reveal("Plaintext", plaintext),
    }


async def re_encrypt(call: Call) -> dict[str, Any]:
    """``ReEncrypt``, for which the caller needs one permission for each key."""
    old = call.input.get("SourceEncryptionAlgorithm", SYMMETRIC)
    new = call.input.get("DestinationEncryptionAlgorithm", SYMMETRIC)
    old_context = call.input.get("SourceEncryptionContext", {})
    new_context = call.input.get("DestinationEncryptionContext", {})
    source = _key_of(call, old, call.input.get("SourceKeyId"))
    destination = call.store.find(call.input["DestinationKeyId"])
    same = {"kms:ReEncryptOnSameKey": str(source is destination).lower()}
    call.authorize(
        source, {**encryption_keys(old_context, old), **same}, action="ReEncryptFrom"
    )
    call.authorize(
        destination, {**encryption_keys(new_context, new), **same}, action="ReEncryptTo"
    )
    plaintext = _decrypt(source, old, call.input["CiphertextBlob"], old_context)
    blob = _encrypt(destination, new, plaintext, new_context)
    call.stop_if_dry()
    return {
        "CiphertextBlob": blob,
        "SourceKeyId": source.arn,
        "KeyId": destination.arn,
        "SourceEncryptionAlgorithm": old,
        "DestinationEncryptionAlgorithm": new,
    }


async def generate_data_key(call: Call) -> dict[str, Any]:
    """``GenerateDataKey``."""
    key, data_key, blob = _data_key(call)
    return {
        "KeyId": key.arn,
        "CiphertextBlob": blob,
        **call.reveal("Plaintext", data_key),
    }


async def generate_data_key_without_plaintext(call: Call) -> dict[str, Any]:
    """``GenerateDataKeyWithoutPlaintext``."""
    key, _, blob = _data_key(call)
    return {"KeyId": key.arn, "CiphertextBlob": blob}


async def generate_random(call: Call) -> dict[str, Any]:
    """``GenerateRandom``, for which there is no key to ask."""
    call.authorize_without_key()
    if "NumberOfBytes" not in call.input:
        raise validation("NumberOfBytes is required.")
    return call.reveal("Plaintext", os.urandom(call.input["NumberOfBytes"]))


def encryption_keys(
    context: Mapping[str, str], algorithm: str = SYMMETRIC
) -> dict[str, str | Iterable[str]]:
    """Return the condition keys of a request with an encryption context."""
    keys: dict[str, str | Iterable[str]] = {
        f"kms:EncryptionContext:{name}": value for name, value in context.items()
    }
    if context:
        keys["kms:EncryptionContextKeys"] = list(context)
    return {**keys, "kms:EncryptionAlgorithm": algorithm}


def symmetric_key(
    call: Call, keys: Mapping[str, str | Iterable[str]] | None = None
) -> Key:
    """Return the key for data keys, if the caller may use it.

    Raises:
      KmsFault: if he may not, or it is no key for that.

    """
    key = call.store.find(call.input["KeyId"])
    context = encryption_keys(call.input.get("EncryptionContext", {}))
    call.authorize(key, {**context, **(keys or {})})
    key.check_usable()
    key.check_algorithm("ENCRYPT_DECRYPT", SYMMETRIC)
    call.stop_if_dry()
    return key


def _data_key(call: Call) -> tuple[Key, bytes, bytes]:
    spec: str | None = call.input.get("KeySpec")
    size: Any = call.input.get("NumberOfBytes")
    if (spec is None) == (size is None):
        raise validation(
            "Please specify either number of bytes or key spec."
            if spec is None
            else "Please specify either number of bytes or key spec, but not both."
        )
    key = symmetric_key(call)
    data_key = os.urandom(size if spec is None else _DATA_KEY_SIZES[spec])
    blob = make_ciphertext(key, data_key, call.input.get("EncryptionContext", {}))
    return key, data_key, blob


def _key_of(call: Call, algorithm: str, name: str | None) -> Key:
    """Return the key that a ciphertext is to be decrypted with."""
    if algorithm != SYMMETRIC:
        if name is None:
            raise validation("KeyId is required for asymmetric decryption.")
        return call.store.find(name)
    named = None if name is None else call.store.find(name)
    if named is not None and named.spec != SYMMETRIC:
        return named  # which says itself that this is not what it is for
    ciphertext = parse_ciphertext_untrusted(call.input["CiphertextBlob"])
    try:
        found = call.store.find(ciphertext.key_arn)
    except KmsFault:
        raise access_denied(
            "The ciphertext refers to a customer master key that does not exist, does"
            " not exist in this region, or you are not allowed to access."
        ) from None
    if named not in (None, found):
        raise KmsFault(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this"
            " operation.",
        )
    return found


def _encrypt(
    key: Key, algorithm: str, plaintext: bytes, context: Mapping[str, str]
) -> bytes:
    _check_use(key, algorithm, context)
    if algorithm == SYMMETRIC:
        return make_ciphertext(key, plaintext, context)
    assert isinstance(key.material, rsa.RSAPrivateKey)
    try:
        return key.material.public_key().encrypt(plaintext, OAEP[algorithm])
    except ValueError:
        raise validation(
            f"Plaintext of {len(plaintext)} bytes is too long for {key.spec} with"
            f" {algorithm}."
        ) from None


def _decrypt(
    key: Key, algorithm: str, blob: bytes, context: Mapping[str, str]
) -> bytes:
    _check_use(key, algorithm, context)
    if algorithm == SYMMETRIC:
        return open_ciphertext(key, parse_ciphertext_untrusted(blob), context)
    assert isinstance(key.material, rsa.RSAPrivateKey)
    try:
        return key.material.decrypt(blob, OAEP[algorithm])
    except ValueError:
        raise KmsFault("InvalidCiphertextException") from None


def _check_use(key: Key, algorithm: str, context: Mapping[str, str]) -> None:
    key.check_usable()
    key.check_algorithm("ENCRYPT_DECRYPT", algorithm)
    if context and algorithm != SYMMETRIC:
        raise validation(
            "EncryptionContext is not allowed with an asymmetric algorithm."
        )

"""Kinds of keys: what they are made of, what they are for, and with which algorithms.

Source: ``KeySpec``, ``KeyUsageType`` and the three enumerations of algorithms in KMS's
API model. Of these SM2, HMAC, ML-DSA and ML-KEM are not emulated.

"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import trio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from trionitro._exceptions import ConfigError
from trionitro.testing._kms._faults import unsupported, validation

__all__ = [
    "ALL_SPECS",
    "ENCRYPTION_ALGORITHMS",
    "OAEP",
    "PAIR_SPECS",
    "SIGNING_ALGORITHMS",
    "SYMMETRIC",
    "USAGES",
    "Material",
    "PrivateKey",
    "check_usage",
    "generate_material",
    "generate_pair",
    "spec_algorithms",
    "spec_of",
]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

#: What a key is: an AES-256 key, or a private key.
Material = bytes | PrivateKey

SYMMETRIC: Final = "SYMMETRIC_DEFAULT"

_RSA_BITS: Final = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}

_EDWARDS: Final = "ECC_NIST_EDWARDS25519"

_NOT_EMULATED_PAIRS: Final = ("SM2", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024")

PAIR_SPECS: Final = (*_RSA_BITS, *_CURVES, _EDWARDS, *_NOT_EMULATED_PAIRS)

ALL_SPECS: Final = (
    *(SYMMETRIC, *PAIR_SPECS),
    *("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"),
    *("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"),
)

USAGES: Final = (
    *("SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"),
    "ENCAPSULATE_DECAPSULATE",
)

ENCRYPTION_ALGORITHMS: Final = (
    *(SYMMETRIC, "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"),
)

OAEP: Final[Mapping[str, padding.OAEP]] = {
    name: padding.OAEP(padding.MGF1(digest), digest, label=None)
    for name, digest in (
        ("RSAES_OAEP_SHA_1", hashes.SHA1()),  # noqa: S303  KMS has it
        ("RSAES_OAEP_SHA_256", hashes.SHA256()),
    )
}

_RSA_SIGNING: Final = tuple(
    f"{scheme}_SHA_{bits}"
    for scheme in ("RSASSA_PSS", "RSASSA_PKCS1_V1_5")
    for bits in (256, 384, 512)
)

SIGNING_ALGORITHMS: Final = (
    *_RSA_SIGNING,
    *("ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512", "SM2DSA"),
    *("ML_DSA_SHAKE_256", "ED25519_SHA_512", "ED25519_PH_SHA_512"),
)

#: A curve signs with the digest of its own size.
_CURVE_SIGNING: Final = {
    "ECC_NIST_P256": "ECDSA_SHA_256",
    "ECC_NIST_P384": "ECDSA_SHA_384",
    "ECC_NIST_P521": "ECDSA_SHA_512",
    "ECC_SECG_P256K1": "ECDSA_SHA_256",
    _EDWARDS: "ED25519_SHA_512",
}


def _uses(spec: str) -> Mapping[str, tuple[str, ...]]:
    if spec == SYMMETRIC:
        return {"ENCRYPT_DECRYPT": (SYMMETRIC,)}
    if spec in _RSA_BITS:
        return {"ENCRYPT_DECRYPT": tuple(OAEP), "SIGN_VERIFY": _RSA_SIGNING}
    uses = {"SIGN_VERIFY": (_CURVE_SIGNING[spec],)}
    if spec.startswith("ECC_NIST_P"):
        uses["KEY_AGREEMENT"] = ("ECDH",)
    return uses


def check_usage(spec: str, usage: str | None) -> str:
    """Return what a key of this spec is for: ``usage``, where the spec allows it.

    Raises:
      KmsFault: if it doesn't, if it must be told and isn't, or if the spec is not
          emulated.

    """
    if spec != SYMMETRIC and spec not in (*_RSA_BITS, *_CURVES, _EDWARDS):
        raise unsupported(f"the key spec {spec}")
    allowed = _uses(spec)
    if usage is None:
        if spec != SYMMETRIC:
            raise validation(f"You must specify a KeyUsage value for {spec} keys.")
        usage = "ENCRYPT_DECRYPT"
    if usage not in allowed:
        raise validation(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    return usage


def spec_algorithms(spec: str, usage: str) -> tuple[str, ...]:
    """Return the algorithms of a key."""
    return _uses(spec)[usage]


def spec_of(material: Material) -> str:
    """Return what kind of key this is.

    Raises:
      ConfigError: if KMS has none like it.

    """
    match material:
        case bytes() if len(material) == 32:
            return SYMMETRIC
        case rsa.RSAPrivateKey() if f"RSA_{material.key_size}" in _RSA_BITS:
            return f"RSA_{material.key_size}"
        case ec.EllipticCurvePrivateKey():
            for spec, curve in _CURVES.items():
                if curve.name == material.curve.name:
                    return spec
        case ed25519.Ed25519PrivateKey():
            return _EDWARDS
    raise ConfigError(
        "the key is none of KMS's: give 32 bytes, RSA of 2048, 3072 or 4096 bits, a"
        " curve such as P-256, or Ed25519"
    )


async def generate_material(spec: str) -> Material:
    """Make a key."""
    return os.urandom(32) if spec == SYMMETRIC else await generate_pair(spec)


async def generate_pair(spec: str) -> PrivateKey:
    """Make a key pair; an RSA key takes its time, and takes it in a thread.

    Raises:
      KmsFault: if the spec is not emulated.

    Cancellation:
      Waits until the thread is done.

    """
    if spec in _RSA_BITS:
        return await trio.to_thread.run_sync(
            rsa.generate_private_key, 65537, _RSA_BITS[spec]
        )
    if spec in _CURVES:
        return ec.generate_private_key(_CURVES[spec])
    if spec == _EDWARDS:
        return ed25519.Ed25519PrivateKey.generate()
    raise unsupported(f"the key pair spec {spec}")

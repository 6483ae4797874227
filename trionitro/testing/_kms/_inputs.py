"""What each operation takes, with the limits of KMS's API model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trionitro.testing._kms._members import (
    Blob,
    Choice,
    Flag,
    Integer,
    Member,
    Structure,
    Text,
    TextList,
    TextMap,
)
from trionitro.testing._kms._recipients import RECIPIENT_ALGORITHMS
from trionitro.testing._kms._specs import (
    ALL_SPECS,
    ENCRYPTION_ALGORITHMS,
    PAIR_SPECS,
    SIGNING_ALGORITHMS,
    USAGES,
)

__all__ = ["INPUTS"]

_KEY_ID: Final = Text(2048)
_CIPHERTEXT: Final = Blob(6144)
_PLAINTEXT: Final = Blob(4096)
_ALGORITHM: Final = Choice(ENCRYPTION_ALGORITHMS)
_MARKER: Final = Text(1024)
_LIMIT: Final = Integer(1, 1000)
_POLICY: Final = Text(131072)
_ALIAS: Final = Text(256, pattern=r"[a-zA-Z0-9:/_-]+")

#: 262144 bytes of document are allowed here; one that is genuine has a few thousand.
_RECIPIENT: Final = Structure(
    {
        "KeyEncryptionAlgorithm": Choice(RECIPIENT_ALGORITHMS),
        "AttestationDocument": Blob(262144),
    }
)

_USUAL: Final[Mapping[str, Member]] = {"GrantTokens": TextList(10), "DryRun": Flag()}

_SYMMETRIC: Final[Mapping[str, Member]] = {
    **_USUAL,
    "KeyId": _KEY_ID,
    "EncryptionContext": TextMap(),
}

_DATA_KEY: Final[Mapping[str, Member]] = {
    **_SYMMETRIC,
    "KeySpec": Choice(("AES_256", "AES_128")),
    "NumberOfBytes": Integer(1, 1024),
}

_DATA_KEY_PAIR: Final[Mapping[str, Member]] = {
    **_SYMMETRIC,
    "KeyPairSpec": Choice(PAIR_SPECS),
}

_SIGN: Final[Mapping[str, Member]] = {
    **_USUAL,
    "KeyId": _KEY_ID,
    "Message": Blob(4096),
    "MessageType": Choice(("RAW", "DIGEST", "EXTERNAL_MU")),
    "SigningAlgorithm": Choice(SIGNING_ALGORITHMS),
}


def _of(members: Mapping[str, Member], *required: str) -> Structure:
    return Structure(members, frozenset(required))


INPUTS: Final[Mapping[str, Structure]] = {
    "Encrypt": _of(
        {**_SYMMETRIC, "Plaintext": _PLAINTEXT, "EncryptionAlgorithm": _ALGORITHM},
        *("KeyId", "Plaintext"),
    ),
    "Decrypt": _of(
        {
            **_SYMMETRIC,
            "CiphertextBlob": _CIPHERTEXT,
            "EncryptionAlgorithm": _ALGORITHM,
            "Recipient": _RECIPIENT,
        },
        "CiphertextBlob",
    ),
    "ReEncrypt": _of(
        {
            **_USUAL,
            "CiphertextBlob": _CIPHERTEXT,
            "SourceKeyId": _KEY_ID,
            "SourceEncryptionContext": TextMap(),
            "SourceEncryptionAlgorithm": _ALGORITHM,
            "DestinationKeyId": _KEY_ID,
            "DestinationEncryptionContext": TextMap(),
            "DestinationEncryptionAlgorithm": _ALGORITHM,
        },
        *("CiphertextBlob", "DestinationKeyId"),
    ),
    "GenerateDataKey": _of({**_DATA_KEY, "Recipient": _RECIPIENT}, "KeyId"),
    "GenerateDataKeyWithoutPlaintext": _of(_DATA_KEY, "KeyId"),
    "GenerateDataKeyPair": _of(
        {**_DATA_KEY_PAIR, "Recipient": _RECIPIENT}, "KeyId", "KeyPairSpec"
    ),
    "GenerateDataKeyPairWithoutPlaintext": _of(_DATA_KEY_PAIR, "KeyId", "KeyPairSpec"),
    "GenerateRandom": _of(
        {
            "NumberOfBytes": Integer(1, 1024),
            "CustomKeyStoreId": Text(64),
            "Recipient": _RECIPIENT,
        }
    ),
    "DeriveSharedSecret": _of(
        {
            **_USUAL,
            "KeyId": _KEY_ID,
            "KeyAgreementAlgorithm": Choice(("ECDH",)),
            "PublicKey": Blob(8192),
            "Recipient": _RECIPIENT,
        },
        *("KeyId", "KeyAgreementAlgorithm", "PublicKey"),
    ),
    "Sign": _of(_SIGN, "KeyId", "Message", "SigningAlgorithm"),
    "Verify": _of(
        {**_SIGN, "Signature": Blob(6144)},
        *("KeyId", "Message", "SigningAlgorithm", "Signature"),
    ),
    "GetPublicKey": _of({"KeyId": _KEY_ID, **_USUAL}, "KeyId"),
    "CreateKey": _of(
        {
            "Policy": _POLICY,
            "Description": Text(8192, least=0),
            "KeyUsage": Choice(USAGES),
            "KeySpec": Choice(ALL_SPECS),
            "CustomerMasterKeySpec": Choice(ALL_SPECS),
            "Origin": Choice(
                ("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
            ),
            "BypassPolicyLockoutSafetyCheck": Flag(),
            "MultiRegion": Flag(),
        }
    ),
    "DescribeKey": _of({"KeyId": _KEY_ID, **_USUAL}, "KeyId"),
    "ListKeys": _of({"Limit": _LIMIT, "Marker": _MARKER}),
    "GetKeyPolicy": _of(
        {"KeyId": _KEY_ID, "PolicyName": Text(128, pattern=r"\w+")}, "KeyId"
    ),
    "PutKeyPolicy": _of(
        {
            "KeyId": _KEY_ID,
            "PolicyName": Text(128, pattern=r"\w+"),
            "Policy": _POLICY,
            "BypassPolicyLockoutSafetyCheck": Flag(),
        },
        *("KeyId", "Policy"),
    ),
    "EnableKey": _of({"KeyId": _KEY_ID}, "KeyId"),
    "DisableKey": _of({"KeyId": _KEY_ID}, "KeyId"),
    "ScheduleKeyDeletion": _of(
        {"KeyId": _KEY_ID, "PendingWindowInDays": Integer(7, 30)}, "KeyId"
    ),
    "CancelKeyDeletion": _of({"KeyId": _KEY_ID}, "KeyId"),
    "CreateAlias": _of(
        {"AliasName": _ALIAS, "TargetKeyId": _KEY_ID}, "AliasName", "TargetKeyId"
    ),
    "DeleteAlias": _of({"AliasName": _ALIAS}, "AliasName"),
    "ListAliases": _of({"KeyId": _KEY_ID, "Limit": _LIMIT, "Marker": _MARKER}),
}

"""What KMS's operations return. Secrets are in no ``repr``."""

from __future__ import annotations

import attrs

__all__ = [
    "DataKey",
    "DataKeyPair",
    "Decrypted",
    "Encrypted",
    "KeyMetadata",
    "SharedSecret",
]


@attrs.frozen(kw_only=True)
class Decrypted:
    """Of Decrypt.

    Attributes:
      plaintext: what was encrypted.
      key_id: the ARN of the key that it was encrypted under.

    """

    plaintext: bytes = attrs.field(repr=False)
    key_id: str


@attrs.frozen(kw_only=True)
class DataKey:
    """Of GenerateDataKey.

    Attributes:
      plaintext: the key, for this process only.
      ciphertext: the same under the KMS key, to be kept and decrypted again.
      key_id: the ARN of the KMS key.

    """

    plaintext: bytes = attrs.field(repr=False)
    ciphertext: bytes = attrs.field(repr=False)
    key_id: str


@attrs.frozen(kw_only=True)
class DataKeyPair:
    """Of GenerateDataKeyPair.

    Attributes:
      private_key: PKCS#8 in DER.
      private_key_ciphertext: the same under the KMS key, to be kept.
      public_key: SubjectPublicKeyInfo in DER.
      spec: ``"ECC_SECG_P256K1"``.
      key_id: the ARN of the KMS key.

    """

    private_key: bytes = attrs.field(repr=False)
    private_key_ciphertext: bytes = attrs.field(repr=False)
    public_key: bytes = attrs.field(repr=False)
    spec: str
    key_id: str


@attrs.frozen(kw_only=True)
class SharedSecret:
    """Of DeriveSharedSecret.

    Attributes:
      secret: the shared secret, to be put through a key derivation.
      key_id: the ARN of the KMS key.

    """

    secret: bytes = attrs.field(repr=False)
    key_id: str


@attrs.frozen(kw_only=True)
class Encrypted:
    """Of Encrypt.

    Attributes:
      ciphertext: to be given to Decrypt.
      key_id: the ARN of the KMS key.

    """

    ciphertext: bytes = attrs.field(repr=False)
    key_id: str


@attrs.frozen(kw_only=True)
class KeyMetadata:
    """Of CreateKey and DescribeKey.

    Attributes:
      key_id: the key's own name.
      arn: the same with region and account.
      state: ``"Enabled"``, ``"PendingDeletion"``, …
      spec: ``"SYMMETRIC_DEFAULT"``.
      usage: ``"ENCRYPT_DECRYPT"``.
      enabled: whether it can be used.
      description: what somebody wrote about it.

    """

    key_id: str
    arn: str
    state: str
    spec: str
    usage: str
    enabled: bool
    description: str

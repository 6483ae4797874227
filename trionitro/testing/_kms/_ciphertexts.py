r"""What Encrypt returns for a symmetric key: a blob that names its key.

The real form is KMS's own business, and so is this one::

    "trionitro-kms\x01"   length of the key's ARN (2)   ARN   nonce (12)   AES-256-GCM

What stands before the nonce is authenticated, and so is the encryption context,
sorted: a blob doesn't open under another context.

"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._keys import Key

__all__ = ["Ciphertext", "decrypt", "encrypt", "parse_ciphertext_untrusted"]

_MAGIC: Final = b"trionitro-kms\x01"

_LENGTH: Final = struct.Struct("!H")

_NONCE_SIZE: Final = 12


@attrs.frozen
class Ciphertext:
    """A blob, taken apart.

    Attributes:
      key_arn: of the key that it says it is under.
      head: what stands before the nonce.
      nonce: 12 bytes.
      sealed: ciphertext and tag.

    """

    key_arn: str
    head: bytes
    nonce: bytes
    sealed: bytes


def encrypt(key: Key, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    """Encrypt under a symmetric key."""
    assert isinstance(key.material, bytes)
    arn = key.arn.encode()
    head = _MAGIC + _LENGTH.pack(len(arn)) + arn
    nonce = os.urandom(_NONCE_SIZE)
    sealed = AESGCM(key.material).encrypt(nonce, plaintext, _bound(head, context))
    return head + nonce + sealed


def parse_ciphertext_untrusted(blob: bytes) -> Ciphertext:
    """Take a blob apart.

    Raises:
      KmsFault: if it is none of ours.

    """
    start = len(_MAGIC) + _LENGTH.size
    if len(blob) < start or not blob.startswith(_MAGIC):
        raise _invalid()
    (length,) = _LENGTH.unpack_from(blob, len(_MAGIC))
    end = start + length
    try:
        arn = blob[start:end].decode("ascii")
    except UnicodeDecodeError:
        raise _invalid() from None
    rest = blob[end:]
    return Ciphertext(arn, blob[:end], rest[:_NONCE_SIZE], rest[_NONCE_SIZE:])


def decrypt(key: Key, ciphertext: Ciphertext, context: Mapping[str, str]) -> bytes:
    """Open a blob.

    Raises:
      KmsFault: if it was changed, or is not of this key or not of this context.

    """
    assert isinstance(key.material, bytes)
    try:
        return AESGCM(key.material).decrypt(
            ciphertext.nonce, ciphertext.sealed, _bound(ciphertext.head, context)
        )
    except (InvalidTag, ValueError):
        raise _invalid() from None


def _bound(head: bytes, context: Mapping[str, str]) -> bytes:
    return head + json.dumps(sorted(context.items())).encode()


def _invalid() -> KmsFault:
    # KMS says nothing more: whoever guesses is to learn nothing.
    return KmsFault("InvalidCiphertextException")

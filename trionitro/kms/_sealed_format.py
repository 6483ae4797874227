"""The format of a sealed file. No I/O, and no KMS.

::

    "TRIOSEAL"                  8 bytes
    version                     1 byte: 1
    counter                     8 bytes, unsigned, big-endian: the caller's own
    size of the data key        2 bytes, unsigned, big-endian: 1 to 6144
    data key                    that many: KMS's CiphertextBlob
    nonce                       12 bytes
    secret                      AES-256-GCM, with its tag of 16 bytes at the end

What comes before the nonce is authenticated with the secret, and so are the secret's
name and the enclave's identity, which the file doesn't hold: as JSON, sorted by
name, without spaces, just as they are in KMS's encryption context. A data key seals
one file, once, so that no nonce is used twice.

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

__all__ = [
    "MAX_COUNTER",
    "MAX_FILE_SIZE",
    "MAX_SECRET_SIZE",
    "SealedError",
    "SealedFile",
    "open_sealed_untrusted",
    "parse_sealed_untrusted",
    "seal",
]

MAX_COUNTER: Final = 2**64 - 1

#: Keys and configuration, not data sets.
MAX_SECRET_SIZE: Final = 2**20

_HEAD: Final = struct.Struct("!8sBQH")
_MAGIC: Final = b"TRIOSEAL"
_VERSION: Final = 1

#: ``CiphertextType`` of KMS's model.
_MAX_KEY: Final = 6144
_NONCE: Final = 12
_TAG: Final = 16

MAX_FILE_SIZE: Final = _HEAD.size + _MAX_KEY + _NONCE + MAX_SECRET_SIZE + _TAG


class SealedError(Exception):
    """Raised when a file is not what this enclave sealed under that name."""


@attrs.frozen
class SealedFile:
    """A sealed file, taken apart.

    Attributes:
      counter: what the caller sealed it with; not yet to be believed.
      data_key: the key, as KMS encrypted it.

    """

    counter: int
    data_key: bytes = attrs.field(repr=False)
    _head: bytes = attrs.field(repr=False)
    _nonce: bytes = attrs.field(repr=False)
    _secret: bytes = attrs.field(repr=False)


def seal(
    secret: bytes,
    *,
    key: bytes,
    data_key: bytes,
    context: Mapping[str, str],
    counter: int,
) -> bytes:
    """Write a sealed file.

    Args:
      secret: at most ``MAX_SECRET_SIZE`` bytes.
      key: 32 bytes that nothing else was sealed with.
      data_key: the same as KMS encrypted it.
      context: what the file is bound to.
      counter: 0 to ``MAX_COUNTER``.

    """
    head = _HEAD.pack(_MAGIC, _VERSION, counter, len(data_key)) + data_key
    nonce = os.urandom(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, secret, head + _bound(context))
    return head + nonce + sealed


def parse_sealed_untrusted(data: bytes) -> SealedFile:
    """Take a sealed file apart.

    Raises:
      SealedError: if it is none.

    """
    if len(data) > MAX_FILE_SIZE:
        raise SealedError(f"it is longer than {MAX_FILE_SIZE} bytes")
    if len(data) < _HEAD.size or not data.startswith(_MAGIC):
        raise SealedError("it is no sealed file")
    _, version, counter, size = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise SealedError(f"it is of version {version}, and this reads {_VERSION}")
    end = _HEAD.size + size
    if not 1 <= size <= _MAX_KEY or len(data) < end + _NONCE + _TAG:
        raise SealedError("it is cut off")
    nonce_end = end + _NONCE
    return SealedFile(
        counter,
        data[_HEAD.size : end],
        data[:end],
        data[end:nonce_end],
        data[nonce_end:],
    )


def open_sealed_untrusted(
    file: SealedFile, *, key: bytes, context: Mapping[str, str]
) -> bytes:
    """Return the secret of a file.

    Raises:
      SealedError: if it was changed, or is bound to something else.

    """
    try:
        return AESGCM(key).decrypt(
            file._nonce,  # noqa: SLF001  the record is this module's
            file._secret,  # noqa: SLF001
            file._head + _bound(context),  # noqa: SLF001
        )
    except (InvalidTag, ValueError):
        raise SealedError("it was changed, or sealed for something else") from None


def _bound(context: Mapping[str, str]) -> bytes:
    return json.dumps(
        dict(context), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode()

"""CiphertextForRecipient, as KMS writes it: CMS EnvelopedData in BER.

Source: RFC 5652 §6 and the bytes of real answers. All that surrounds the content has
an indefinite length; the content is in one of two shapes, and KMS has been seen to
send either. Written out by hand: an encoder of DER can do neither.

"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

__all__ = ["EnvelopeShape", "seal_envelope"]

_SEQUENCE, _SET, _INTEGER, _OCTETS, _OID, _NULL = 0x30, 0x31, 0x02, 0x04, 0x06, 0x05

#: [0], [1]: constructed of elements; and [0] around bytes.
_TAG_0, _TAG_1, _TAG_0_BYTES = 0xA0, 0xA1, 0x80

_ENVELOPED_DATA: Final = bytes.fromhex("2a864886f70d010703")
_DATA: Final = bytes.fromhex("2a864886f70d010701")
_RSAES_OAEP: Final = bytes.fromhex("2a864886f70d010107")
_MGF1: Final = bytes.fromhex("2a864886f70d010108")
_SHA256: Final = bytes.fromhex("608648016503040201")
_AES256_CBC: Final = bytes.fromhex("60864801650304012a")

_BLOCK: Final = 16

_CHUNK: Final = 1024


class EnvelopeShape(enum.Enum):
    """How the encrypted content is written."""

    #: [0] of one OCTET STRING, indefinite.
    CONSTRUCTED = "constructed"

    #: [0] IMPLICIT, the bytes themselves.
    PRIMITIVE = "primitive"

    #: As constructed, in OCTET STRINGs of 1024 bytes, which BER allows.
    CHUNKED = "chunked"


def seal_envelope(
    plaintext: bytes, recipient: rsa.RSAPublicKey, shape: EnvelopeShape
) -> bytes:
    """Encrypt ``plaintext`` for whoever has the private key of ``recipient``."""
    cek, iv = os.urandom(32), os.urandom(_BLOCK)
    padder = PKCS7(8 * _BLOCK).padder()
    padded = padder.update(plaintext) + padder.finalize()
    cipher = Cipher(algorithms.AES256(cek), modes.CBC(iv)).encryptor()
    content = cipher.update(padded) + cipher.finalize()
    aes = _element(_SEQUENCE, _element(_OID, _AES256_CBC), _element(_OCTETS, iv))
    encrypted_content_info = _indefinite(
        _SEQUENCE, _element(_OID, _DATA), aes, _content(content, shape)
    )
    enveloped_data = _indefinite(
        _SEQUENCE,
        _version(2),
        _element(_SET, _recipient_info(cek, recipient)),
        encrypted_content_info,
    )
    return _indefinite(
        _SEQUENCE,
        _element(_OID, _ENVELOPED_DATA),
        _indefinite(_TAG_0, enveloped_data),
    )


def _recipient_info(cek: bytes, recipient: rsa.RSAPublicKey) -> bytes:
    spki = recipient.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
    return _element(
        _SEQUENCE,
        _version(2),
        _element(_TAG_0_BYTES, hashlib.sha256(spki).digest()),
        _oaep_algorithm(),
        _element(_OCTETS, recipient.encrypt(cek, oaep)),
    )


def _oaep_algorithm() -> bytes:
    """RSAES-OAEP with SHA-256, and MGF1 with SHA-256 (RFC 4055 §4.1)."""
    sha256 = _element(_SEQUENCE, _element(_OID, _SHA256), _element(_NULL))
    mgf1 = _element(_SEQUENCE, _element(_OID, _MGF1), sha256)
    parameters = _element(_SEQUENCE, _element(_TAG_0, sha256), _element(_TAG_1, mgf1))
    return _element(_SEQUENCE, _element(_OID, _RSAES_OAEP), parameters)


def _content(data: bytes, shape: EnvelopeShape) -> bytes:
    if shape is EnvelopeShape.PRIMITIVE:
        return _element(_TAG_0_BYTES, data)
    size = len(data) if shape is EnvelopeShape.CONSTRUCTED else _CHUNK
    return _indefinite(_TAG_0, *(_element(_OCTETS, part) for part in _cut(data, size)))


def _cut(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _version(number: int) -> bytes:
    return _element(_INTEGER, bytes([number]))


def _element(tag: int, *content: bytes) -> bytes:
    data = b"".join(content)
    size = len(data)
    if size < 0x80:
        return bytes([tag, size]) + data
    if size < 0x100:
        return bytes([tag, 0x81, size]) + data
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + data


def _indefinite(tag: int, *content: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(content) + b"\0\0"

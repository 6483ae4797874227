"""Making envelopes, good and bad, byte by byte."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from trionitro.kms._envelope import recipient_id, recipient_oaep

END: Final = b"\0\0"
OAEP_SHA256: Final = bytes.fromhex(
    "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"
)


@cache
def rsa_key(size: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key, the same one for the whole run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def tlv(tag: int, value: bytes) -> bytes:
    """Write an element of definite length."""
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8)
    return bytes([tag, 0x80 + len(size)]) + size + value


def endless(tag: int, *elements: bytes) -> bytes:
    """Write an element of indefinite length."""
    return bytes([tag, 0x80]) + b"".join(elements) + END


def pad(data: bytes) -> bytes:
    """Pad as PKCS#7 does."""
    size = 16 - len(data) % 16
    return data + bytes([size]) * size


def encrypt(key: bytes, iv: bytes, padded: bytes) -> bytes:
    """Encrypt whole blocks."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padded) + cipher.finalize()


def envelope(
    plaintext: bytes = b"plaintext",
    *,
    key: rsa.RSAPrivateKey | None = None,
    **differences: Any,
) -> bytes:
    """Write an envelope as KMS does, but for what is asked to be different."""
    return envelope_for((key or rsa_key()).public_key(), plaintext, **differences)


def envelope_for(
    key: rsa.RSAPublicKey,
    plaintext: bytes,
    *,
    cek: bytes | None = None,
    padded: bytes | None = None,
    rid: bytes | None = None,
    oaep: bytes = OAEP_SHA256,
    chunks: int = 1,
    recipients: int = 1,
    version: int = 2,
    iv_size: int = 16,
) -> bytes:
    """Write an envelope for somebody's public key."""
    cek = cek or os.urandom(32)
    iv = os.urandom(16)
    content = encrypt((cek * 2)[:32], iv, pad(plaintext) if padded is None else padded)
    step = -(-len(content) // chunks) or 1
    pieces = [
        tlv(0x04, content[start : start + step])
        for start in range(0, len(content), step)
    ]
    recipient = tlv(
        0x30,
        tlv(0x02, bytes([version]))
        + tlv(0x80, recipient_id(key) if rid is None else rid)
        + oaep
        + tlv(0x04, key.encrypt(cek, recipient_oaep())),
    )
    algorithm = bytes.fromhex("060960864801650304012a") + tlv(0x04, iv[:iv_size])
    return endless(
        0x30,
        bytes.fromhex("06092a864886f70d010703"),
        endless(
            0xA0,
            endless(
                0x30,
                tlv(0x02, bytes([version])),
                tlv(0x31, recipient * recipients),
                endless(
                    0x30,
                    bytes.fromhex("06092a864886f70d010701"),
                    tlv(0x30, algorithm),
                    endless(0xA0, *pieces),
                ),
            ),
        ),
    )

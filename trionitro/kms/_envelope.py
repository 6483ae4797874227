"""CiphertextForRecipient: CMS EnvelopedData, which KMS writes in BER.

Source: RFC 5652 §6, and answers of KMS as they are. One recipient, who is named by
the SHA-256 of his SubjectPublicKeyInfo; a content key of 32 bytes under
RSAES-OAEP with SHA-256; the content under AES-256-CBC, as one primitive value or in
chunks.

Nothing authenticates the content: what says that it is from KMS is the TLS
connection that it came on. After the parsing every failure is one and the same
error, so that none tells what was wrong with the padding. No I/O here.

"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final, NoReturn

import attrs
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.ber import decoder
from pyasn1.type import namedtype, tag, univ

from trionitro._exceptions import ProtocolError
from trionitro.kms._ber import check_ber_untrusted

__all__ = [
    "MAX_ENVELOPE_SIZE",
    "Envelope",
    "open_envelope_untrusted",
    "parse_envelope_untrusted",
    "recipient_id",
    "recipient_oaep",
]

#: ``CiphertextType`` of KMS's model has at most so many bytes.
MAX_ENVELOPE_SIZE: Final = 6144

#: Real answers have nine elements inside each other.
_MAX_DEPTH: Final = 16

_ENVELOPED_DATA: Final = "1.2.840.113549.1.7.3"
_DATA: Final = "1.2.840.113549.1.7.1"
_RSAES_OAEP: Final = "1.2.840.113549.1.1.7"
_AES256_CBC: Final = "2.16.840.1.101.3.4.1.42"

#: RSAES-OAEP-params (RFC 4055 §4.1): SHA-256, MGF1 with SHA-256, no label; just as
#: KMS writes them. Empty ones would mean SHA-1: answers of KMS's first years, which
#: nobody who asked for RSAES_OAEP_SHA_256 may take.
_OAEP_SHA256: Final = bytes.fromhex(
    "302fa00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"
)

_BLOCK: Final = 16
_CEK_SIZE: Final = 32


@cache
def _content_info() -> univ.Sequence:
    """Return RFC 5652's ContentInfo with its content told.

    ``pyasn1`` loses track of a content of any type when the lengths around it are
    indefinite.

    """
    # A third of a second, for those who never open an envelope: a broker, a proxy.
    from pyasn1_modules import rfc5652  # noqa: PLC0415

    return univ.Sequence(
        componentType=namedtype.NamedTypes(
            namedtype.NamedType("contentType", rfc5652.ContentType()),
            namedtype.NamedType(
                "content",
                rfc5652.EnvelopedData().subtype(
                    explicitTag=tag.Tag(
                        tag.tagClassContext, tag.tagFormatConstructed, 0
                    )
                ),
            ),
        )
    )


@attrs.frozen(kw_only=True)
class Envelope:
    """What is in a CiphertextForRecipient, taken apart and not yet opened.

    Attributes:
      recipient: the SHA-256 of the recipient's SubjectPublicKeyInfo.
      encrypted_key: the content key under RSAES-OAEP.
      iv: 16 bytes.
      content: AES-256-CBC, its chunks joined: whole blocks.

    """

    recipient: bytes
    encrypted_key: bytes = attrs.field(repr=False)
    iv: bytes = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)


def recipient_id(key: rsa.RSAPublicKey) -> bytes:
    """Return what KMS calls a recipient: the SHA-256 of his SubjectPublicKeyInfo."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def recipient_oaep() -> padding.OAEP:
    """Return the padding of RSAES_OAEP_SHA_256, the only one KMS knows."""
    return padding.OAEP(padding.MGF1(SHA256()), SHA256(), label=None)


def parse_envelope_untrusted(data: bytes) -> Envelope:
    """Take a CiphertextForRecipient apart.

    Raises:
      ProtocolError: if it is anything but one envelope of KMS's kind.

    """
    if len(data) > MAX_ENVELOPE_SIZE:
        raise ProtocolError(
            f"an envelope of {len(data)} bytes exceeds the limit of {MAX_ENVELOPE_SIZE}"
        )
    check_ber_untrusted(data, max_depth=_MAX_DEPTH)
    try:
        info, rest = decoder.decode(data, asn1Spec=_content_info())
        envelope = _read(info) if not rest else _refuse("trailing bytes")
    except ProtocolError:
        raise
    except Exception as problem:  # noqa: BLE001  pyasn1 names no family it keeps to
        raise ProtocolError(
            f"an envelope that is no EnvelopedData ({type(problem).__name__})"
        ) from None
    return envelope


def open_envelope_untrusted(data: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Decrypt a CiphertextForRecipient.

    Raises:
      ProtocolError: if it is no envelope, or not one for ``key``, or anything else
          is wrong with it; which of the last two is not told.

    """
    envelope = parse_envelope_untrusted(data)
    try:
        if envelope.recipient == recipient_id(key.public_key()):
            return _decrypt(envelope, key)
    except ValueError:
        pass
    raise ProtocolError("an envelope that this key doesn't open")


def _decrypt(envelope: Envelope, key: rsa.RSAPrivateKey) -> bytes:
    cek = key.decrypt(envelope.encrypted_key, recipient_oaep())
    if len(cek) != _CEK_SIZE:
        raise ValueError("no AES-256 key")
    cipher = Cipher(algorithms.AES(cek), modes.CBC(envelope.iv)).decryptor()
    padded = cipher.update(envelope.content) + cipher.finalize()
    unpadder = PKCS7(8 * _BLOCK).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _read(info: Any) -> Envelope:
    enveloped = info["content"]
    recipients = enveloped["recipientInfos"]
    if len(recipients) != 1 or recipients[0].getName() != "ktri":
        _refuse("not exactly one recipient with a key of his own")
    recipient, content = recipients[0]["ktri"], enveloped["encryptedContentInfo"]
    if (int(enveloped["version"]), int(recipient["version"])) != (2, 2):
        _refuse("versions other than 2 and 2")
    _check_types(info, recipient, content)
    return Envelope(
        recipient=_recipient(recipient["rid"]),
        encrypted_key=bytes(recipient["encryptedKey"]),
        iv=_iv(content["contentEncryptionAlgorithm"]["parameters"]),
        content=_whole_blocks(bytes(content["encryptedContent"])),
    )


def _check_types(info: Any, recipient: Any, content: Any) -> None:
    algorithm = recipient["keyEncryptionAlgorithm"]
    types = (
        str(info["contentType"]),
        str(content["contentType"]),
        str(algorithm["algorithm"]),
        str(content["contentEncryptionAlgorithm"]["algorithm"]),
    )
    if types != (_ENVELOPED_DATA, _DATA, _RSAES_OAEP, _AES256_CBC):
        _refuse(f"the types {', '.join(types)[:200]}")
    if bytes(algorithm["parameters"]) != _OAEP_SHA256:
        _refuse("an OAEP that is not with SHA-256")


def _recipient(rid: Any) -> bytes:
    if rid.getName() != "subjectKeyIdentifier":
        _refuse("a recipient named by something else than his key")
    return bytes(rid["subjectKeyIdentifier"])


def _iv(parameters: Any) -> bytes:
    value, rest = decoder.decode(bytes(parameters), asn1Spec=univ.OctetString())
    if rest or len(value) != _BLOCK:
        _refuse("an IV that is not 16 bytes")
    return bytes(value)


def _whole_blocks(content: bytes) -> bytes:
    if not content or len(content) % _BLOCK:
        _refuse(f"a content of {len(content)} bytes, which are no whole blocks")
    return content


def _refuse(what: str) -> NoReturn:
    raise ProtocolError(f"an envelope with {what}")

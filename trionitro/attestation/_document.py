"""What an attestation document says, before anybody has checked who says it.

The fields and their limits are those of AWS's specification
(``docs/attestation_process.md`` of aws-nitro-enclaves-nsm-api, §3.2.2), where real
documents keep to it: the optional fields are null in them and not absent, and since
2025 the map is of indefinite length.

"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, final

import attrs

from trionitro._cbor import decode_cbor_untrusted, expect_kind
from trionitro._exceptions import ProtocolError
from trionitro._structuring import quote
from trionitro.attestation._cose import (
    MAX_DOCUMENT_SIZE,
    CoseSign1,
    decode_cose_untrusted,
)
from trionitro.attestation._errors import MalformedDocument, NitroTpmDocument
from trionitro.attestation._times import time_of
from trionitro.nsm import MAX_ATTESTED_SIZE, PCR_COUNT, PCR_SIZE, ZERO_PCR

__all__ = [
    "IMAGE_PCRS",
    "DocumentContents",
    "UnverifiedDocument",
    "decode_attestation_untrusted",
    "read_document_untrusted",
]

T = TypeVar("T")

_MAX_CERTIFICATE_SIZE: Final = 1024

#: Which PCRs tell one image from another. In debug mode, all of them are zero.
IMAGE_PCRS: Final = (0, 1, 2)


def _read_only(pcrs: Mapping[int, bytes]) -> Mapping[int, bytes]:
    return MappingProxyType(dict(pcrs))


def _in_hex(pcrs: Mapping[int, bytes]) -> str:
    return repr({index: pcr.hex() for index, pcr in pcrs.items()})


@attrs.frozen(kw_only=True)
class DocumentContents:
    """The fields of a document, whoever wrote them."""

    module_id: str
    timestamp: dt.datetime
    pcrs: Mapping[int, bytes] = attrs.field(converter=_read_only, repr=_in_hex)
    certificate: bytes = attrs.field(repr=False)
    cabundle: tuple[bytes, ...] = attrs.field(repr=False)
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None

    @property
    def is_debug(self) -> bool:
        """Whether the enclave runs in debug mode, where nothing is measured."""
        return all(self.pcrs.get(index, ZERO_PCR) == ZERO_PCR for index in IMAGE_PCRS)

    @property
    def instance_id(self) -> str:
        """The parent's instance id, which the module id begins with."""
        return self.module_id.partition("-enc")[0]


@final
@attrs.frozen(kw_only=True)
class UnverifiedDocument(DocumentContents):
    """What somebody says who may be anybody. Show it, log it, and don't act on it.

    Attributes:
      module_id: whose it claims to be: ``<instance id>-enc<number>``.
      timestamp: when it claims to be made; to the millisecond, with the zone UTC.
      pcrs: by index; 48 bytes each. Only PCRs that were locked are listed.
      certificate: the signer's, as DER that may be no certificate at all.
      cabundle: those from the root to the signer's issuer, likewise.
      public_key: up to 1024 bytes in whatever form, or None where it is null.
      user_data: up to 1024 bytes, or None where it is null.
      nonce: up to 1024 bytes, or None where it is null.
      algorithm: what its signature claims to be made with, as a COSE number: -35 for
          all that AWS has signed.

    """

    algorithm: int | None


def decode_attestation_untrusted(data: bytes) -> UnverifiedDocument:
    """Decode a document and check nothing about who signed it.

    Args:
      data: a COSE_Sign1 of up to 16 KiB, as the security module returns it.

    Raises:
      MalformedDocument: if it is no attestation document.
      NitroTpmDocument: if it is one, and not an enclave's.

    """
    return read_document_untrusted(decode_cose_untrusted(data))


def read_document_untrusted(envelope: CoseSign1) -> UnverifiedDocument:
    """Read the document in an envelope.

    Raises:
      MalformedDocument: if it is no attestation document.
      NitroTpmDocument: if it is one, and not an enclave's.

    """
    try:
        payload = decode_cbor_untrusted(envelope.payload, max_size=MAX_DOCUMENT_SIZE)
        return _read(expect_kind(payload, dict, "the payload"), envelope.algorithm)
    except ProtocolError as problem:
        raise MalformedDocument(str(problem)) from None


def _read(fields: dict[Any, object], algorithm: int | None) -> UnverifiedDocument:
    for key in fields:
        expect_kind(key, str, "a key of the payload")
    module_id = _field(fields, "module_id", str)
    if not module_id:
        raise ProtocolError("the field 'module_id' is empty")
    if "nitrotpm_pcrs" in fields:
        raise NitroTpmDocument(module_id)
    digest = _field(fields, "digest", str)
    if digest != "SHA384":
        raise ProtocolError(f"the digest is {quote(digest)}, must be 'SHA384'")
    return UnverifiedDocument(
        module_id=module_id,
        timestamp=_read_timestamp(_field(fields, "timestamp", int)),
        pcrs=_read_pcrs(_field(fields, "pcrs", dict)),
        certificate=_read_certificate(
            _field(fields, "certificate", bytes), "the certificate"
        ),
        cabundle=_read_cabundle(_field(fields, "cabundle", list)),
        public_key=_read_optional(fields, "public_key"),
        user_data=_read_optional(fields, "user_data"),
        nonce=_read_optional(fields, "nonce"),
        algorithm=algorithm,
    )


def _field(fields: dict[Any, object], name: str, kind: type[T]) -> T:
    if name not in fields:
        raise ProtocolError(f"the field {name!r} is missing")
    return expect_kind(fields[name], kind, f"the field {name!r}")


def _read_timestamp(milliseconds: int) -> dt.datetime:
    timestamp = time_of(milliseconds) if milliseconds > 0 else None
    if timestamp is None:
        raise ProtocolError(
            f"the timestamp {milliseconds} is no time of day since 1970"
        )
    return timestamp


def _read_pcrs(pcrs: dict[Any, object]) -> dict[int, bytes]:
    if not pcrs:
        raise ProtocolError("there are no PCRs")
    for index in pcrs:
        if not 0 <= expect_kind(index, int, "the index of a PCR") < PCR_COUNT:
            raise ProtocolError(f"there is no PCR {index}: they go from 0 to 31")
    return {index: _read_pcr(index, pcrs[index]) for index in sorted(pcrs)}


def _read_pcr(index: int, value: object) -> bytes:
    pcr = expect_kind(value, bytes, f"PCR{index}")
    if len(pcr) != PCR_SIZE:
        raise ProtocolError(f"PCR{index} has {len(pcr)} bytes, must have {PCR_SIZE}")
    return pcr


def _read_cabundle(certificates: list[object]) -> tuple[bytes, ...]:
    if not certificates:
        raise ProtocolError("the cabundle is empty")
    return tuple(
        _read_certificate(value, f"certificate {position} of the cabundle")
        for position, value in enumerate(certificates)
    )


def _read_certificate(value: object, what: str) -> bytes:
    certificate = expect_kind(value, bytes, what)
    if not 1 <= len(certificate) <= _MAX_CERTIFICATE_SIZE:
        raise ProtocolError(
            f"{what} has {len(certificate)} bytes, must have from 1 to"
            f" {_MAX_CERTIFICATE_SIZE}"
        )
    return certificate


def _read_optional(fields: dict[Any, object], name: str) -> bytes | None:
    # The specification says "optional" and "no field can be null"; real documents
    # have null and leave out nothing.
    if fields.get(name) is None:
        return None
    value = _field(fields, name, bytes)
    if len(value) > MAX_ATTESTED_SIZE:
        raise ProtocolError(
            f"the field {name!r} has {len(value)} bytes, and may have"
            f" {MAX_ATTESTED_SIZE}"
        )
    return value

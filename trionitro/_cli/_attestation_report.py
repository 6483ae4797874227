"""What is in an attestation document, for people and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from trionitro._cli._output import in_red
from trionitro._structuring import quote
from trionitro.attestation import (
    AWS_NITRO_ROOTS,
    AttestationDocument,
    ChainCertificate,
    MalformedCertificate,
    UnverifiedDocument,
    read_certificate_untrusted,
)
from trionitro.nsm import ZERO_PCR, measure_instance, pcr_meaning

__all__ = ["as_json", "as_lines"]

Document = AttestationDocument | UnverifiedDocument

#: So many bytes of a field are shown to people.
_LONGEST_HEX: Final = 64

_AWS_ROOTS: Final = frozenset(
    root.public_bytes(Encoding.DER) for root in AWS_NITRO_ROOTS
)

_DEBUG: Final = (
    "DEBUG: PCR0, PCR1 and PCR2 are zero, so nothing is known about what runs in this"
    " enclave, and its parent reads its console"
)

#: How to say how long something is: up to so many of the next, and how many seconds.
_UNITS: Final = (("second", 120, 1), ("minute", 120, 60), ("hour", 48, 3600))


def as_json(document: Document) -> dict[str, object]:
    """Return all that a document says; bytes are in hexadecimal.

    Whether anybody has verified it is for the caller to add.

    """
    return {
        "module_id": document.module_id,
        "instance_id": document.instance_id,
        "timestamp": _iso(document.timestamp),
        "digest": "SHA384",
        "debug": document.is_debug,
        "pcrs": {str(index): pcr.hex() for index, pcr in document.pcrs.items()},
        "public_key": _hex_or_none(document.public_key),
        "user_data": _hex_or_none(document.user_data),
        "nonce": _hex_or_none(document.nonce),
        "aws_root": document.cabundle[0] in _AWS_ROOTS,
        "certificates": [_certificate_json(each) for each in _certificates(document)],
    }


def as_lines(document: Document, now: dt.datetime) -> Iterator[str]:
    """Yield the lines that show a document to people.

    Args:
      document: what to show.
      now: the present time, to say how old everything is.

    """
    yield f"enclave      {_plain(document.module_id)}"
    yield f"instance     {_plain(document.instance_id)}"
    yield f"made         {_iso(document.timestamp)}, {_ago(now - document.timestamp)}"
    yield f"mode         {in_red(_DEBUG) if document.is_debug else 'production'}"
    if isinstance(document, UnverifiedDocument):
        yield f"algorithm    {_algorithm(document.algorithm)}"
    yield f"public key   {_field(document.public_key)}"
    yield f"user data    {_field(document.user_data)}"
    yield f"nonce        {_field(document.nonce)}"
    yield ""
    yield from _pcr_lines(document)
    yield ""
    yield "certificates, from the root to who signed:"
    for position, certificate in enumerate(_certificates(document)):
        yield from _certificate_lines(position, certificate, now)


def _pcr_lines(document: Document) -> Iterator[str]:
    zero = [index for index, pcr in document.pcrs.items() if pcr == ZERO_PCR]
    for index, pcr in document.pcrs.items():
        if pcr != ZERO_PCR:
            yield f"PCR{index:<3} {pcr_meaning(index)}{_remark(index, document)}"
            yield f"       {pcr.hex()}"
    if zero:
        yield f"zero   {', '.join(f'PCR{index}' for index in zero)}"


def _remark(index: int, document: Document) -> str:
    if index != 4:
        return ""
    is_its_own = document.pcrs[index] == measure_instance(document.instance_id)
    return ", as above" if is_its_own else in_red(", and not the one above")


def _certificates(
    document: Document,
) -> Iterable[ChainCertificate | MalformedCertificate]:
    for position, der in enumerate((*document.cabundle, document.certificate)):
        try:
            yield read_certificate_untrusted(der, position)
        except MalformedCertificate as problem:
            yield problem


def _certificate_json(
    certificate: ChainCertificate | MalformedCertificate,
) -> Mapping[str, Any]:
    if isinstance(certificate, MalformedCertificate):
        return {"error": str(certificate)}
    return {
        "subject": certificate.certificate.subject.rfc4514_string(),
        "issuer": certificate.certificate.issuer.rfc4514_string(),
        "not_before": _iso(certificate.not_before),
        "not_after": _iso(certificate.not_after),
        "sha256": certificate.certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _certificate_lines(
    position: int,
    certificate: ChainCertificate | MalformedCertificate,
    now: dt.datetime,
) -> Iterator[str]:
    if isinstance(certificate, MalformedCertificate):
        yield f"{position}  {in_red(f'no certificate: {certificate.reason}')}"
        return
    root = f": {_root(certificate)}" if position == 0 else ""
    yield f"{position}  {_plain(certificate.name)}{root}"
    yield (
        f"   {_iso(certificate.not_before)} to {_iso(certificate.not_after)},"
        f" {_validity(certificate, now)}"
    )


def _root(certificate: ChainCertificate) -> str:
    if certificate.certificate.public_bytes(Encoding.DER) in _AWS_ROOTS:
        return "AWS's root"
    fingerprint = certificate.certificate.fingerprint(hashes.SHA256())
    return in_red(f"not AWS's root (its SHA-256 is {fingerprint.hex()})")


def _validity(certificate: ChainCertificate, now: dt.datetime) -> str:
    if now > certificate.not_after:
        return f"expired {_ago(now - certificate.not_after)}"
    if now < certificate.not_before:
        return "not valid yet"
    return "valid now"


def _algorithm(number: int | None) -> str:
    if number == -35:
        return "ES384"
    return in_red(f"{number}, which is not ES384: nobody has signed this as AWS does")


def _field(value: bytes | None) -> str:
    if value is None:
        return "null"
    if not value:
        return "empty, which is not null"
    cut = "…" if len(value) > _LONGEST_HEX else ""
    return f"{len(value)} bytes: {value[:_LONGEST_HEX].hex()}{cut}"


def _plain(text: str) -> str:
    """Return a text of somebody unknown so that it can't do things to a terminal."""
    return text if text.isprintable() and text.isascii() else quote(text)


def _hex_or_none(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _iso(time: dt.datetime) -> str:
    digits = "milliseconds" if time.microsecond else "seconds"
    return time.isoformat(timespec=digits).replace("+00:00", "Z")


def _ago(age: dt.timedelta) -> str:
    seconds = abs(age.total_seconds())
    for name, limit, size in (*_UNITS, ("day", float("inf"), 86_400)):
        count = int(seconds // size)
        if count < limit:
            words = f"{count} {name}{'' if count == 1 else 's'}"
            return f"{words} ago" if age >= dt.timedelta(0) else f"in {words}"
    raise AssertionError("there is no end of days")

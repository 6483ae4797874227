"""The certificates of a document, read once: what the rules of a chain look at."""

from __future__ import annotations

import datetime as dt
from typing import Final, TypeVar

import attrs
from cryptography import x509
from cryptography.x509.oid import NameOID

from trionitro._structuring import quote
from trionitro.attestation._chain_errors import MalformedCertificate

__all__ = ["ChainCertificate", "read_certificate_untrusted"]

E = TypeVar("E", bound=x509.ExtensionType)

_UNNAMED: Final = "(no common name)"


@attrs.frozen(kw_only=True)
class ChainCertificate:
    """A certificate, and where it is in its chain.

    Attributes:
      certificate: the certificate.
      name: the subject's common name, for people.
      subject: whose it is.
      issuer: who issued it.
      not_before: from when on it is valid.
      not_after: until when it is valid.
      constraints: whether it is an authority's, if it says so.
      usage: what its key may do, if it says so.
      critical: the extensions that must be understood, as dotted OIDs.

    """

    certificate: x509.Certificate
    name: str
    subject: x509.Name
    issuer: x509.Name
    not_before: dt.datetime
    not_after: dt.datetime
    constraints: x509.BasicConstraints | None
    usage: x509.KeyUsage | None
    critical: frozenset[str]


def read_certificate_untrusted(der: bytes, position: int) -> ChainCertificate:
    """Read a certificate, and all of it that is looked at later.

    Args:
      der: the certificate.
      position: where it is in its chain; for the error.

    Raises:
      MalformedCertificate: if it is none.

    """
    try:
        return _read(x509.load_der_x509_certificate(der))
    except Exception as problem:
        # cryptography parses lazily, and has a dozen kinds of exceptions, and of
        # warnings, for what can be wrong. All of them mean the same here.
        raise MalformedCertificate(position, quote(str(problem))) from problem


def _read(certificate: x509.Certificate) -> ChainCertificate:
    extensions, subject = certificate.extensions, certificate.subject
    return ChainCertificate(
        certificate=certificate,
        name=_common_name(subject),
        subject=subject,
        issuer=certificate.issuer,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        constraints=_extension(extensions, x509.BasicConstraints),
        usage=_extension(extensions, x509.KeyUsage),
        critical=frozenset(
            extension.oid.dotted_string
            for extension in extensions
            if extension.critical
        ),
    )


def _common_name(name: x509.Name) -> str:
    for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME):
        return str(attribute.value)
    return _UNNAMED


def _extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None

"""What can be wrong with the certificates of a document.

Subjects are those of certificates that nobody vouches for: the messages quote them.

"""

from __future__ import annotations

import datetime as dt

import attrs

from trionitro._structuring import quote
from trionitro.attestation._errors import AttestationError
from trionitro.attestation._times import show_time

__all__ = [
    "CertificateExpired",
    "CertificateNotYetValid",
    "LeafIsAuthority",
    "MalformedCertificate",
    "NotAnAuthority",
    "PathTooLong",
    "UnknownCriticalExtension",
    "UntrustedChain",
    "UntrustedRoot",
    "WrongKeyUsage",
    "WrongOrder",
]


class UntrustedChain(AttestationError):
    """Raised when the certificates don't lead from a trusted root to the signer."""


@attrs.frozen
class MalformedCertificate(UntrustedChain):
    """Raised when what should be a certificate is none.

    Attributes:
      position: in the chain; the root is 0.
      reason: what is wrong with it.

    """

    position: int
    reason: str

    def __str__(self) -> str:
        return f"certificate {self.position} of the chain is none: {self.reason}"


@attrs.frozen
class UntrustedRoot(UntrustedChain):
    """Raised when the chain begins with a certificate that nobody said to trust.

    Attributes:
      fingerprint: the certificate's SHA-256.

    """

    fingerprint: bytes

    def __str__(self) -> str:
        return (
            "the root of the chain is none of those that are trusted: its SHA-256 is"
            f" {self.fingerprint.hex()}"
        )


@attrs.frozen
class WrongOrder(UntrustedChain):
    """Raised when a certificate is not followed by one that it issued.

    Attributes:
      subject: of the certificate that comes too early, or in place of another.
      issuer: who should come before it.

    """

    subject: str
    issuer: str

    def __str__(self) -> str:
        return (
            f"the chain is out of order: {quote(self.subject)} doesn't follow its"
            f" issuer {quote(self.issuer)}, or its name comes twice"
        )


@attrs.frozen
class CertificateExpired(UntrustedChain):
    """Raised when a certificate was no longer valid.

    Attributes:
      subject: whose it is.
      not_after: until when it was valid.
      at: the time of verification.

    """

    subject: str
    not_after: dt.datetime
    at: dt.datetime

    def __str__(self) -> str:
        return (
            f"the certificate of {quote(self.subject)} expired at"
            f" {show_time(self.not_after)}; it was verified at {show_time(self.at)}."
            " A document from an archive is verified at its own timestamp"
        )


@attrs.frozen
class CertificateNotYetValid(UntrustedChain):
    """Raised when a certificate was not valid yet.

    Attributes:
      subject: whose it is.
      not_before: from when on it is valid.
      at: the time of verification.

    """

    subject: str
    not_before: dt.datetime
    at: dt.datetime

    def __str__(self) -> str:
        return (
            f"the certificate of {quote(self.subject)} is valid only from"
            f" {show_time(self.not_before)} on; it was verified at"
            f" {show_time(self.at)}: is the clock right?"
        )


@attrs.frozen
class NotAnAuthority(UntrustedChain):
    """Raised when an issuer is no certificate authority.

    Attributes:
      subject: of its certificate.

    """

    subject: str

    def __str__(self) -> str:
        return f"{quote(self.subject)} has issued a certificate, and is no authority"


@attrs.frozen
class LeafIsAuthority(UntrustedChain):
    """Raised when the signer of a document is a certificate authority.

    Attributes:
      subject: of its certificate.

    """

    subject: str

    def __str__(self) -> str:
        return (
            f"{quote(self.subject)} has signed the document, and is a certificate"
            " authority, which signs none"
        )


@attrs.frozen
class PathTooLong(UntrustedChain):
    """Raised when more authorities stand below one than it allows.

    Attributes:
      subject: of the certificate that sets the limit.
      path_length: how many it allows.
      below: how many there are.

    """

    subject: str
    path_length: int
    below: int

    def __str__(self) -> str:
        return (
            f"{quote(self.subject)} allows {self.path_length} authorities"
            f" below it, and there are {self.below}"
        )


@attrs.frozen
class WrongKeyUsage(UntrustedChain):
    """Raised when a key was used for what its certificate doesn't allow.

    Attributes:
      subject: of the certificate.
      usage: what it doesn't allow, as X.509 calls it.

    """

    subject: str
    usage: str

    def __str__(self) -> str:
        return f"the certificate of {quote(self.subject)} doesn't allow {self.usage}"


@attrs.frozen
class UnknownCriticalExtension(UntrustedChain):
    """Raised when a certificate has a critical extension that nobody here knows.

    Attributes:
      subject: of the certificate.
      oid: of the extension, in dotted form.

    """

    subject: str
    oid: str

    def __str__(self) -> str:
        return (
            f"the certificate of {quote(self.subject)} must be refused by whoever"
            f" doesn't know its extension {self.oid}, and here it isn't known"
        )

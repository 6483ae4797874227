"""What can be otherwise than a policy asks for, in a document that is genuine."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar, Final

import attrs

from trionitro._structuring import quote
from trionitro.attestation._errors import AttestationError
from trionitro.attestation._times import show_time

__all__ = [
    "DebugEnclave",
    "DocumentFromFuture",
    "DocumentTooOld",
    "ModuleIdMismatch",
    "NonceMismatch",
    "PcrMismatch",
    "PolicyMismatch",
    "PublicKeyMismatch",
    "UserDataMismatch",
]

#: So many bytes of a field are shown: enough to tell one from another.
_LONGEST_HEX: Final = 64


class PolicyMismatch(AttestationError):
    """Raised when a document is genuine, and not what the policy asks for."""


class DebugEnclave(PolicyMismatch):
    """Raised when an enclave runs in debug mode, which measures nothing.

    AWS signs the documents of such an enclave like those of any other, and its
    parent reads its console.

    """

    def __str__(self) -> str:
        return (
            "the enclave runs in debug mode (PCR0, PCR1 and PCR2 are zero): nothing is"
            " known about what runs in it"
        )


@attrs.frozen
class PcrMismatch(PolicyMismatch):
    """Raised when a PCR is not what it has to be.

    Attributes:
      index: of the PCR.
      expected: what it has to be.
      actual: what it is, or None if the document doesn't list it.

    """

    index: int
    expected: bytes
    actual: bytes | None

    def __str__(self) -> str:
        actual = "missing" if self.actual is None else self.actual.hex()
        return f"PCR{self.index} is {actual}, must be {self.expected.hex()}"


@attrs.frozen
class _FieldMismatch(PolicyMismatch):
    expected: bytes
    actual: bytes | None

    field: ClassVar[str]

    def __str__(self) -> str:
        return f"the {self.field} is {_hex(self.actual)}, must be {_hex(self.expected)}"


class NonceMismatch(_FieldMismatch):
    """Raised when the nonce is not the one that was asked for.

    Attributes:
      expected: what it has to be.
      actual: what it is, or None where it is null, which is not an empty one.

    """

    field = "nonce"


class UserDataMismatch(_FieldMismatch):
    """Raised when the user data is not what it has to be.

    Attributes:
      expected: what it has to be.
      actual: what it is, or None where it is null, which is not an empty one.

    """

    field = "user data"


class PublicKeyMismatch(_FieldMismatch):
    """Raised when the public key is not, to the byte, the one that it has to be.

    Attributes:
      expected: what it has to be.
      actual: what it is, or None where it is null, which is not an empty one.

    """

    field = "public key"


@attrs.frozen
class ModuleIdMismatch(PolicyMismatch):
    """Raised when it is another enclave's document.

    Attributes:
      expected: whose it has to be.
      actual: whose it is.

    """

    expected: str
    actual: str

    def __str__(self) -> str:
        return f"the enclave is {quote(self.actual)}, must be {quote(self.expected)}"


@attrs.frozen
class DocumentTooOld(PolicyMismatch):
    """Raised when a document was made too long ago.

    Attributes:
      timestamp: when it was made.
      at: the time of verification.
      max_age: how long before that it may have been made.

    """

    timestamp: dt.datetime
    at: dt.datetime
    max_age: dt.timedelta

    def __str__(self) -> str:
        age = (self.at - self.timestamp).total_seconds()
        return (
            f"the document was made at {show_time(self.timestamp)}, {age:.0f} seconds"
            f" before it was verified, and may be {self.max_age.total_seconds():g}"
            " seconds old"
        )


@attrs.frozen
class DocumentFromFuture(PolicyMismatch):
    """Raised when a document claims to be made after it was verified.

    Attributes:
      timestamp: when it claims to be made.
      at: the time of verification.
      max_skew: how much later it may be, because no two clocks agree.

    """

    timestamp: dt.datetime
    at: dt.datetime
    max_skew: dt.timedelta

    def __str__(self) -> str:
        return (
            f"the document claims to be made at {show_time(self.timestamp)}, which is"
            f" more than {self.max_skew.total_seconds():g} seconds after"
            f" {show_time(self.at)}, when it was verified: is the clock right?"
        )


def _hex(value: bytes | None) -> str:
    if value is None:
        return "null"
    shown = value[:_LONGEST_HEX].hex() or "empty"
    if len(value) > _LONGEST_HEX:
        return f"{shown}… ({len(value)} bytes)"
    return shown

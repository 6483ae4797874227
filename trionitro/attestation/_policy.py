"""What somebody who verifies documents wants of them, beyond that they are genuine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, final

import attrs

from trionitro._exceptions import ConfigError
from trionitro.attestation._document import IMAGE_PCRS
from trionitro.attestation._policy_errors import (
    DebugEnclave,
    DocumentFromFuture,
    DocumentTooOld,
    ModuleIdMismatch,
    NonceMismatch,
    PcrMismatch,
    PublicKeyMismatch,
    UserDataMismatch,
)
from trionitro.attestation._times import At, now
from trionitro.attestation._verified import AttestationDocument
from trionitro.nsm import PCR_COUNT, PCR_SIZE, ZERO_PCR

__all__ = ["AttestationPolicy"]

#: How far two clocks may be apart before one of them is taken to be wrong. Kerberos
#: and KMS think the same.
_MAX_SKEW: Final = dt.timedelta(minutes=5)


def _to_pcr(index: int, value: bytes | str) -> bytes:
    if not 0 <= index < PCR_COUNT:
        raise ConfigError(f"pcrs: there is no PCR {index}: they go from 0 to 31")
    try:
        pcr = bytes.fromhex(value) if isinstance(value, str) else bytes(value)
    except ValueError:
        raise ConfigError(f"pcrs: PCR{index} is not in hexadecimal") from None
    if len(pcr) != PCR_SIZE:
        raise ConfigError(
            f"pcrs: PCR{index} has {len(pcr)} bytes, must have {PCR_SIZE}, which are"
            f" {2 * PCR_SIZE} digits"
        )
    return pcr


def _to_pcrs(pcrs: Mapping[int, bytes | str]) -> Mapping[int, bytes]:
    return MappingProxyType(
        {index: _to_pcr(index, pcrs[index]) for index in sorted(pcrs)}
    )


def _to_duration(value: float | dt.timedelta | None) -> dt.timedelta | None:
    if value is None or isinstance(value, dt.timedelta):
        return value
    try:
        return dt.timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise ConfigError(f"max_age must be a number of seconds, was {value}") from None


def _not_negative(
    instance: object, attribute: attrs.Attribute[Any], value: dt.timedelta | None
) -> None:
    if value is not None and value < dt.timedelta(0):
        raise ConfigError(f"{attribute.name} must not be negative, was {value}")


@final
@attrs.frozen(kw_only=True)
class AttestationPolicy:
    """What a document has to say; what is left out may be anything.

    Without any PCR, any enclave of anybody's will do, as long as it isn't in debug
    mode: give PCR0 (the image), or PCR8 (who signed the image), unless you only want
    to look.

    Attributes:
      pcrs: those that must have these values: 48 bytes, or their hexadecimal digits.
          One that a document doesn't list is a mismatch.
      nonce: what you gave to the enclave, so that the document can't be an old one.
      user_data: the user data, to the byte. ``b""`` is not null.
      public_key: the public key, to the byte.
      max_age: how long ago the document may have been made, in seconds or as a
          timedelta. Without it, it is three hours, for which certificates are valid.
      module_id: the enclave's own name.
      allow_debug: whether an enclave in debug mode will do.
      max_skew: by how much a document's timestamp may be in the future.

    Raises:
      ConfigError: if it can't be met; also if a PCR of the image is to be zero, which
          is what an enclave in debug mode has, unless ``allow_debug``.

    """

    pcrs: Mapping[int, bytes] = attrs.field(factory=dict, converter=_to_pcrs)
    nonce: bytes | None = None
    user_data: bytes | None = None
    public_key: bytes | None = attrs.field(default=None, repr=False)
    max_age: dt.timedelta | None = attrs.field(
        default=None, converter=_to_duration, validator=_not_negative
    )
    module_id: str | None = None
    allow_debug: bool = False
    max_skew: dt.timedelta = attrs.field(default=_MAX_SKEW, validator=_not_negative)

    def __attrs_post_init__(self) -> None:
        if self.allow_debug:
            return
        for index in IMAGE_PCRS:
            if self.pcrs.get(index) == ZERO_PCR:
                raise ConfigError(
                    f"pcrs: PCR{index} is zero in debug mode only, for whatever image:"
                    " give the value that was printed when the image was built, or"
                    " allow debug mode"
                )

    def check(
        self, document: AttestationDocument, *, at: dt.datetime | At | None = None
    ) -> None:
        """Return if ``document`` is what this policy asks for.

        :func:`.verify_attestation` does this. To try several policies on one
        document, verify it once.

        Args:
          document: what was verified.
          at: the time to reckon its age from; None for now. At the document's own
              timestamp it has no age, and only ``max_age``, if there is one, is held
              against now.

        Raises:
          PolicyMismatch: if it isn't; the subclass says in what.

        """
        if document.is_debug and not self.allow_debug:
            raise DebugEnclave
        if self.module_id not in (None, document.module_id):
            raise ModuleIdMismatch(self.module_id, document.module_id)
        for index, expected in self.pcrs.items():
            actual = document.pcrs.get(index)
            if actual != expected:
                raise PcrMismatch(index, expected, actual)
        self._check_fields(document)
        self._check_age(document.timestamp, at)

    def _check_fields(self, document: AttestationDocument) -> None:
        for expected, actual, mismatch in (
            (self.nonce, document.nonce, NonceMismatch),
            (self.user_data, document.user_data, UserDataMismatch),
            (self.public_key, document.public_key, PublicKeyMismatch),
        ):
            if expected is not None and actual != expected:
                raise mismatch(expected, actual)

    def _check_age(self, timestamp: dt.datetime, at: dt.datetime | At | None) -> None:
        if at is At.DOCUMENT_TIMESTAMP and self.max_age is None:
            return
        reference = at if isinstance(at, dt.datetime) else now()
        if timestamp - reference > self.max_skew:
            raise DocumentFromFuture(timestamp, reference, self.max_skew)
        if self.max_age is not None and reference - timestamp > self.max_age:
            raise DocumentTooOld(timestamp, reference, self.max_age)

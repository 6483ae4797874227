"""The registers of an emulated security module, and what they hold after boot."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from trionitro.nsm import (
    FIRST_FREE_PCR,
    PCR_COUNT,
    PCR_SIZE,
    ZERO_PCR,
    NsmErrorCode,
    extend,
    measure_instance,
    measure_role,
)

__all__ = ["BootMeasurements", "PcrBank", "PcrRefusedError"]

#: Those that are zero in debug mode. PCR3 and PCR4 never are because of it.
_ZERO_IN_DEBUG_MODE: Final = (0, 1, 2, 8)


class PcrRefusedError(Exception):
    """Raised when a PCR doesn't exist, or can't be changed."""

    def __init__(self, code: NsmErrorCode) -> None:
        """Take what the module answers."""
        super().__init__(code)
        self.code = code


def _stand_in(name: str) -> bytes:
    """Measure something that doesn't exist: zeros would stand for debug mode."""
    return extend(ZERO_PCR, hashlib.sha384(f"emulated {name}".encode()).digest())


def _a_pcr(instance: object, attribute: attrs.Attribute[Any], value: bytes) -> None:
    if len(value) != PCR_SIZE:
        raise ValueError(f"{attribute.name} has {len(value)} bytes, must have 48")


@attrs.frozen(kw_only=True)
class BootMeasurements:
    """What the hypervisor measured before an enclave began to run.

    Attributes:
      pcr0: of the whole image, 48 bytes.
      pcr1: of its kernel, command line and boot ramdisk, 48 bytes.
      pcr2: of its other ramdisks, 48 bytes.
      role_arn: the IAM role of the parent, measured into PCR3, if it has one.
      instance_id: the parent, measured into PCR4.
      pcr8: of the certificate that the image was signed with, if it was, 48 bytes.
      debug_mode: whether PCR0, 1, 2 and 8 are zero in place of all that.

    """

    pcr0: bytes = attrs.field(default=_stand_in("image"), validator=_a_pcr)
    pcr1: bytes = attrs.field(default=_stand_in("kernel"), validator=_a_pcr)
    pcr2: bytes = attrs.field(default=_stand_in("application"), validator=_a_pcr)
    role_arn: str | None = None
    instance_id: str = "i-0123456789abcdef0"
    pcr8: bytes = attrs.field(default=ZERO_PCR, validator=_a_pcr)
    debug_mode: bool = False

    def pcrs(self) -> Mapping[int, bytes]:
        """Return the PCRs that are not zero at boot."""
        measured = {
            0: self.pcr0,
            1: self.pcr1,
            2: self.pcr2,
            3: ZERO_PCR if self.role_arn is None else measure_role(self.role_arn),
            4: measure_instance(self.instance_id),
            8: self.pcr8,
        }
        if self.debug_mode:
            measured |= dict.fromkeys(_ZERO_IN_DEBUG_MODE, ZERO_PCR)
        return {index: pcr for index, pcr in measured.items() if pcr != ZERO_PCR}


@final
@attrs.define(eq=False, init=False)
class PcrBank:
    """32 PCRs, of which the first 16 are locked from the start."""

    _values: list[bytes]
    _locked: set[int]

    def __init__(self, measured: Mapping[int, bytes]) -> None:
        """Take the PCRs that are not zero at boot."""
        self._values = [measured.get(index, ZERO_PCR) for index in range(PCR_COUNT)]
        self._locked = set(range(FIRST_FREE_PCR))

    @property
    def locked(self) -> frozenset[int]:
        """The indices of those that are read-only."""
        return frozenset(self._locked)

    def attested(self) -> Mapping[int, bytes]:
        """Return the PCRs that a document lists: those that are locked."""
        return {index: self._values[index] for index in sorted(self._locked)}

    def value(self, index: int) -> bytes:
        """Return a PCR.

        Raises:
          PcrRefusedError: if there is none.

        """
        self._check(index)
        return self._values[index]

    def extend(self, index: int, data: bytes) -> bytes:
        """Extend a PCR, and return its new value.

        Raises:
          PcrRefusedError: if there is none, or it is locked.

        """
        self._check_free(index)
        self._values[index] = extend(self._values[index], data)
        return self._values[index]

    def lock(self, index: int) -> None:
        """Lock a PCR.

        Raises:
          PcrRefusedError: if there is none, or it is locked.

        """
        self._check_free(index)
        self._locked.add(index)

    def lock_below(self, count: int) -> None:
        """Lock the first ``count`` PCRs, whether they are locked or not.

        Raises:
          PcrRefusedError: if there are not so many.

        """
        if count > PCR_COUNT:
            raise PcrRefusedError(NsmErrorCode.INVALID_INDEX)
        self._locked.update(range(count))

    def _check(self, index: int) -> None:
        if index >= PCR_COUNT:
            raise PcrRefusedError(NsmErrorCode.INVALID_INDEX)

    def _check_free(self, index: int) -> None:
        self._check(index)
        if index in self._locked:
            raise PcrRefusedError(NsmErrorCode.READ_ONLY_INDEX)

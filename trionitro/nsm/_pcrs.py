"""Platform configuration registers: what they measure, and how they come about.

A PCR is 48 bytes that can't be set, only extended: its new value is the SHA-384 of
the old one and the data. The formulas are those of AWS's user guide ("Where to get an
enclave's measurements") and of QEMU's ``hw/i386/nitro_enclave.c``.

"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = [
    "FIRST_FREE_PCR",
    "PCR_COUNT",
    "PCR_SIZE",
    "ZERO_PCR",
    "check_pcr_index",
    "extend",
    "measure_certificate",
    "measure_instance",
    "measure_role",
    "pcr_condition",
    "pcr_meaning",
]

#: How many PCRs there are.
PCR_COUNT: Final = 32

#: The first that is the application's own; those before it are locked from boot.
FIRST_FREE_PCR: Final = 16

#: How many bytes a PCR has: those of a SHA-384.
PCR_SIZE: Final = 48

#: A PCR that nothing was measured into.
ZERO_PCR: Final = bytes(PCR_SIZE)

_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "the enclave's image",
        1: "its kernel, command line and boot ramdisk",
        2: "its other ramdisks: the application",
        3: "the IAM role of the parent",
        4: "the instance id of the parent",
        8: "the certificate that the image was signed with",
    }
)


def pcr_meaning(index: int) -> str:
    """Say what a PCR measures.

    Raises:
      ValueError: if there is no such PCR.

    """
    check_pcr_index(index)
    if index >= FIRST_FREE_PCR:
        return "what the application extends it with"
    return _MEANINGS.get(index, "nothing (reserved)")


def pcr_condition(index: int) -> str:
    """Name the condition key by which a KMS key policy asks for a PCR.

    Raises:
      ValueError: if there is no such PCR.

    """
    check_pcr_index(index)
    return f"kms:RecipientAttestation:PCR{index}"


def check_pcr_index(index: int) -> None:
    """Refuse a number that no PCR has.

    Raises:
      ValueError: if there is no such PCR.

    """
    if not 0 <= index < PCR_COUNT:
        raise ValueError(f"a PCR's index is from 0 to {PCR_COUNT - 1}, not {index}")


def extend(value: bytes, data: bytes) -> bytes:
    """Compute what a PCR of ``value`` becomes when it is extended with ``data``."""
    return hashlib.sha384(value + data).digest()


def measure_role(arn: str) -> bytes:
    """Compute PCR3 of an enclave whose parent has this IAM role.

    Args:
      arn: the role's, such as ``arn:aws:iam::123456789012:role/name``; not that of
          the instance profile, nor of a session.

    """
    return extend(ZERO_PCR, arn.encode())


def measure_instance(instance_id: str) -> bytes:
    """Compute PCR4 of an enclave on this instance, such as ``i-0123456789abcdef0``."""
    return extend(ZERO_PCR, instance_id.encode())


def measure_certificate(der: bytes) -> bytes:
    """Compute PCR8 of an image that was signed with this certificate, given as DER."""
    return extend(ZERO_PCR, hashlib.sha384(der).digest())

"""The condition keys that come out of a recipient's attestation document.

Source: "AWS KMS condition keys for AWS Nitro Enclaves" of the KMS Developer Guide.
They have one value each, in lower-case hexadecimal, and are there only when the
request has a Recipient with a document that KMS has verified.

"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["IMAGE_KEY", "PREFIX", "Measured", "pcr_key", "pcr_of", "recipient_keys"]

PREFIX: Final = "kms:RecipientAttestation:"

#: PCR0 by its other name.
IMAGE_KEY: Final = f"{PREFIX}ImageSha384"


class Measured(Protocol):
    """An attestation document, as far as a policy looks at one."""

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        """The PCRs, by their index."""


def pcr_key(index: int) -> str:
    """Return the condition key of a PCR."""
    return f"{PREFIX}PCR{index}"


def pcr_of(key: str) -> int | None:
    """Return which PCR a condition key is about, or None if it is about none."""
    name = key.lower().removeprefix(PREFIX.lower())
    if name == key.lower():
        return None
    if name == "imagesha384":
        return 0
    digits = name.removeprefix("pcr")
    return int(digits) if digits.isdecimal() and len(digits) <= 2 else None


def recipient_keys(document: Measured | None) -> dict[str, str]:
    """Return the condition keys of a document, or of a request without one."""
    if document is None:
        return {}
    keys = {pcr_key(index): pcr.hex() for index, pcr in document.pcrs.items()}
    if 0 in document.pcrs:
        keys[IMAGE_KEY] = document.pcrs[0].hex()
    return keys

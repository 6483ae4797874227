"""Why a document is refused: each rule has its own class, with the facts on it.

All of them are :class:`AttestationError`. What is wrong with the certificates is
:class:`.UntrustedChain`, and what the policy wants otherwise :class:`.PolicyMismatch`.
Their names say what is the case, and not "Error" once more.

"""

from __future__ import annotations

import attrs

from trionitro._structuring import describe, quote

__all__ = [
    "AttestationError",
    "BadSignature",
    "MalformedDocument",
    "NitroTpmDocument",
    "UnsupportedAlgorithm",
]


class AttestationError(Exception):
    """Raised when a document proves nothing; the message is one line that says why."""


@attrs.frozen
class MalformedDocument(AttestationError):
    """Raised when the bytes are no attestation document.

    Attributes:
      reason: what they are instead.

    """

    reason: str

    def __str__(self) -> str:
        return f"not an attestation document: {self.reason}"


@attrs.frozen
class NitroTpmDocument(AttestationError):
    """Raised for a document of an EC2 instance's NitroTPM.

    AWS signs those under the same root, but they say nothing about any enclave.

    Attributes:
      module_id: whose it is.

    """

    module_id: str

    def __str__(self) -> str:
        return (
            f"{quote(self.module_id)} is the NitroTPM of an EC2 instance, not an"
            " enclave: this document has no PCRs of an enclave"
        )


@attrs.frozen
class UnsupportedAlgorithm(AttestationError):
    """Raised when a document isn't signed with ES384.

    Attributes:
      algorithm: the COSE number of what its header names, or None.

    """

    algorithm: int | None

    def __str__(self) -> str:
        named = "none" if self.algorithm is None else describe(self.algorithm)
        return (
            f"the algorithm of the signature is {named}, must be -35 (ES384): a"
            " document of QEMU's nitro-enclave machine is not signed, and can't be"
            " verified"
        )


class BadSignature(AttestationError):
    """Raised when a document was not signed by the key of its certificate."""

    def __str__(self) -> str:
        return "the signature is not of this document: it was changed, or never signed"

"""Requests to the security module and its responses, as records.

Their fields are those of the Rust structs in ``src/api/mod.rs`` of
aws/aws-nitro-enclaves-nsm-api, in the same order; how they are written is the business
of :mod:`trionitro.nsm._wire`.

"""

from __future__ import annotations

from typing import TypeAlias

import attrs

__all__ = [
    "Attest",
    "Attested",
    "DescribeNsm",
    "DescribePcr",
    "ExtendPcr",
    "ExtendedPcr",
    "GetRandom",
    "LockPcr",
    "LockPcrs",
    "LockedPcr",
    "LockedPcrs",
    "NsmDescription",
    "PcrDescription",
    "RandomBytes",
    "Refusal",
    "Request",
    "Response",
]


@attrs.frozen
class DescribeNsm:
    """Asks what the module is; the answer is a :class:`NsmDescription`."""


@attrs.frozen
class DescribePcr:
    """Asks for a PCR; the answer is a :class:`PcrDescription`."""

    index: int


@attrs.frozen
class ExtendPcr:
    """Extends a PCR; the answer is an :class:`ExtendedPcr`."""

    index: int
    data: bytes


@attrs.frozen
class LockPcr:
    """Makes a PCR read-only; the answer is a :class:`LockedPcr`."""

    index: int


@attrs.frozen
class LockPcrs:
    """Makes the PCRs below ``range`` read-only; the answer is :class:`LockedPcrs`."""

    range: int


@attrs.frozen(kw_only=True)
class Attest:
    """Asks for an attestation document; the answer is :class:`Attested`."""

    user_data: bytes | None = None
    nonce: bytes | None = None
    public_key: bytes | None = None


@attrs.frozen
class GetRandom:
    """Asks for entropy; the answer is :class:`RandomBytes`."""


@attrs.frozen(kw_only=True)
class NsmDescription:
    """What a security module says about itself.

    Attributes:
      version_major: of its API, as the next two.
      version_minor: see ``version_major``.
      version_patch: see ``version_major``.
      module_id: who it is: ``i-<instance>-enc<slot>``.
      max_pcrs: how many PCRs it has.
      locked_pcrs: the indices of those that are read-only.
      digest: what PCRs are made with: SHA256, SHA384 or SHA512.

    """

    version_major: int
    version_minor: int
    version_patch: int
    module_id: str
    max_pcrs: int
    locked_pcrs: frozenset[int]
    digest: str


@attrs.frozen(kw_only=True)
class PcrDescription:
    """What a PCR is now.

    Attributes:
      lock: whether it is read-only.
      data: its value.

    """

    lock: bool
    data: bytes


@attrs.frozen
class ExtendedPcr:
    """The new value of a PCR."""

    data: bytes


@attrs.frozen
class LockedPcr:
    """The PCR is read-only from now on."""


@attrs.frozen
class LockedPcrs:
    """The PCRs are read-only from now on."""


@attrs.frozen
class Attested:
    """An attestation document: a COSE_Sign1."""

    document: bytes


@attrs.frozen
class RandomBytes:
    """Entropy, at most 256 bytes of it."""

    random: bytes = attrs.field(repr=False)


@attrs.frozen
class Refusal:
    """An error, in place of an answer.

    Attributes:
      code: its name, see :class:`.NsmErrorCode`.

    """

    code: str


Request: TypeAlias = (
    DescribeNsm | DescribePcr | ExtendPcr | LockPcr | LockPcrs | Attest | GetRandom
)
Response: TypeAlias = (
    NsmDescription
    | PcrDescription
    | ExtendedPcr
    | LockedPcr
    | LockedPcrs
    | Attested
    | RandomBytes
    | Refusal
)

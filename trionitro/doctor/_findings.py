"""What a check says, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import attrs

from trionitro.doctor._facts import Facts
from trionitro.doctor._kind import Kind
from trionitro.manifest import Plan
from trionitro.proxy import Allowlist

__all__ = ["Case", "Check", "Finding", "Report", "Status", "list_some"]

#: ``unknown`` is what couldn't be looked at.
Status = Literal["ok", "warning", "problem", "unknown"]

#: More would be no line that anybody reads.
_MOST_LISTED: Final = 5


@attrs.frozen
class Finding:
    """What one check says.

    Attributes:
      check: the check's name.
      status: what it means for running an enclave here.
      found: what was found, in one line.
      remedy: what to do, in one line; empty where there is nothing to do.

    """

    check: str
    status: Status
    found: str
    remedy: str = ""


@attrs.frozen(kw_only=True)
class Case:
    """What checks are told.

    Attributes:
      facts: what was seen.
      kind: what the machine is.
      plan: what follows from the manifest, or None where none was given.
      allowlist: the one that was asked about, or the parent's own; None for none, and
          a text for one that can't be read.
      allowlist_is_asked: whether it was asked about, rather than found.

    """

    facts: Facts
    kind: Kind
    plan: Plan | None = None
    allowlist: Allowlist | str | None = None
    allowlist_is_asked: bool = False


#: None is for what doesn't concern such a machine.
Check = Callable[[Case], Finding | None]


@attrs.frozen(kw_only=True)
class Report:
    """What the doctor says.

    Attributes:
      kind: what the machine is.
      reason: why it is taken for that.
      findings: of all checks that concern it, in their order.
      digest: of the manifest, 32 bytes, or None where none was given.

    """

    kind: Kind
    reason: str
    findings: tuple[Finding, ...]
    digest: bytes | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is a problem; warnings may be."""
        return self.count("problem") == 0

    def count(self, status: Status) -> int:
        """Return how many findings have ``status``."""
        return sum(finding.status == status for finding in self.findings)


def list_some(items: list[str]) -> str:
    """Write the first few items, and how many are left out."""
    shown = ", ".join(items[:_MOST_LISTED])
    left = len(items) - _MOST_LISTED
    return f"{shown} and {left} more" if left > 0 else shown

"""Cases for tests of single checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.doctor.trees import ENCLAVE, LAPTOP, LO, LO_AND_ETHERNET, NOW, PARENT, VM
from trionitro.doctor import Case, Facts, Finding, Kind
from trionitro.manifest import Plan

_TREES = {"parent": PARENT, "enclave": ENCLAVE, "vm": VM, "machine": LAPTOP}


def case(
    kind: Kind,
    changes: Mapping[str, str | None] | None = None,
    *,
    plan: Plan | None = None,
    allowlist: Any = None,
    allowlist_is_asked: bool = False,
    **facts: Any,
) -> Case:
    """Make the case of a sound machine with some files changed; None removes one."""
    files = {**_TREES[kind], **(changes or {})}
    there = {path: text for path, text in files.items() if text is not None}
    seen: dict[str, Any] = {
        "files": {path: text for path, text in there.items() if "/dev/" not in path},
        "devices": {path: text for path, text in there.items() if "/dev/" in path},
        "interfaces": LO if kind == "enclave" else LO_AND_ETHERNET,
        "is_seeded": True,
        "now": NOW,
        **facts,
    }
    return Case(
        facts=Facts(**seen),
        kind=kind,
        plan=plan,
        allowlist=allowlist,
        allowlist_is_asked=allowlist_is_asked,
    )


def check_finding(finding: Finding | None, status: str, *words: str) -> None:
    """Check what a finding says; one that isn't ok says what to do."""
    assert finding is not None
    assert finding.status == status, finding
    text = f"{finding.found} → {finding.remedy}"
    for word in words:
        assert word in text
    assert "\n" not in text
    assert bool(finding.remedy) == (status in {"problem", "warning"}) or (
        status == "unknown"
    )

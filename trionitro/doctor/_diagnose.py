"""All of it: what was seen, what the machine is, and what each check says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trionitro._exceptions import ConfigError
from trionitro.doctor import _enclave as enclave
from trionitro.doctor import _machine as machine
from trionitro.doctor import _names as names
from trionitro.doctor import _needs as needs
from trionitro.doctor import _parent as parent
from trionitro.doctor._facts import Facts
from trionitro.doctor._findings import Case, Check, Report
from trionitro.doctor._kind import Kind, identify
from trionitro.doctor._look import look, look_further, read_allowlist
from trionitro.doctor._probes import Probes
from trionitro.manifest import Plan
from trionitro.proxy import Allowlist

__all__ = ["CHECKS", "diagnose"]

#: In the order in which they are shown: what others depend on comes first.
CHECKS: Final[tuple[Check, ...]] = (
    machine.check_kernel,
    machine.check_vsock,
    machine.check_cid,
    machine.check_vhost,
    enclave.check_module,
    machine.check_entropy,
    machine.check_clock,
    machine.check_loopback,
    parent.check_device,
    parent.check_nitro_cli,
    parent.check_allocator,
    parent.check_hugepages,
    parent.check_cpus,
    names.check_allowlist,
    names.check_names,
    needs.check_manifest,
    needs.check_image,
    needs.check_memory,
    needs.check_running,
    needs.check_ports,
    names.check_servers,
    enclave.check_file_systems,
    enclave.check_hosts,
    enclave.check_command,
)


async def diagnose(
    probes: Probes,
    *,
    root: str | os.PathLike[str] = "/",
    plan: Plan | None = None,
    allowlist: str | None = None,
) -> Report:
    """Say what this machine is, what is missing, and what to do.

    It takes some seconds at most: whatever doesn't answer is left, and told of. No
    vsock is connected to, and nothing is changed.

    Args:
      probes: how the machine is asked.
      root: where its files are.
      plan: what follows from a manifest, to check what that needs as well.
      allowlist: the path of one to check; None for the parent's own.

    Cancellation:
      At once; threads that wait for files are left behind.

    """
    facts = await look(Path(root), probes)
    kind, reason = identify(facts)
    if allowlist is None:
        rules = _own_allowlist(facts, kind)
    else:
        rules = await read_allowlist(allowlist)
    facts = await look_further(
        facts, kind, probes, plan=plan, names=_names(kind, plan, rules)
    )
    case = Case(
        facts=facts,
        kind=kind,
        plan=plan,
        allowlist=rules,
        allowlist_is_asked=allowlist is not None,
    )
    findings = (check(case) for check in CHECKS)
    return Report(
        kind=kind,
        reason=reason,
        findings=tuple(finding for finding in findings if finding is not None),
        digest=None if plan is None else plan.digest,
    )


def _own_allowlist(facts: Facts, kind: Kind) -> Allowlist | str | None:
    text = facts.files.get(names.ALLOWLIST)
    if text is None or kind != "parent":
        return None
    try:
        return Allowlist.parse(text, source=names.ALLOWLIST)
    except ConfigError as problem:
        return str(problem)


def _names(
    kind: Kind, plan: Plan | None, allowlist: Allowlist | str | None
) -> Iterator[str]:
    if kind == "enclave":
        return  # it has no DNS
    if plan is not None:
        yield from names.names_of_plan(plan)
    if isinstance(allowlist, Allowlist):
        yield from names.names_of_allowlist(allowlist)

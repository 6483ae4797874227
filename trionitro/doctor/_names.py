"""Checks of what may be reached from the parent: the allowlist, and DNS."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from trionitro._endpoints import TcpEndpoint
from trionitro.doctor._findings import Case, Finding, list_some
from trionitro.manifest import Plan
from trionitro.proxy import Allowlist

__all__ = [
    "ALLOWLIST",
    "check_allowlist",
    "check_names",
    "check_servers",
    "names_of_allowlist",
    "names_of_plan",
]

#: Where AWS's ``vsock-proxy`` has its own.
ALLOWLIST: Final = "/etc/nitro_enclaves/vsock-proxy.yaml"

_RESOLVER: Final = "/etc/resolv.conf"


def names_of_plan(plan: Plan) -> list[str]:
    """Return the names that the parent's half will look up."""
    hosts = (egress.host for egress in plan.manifest.egress)
    return [host for host in dict.fromkeys(hosts) if not _is_address(host)]


def names_of_allowlist(allowlist: Allowlist) -> list[str]:
    """Return the names in an allowlist, wildcards excepted."""
    ports = dict.fromkeys(rule.port for rule in allowlist.rules)
    names = (name for port in ports for name in allowlist.names_at(port))
    return list(dict.fromkeys(names))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_allowlist(case: Case) -> Finding | None:
    """Check that the allowlist can be read, and allows what the manifest needs."""
    if case.allowlist is None:
        return None
    if isinstance(case.allowlist, str):
        return Finding(
            "allowlist",
            "problem",
            case.allowlist,
            "mend the file; 'trionitro allowlist explain' then tells what it allows",
        )
    source, rules = case.allowlist.source, len(case.allowlist.rules)
    refused = []
    if case.plan is not None and case.allowlist_is_asked:
        refused = [*_refused(case.plan, case.allowlist)]
    if refused:
        return Finding(
            "allowlist",
            "problem",
            f"{source} does not allow {list_some(refused)}",
            "add a rule for each; 'trionitro plan --write' writes the file that fits",
        )
    if rules == 0:
        return Finding(
            "allowlist",
            "warning",
            f"{source} allows nothing",
            "add rules, unless that is what you want",
        )
    return Finding("allowlist", "ok", f"{source} has {rules} rules")


def _refused(plan: Plan, allowlist: Allowlist) -> Iterator[str]:
    for egress in plan.manifest.egress:
        decision = allowlist.could_allow(egress.host, egress.port)
        if not decision.allowed and not allowlist.judges_addresses(egress.port):
            yield str(TcpEndpoint(egress.host, egress.port)).removeprefix("tcp://")


def check_names(case: Case) -> Finding | None:
    """Check that the names which are needed resolve; an enclave resolves none."""
    if case.kind == "enclave":
        return None
    needed = set(names_of_plan(case.plan)) if case.plan is not None else set()
    silent = [name for name, found in case.facts.names.items() if not found]
    if missing := [name for name in silent if name in needed]:
        return Finding(
            "dns",
            "problem",
            f"the manifest's names don't all resolve: {list_some(missing)}",
            _dns_remedy(case),
        )
    if silent:
        return Finding(
            "dns",
            "warning",
            f"{len(silent)} of {len(case.facts.names)} names don't resolve:"
            f" {list_some(silent)}",
            "leave what doesn't exist out of the allowlist; otherwise:"
            f" {_dns_remedy(case)}",
        )
    if case.facts.names:
        return Finding("dns", "ok", f"all of {len(case.facts.names)} names resolve")
    if not _has_resolver(case):
        return Finding("dns", "warning", f"no nameserver is in {_RESOLVER}", _ADD)
    return Finding("dns", "ok", "there is a nameserver, and no name to ask it for")


_ADD: Final = f"give {_RESOLVER} a line 'nameserver …'; an EC2 instance's is its VPC's"


def _dns_remedy(case: Case) -> str:
    if not _has_resolver(case):
        return _ADD
    return "is the name right, and does the nameserver answer: getent hosts NAME"


def _has_resolver(case: Case) -> bool:
    lines = case.facts.files.get(_RESOLVER, "").splitlines()
    return any(line.split()[:1] == ["nameserver"] for line in lines)


def check_servers(case: Case) -> Finding | None:
    """Check that the volumes' servers take connections on the parent."""
    if case.plan is None or case.kind == "enclave" or not case.plan.manifest.volume:
        return None
    silent = [
        f"{server} ({trouble})"
        for server, trouble in case.facts.servers.items()
        if trouble
    ]
    if silent:
        return Finding(
            "volumes",
            "problem",
            f"no NFS server at {list_some(silent)}",
            "start it: systemctl enable --now nfs-server; 'trionitro plan --write'"
            " writes its exports",
        )
    return Finding("volumes", "ok", "the volumes' servers take connections")

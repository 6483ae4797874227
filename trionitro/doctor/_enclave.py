"""Checks of what an enclave has: its security module, and what its boot needs."""

from __future__ import annotations

from trionitro.doctor._findings import Case, Finding, list_some
from trionitro.doctor._kind import NSM_DEVICE

__all__ = [
    "check_command",
    "check_file_systems",
    "check_hosts",
    "check_module",
]


def check_module(case: Case) -> Finding | None:
    """Check that the security module answers, where there is to be one."""
    facts = case.facts
    if facts.module is None:
        if case.kind != "enclave":
            return None
        return Finding(
            "nsm",
            "problem",
            f"there is no {NSM_DEVICE}",
            "build the enclave's kernel with CONFIG_NSM, or load nsm.ko; is it really"
            " an enclave?",
        )
    name = facts.nsm or NSM_DEVICE
    if not facts.module.problem:
        return Finding("nsm", "ok", f"{name} is {facts.module.module_id}")
    remedy = "run as root, or let others read and write it"
    if facts.nsm:
        remedy = "start the emulator: trionitro nsm emulate"
    return Finding("nsm", "problem", f"{name}: {facts.module.problem}", remedy)


def check_hosts(case: Case) -> Finding | None:
    """Check that the enclave knows the addresses of the manifest's names."""
    if case.kind != "enclave" or case.plan is None or not case.plan.hosts:
        return None
    known = _known_hosts(case.facts.files.get("/etc/hosts", ""))
    missing = [
        name
        for line in case.plan.hosts
        for name in line.names
        if line.address not in known.get(name, ())
    ]
    if missing:
        return Finding(
            "hosts",
            "warning",
            f"/etc/hosts has not the planned addresses of {list_some(missing)}",
            "boot with 'trionitro enclave', which writes them; 'trionitro plan' shows"
            " the lines",
        )
    return Finding("hosts", "ok", "/etc/hosts has the manifest's names")


def _known_hosts(text: str) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            known.setdefault(name.lower(), []).append(address)
    return known


def check_command(case: Case) -> Finding | None:
    """Check that the manifest's command is in the image."""
    if case.kind != "enclave" or case.plan is None:
        return None
    program = case.plan.manifest.enclave.command[0]
    path = case.facts.programs.get(program)
    if not path:
        return Finding(
            "command",
            "problem",
            f"the command {program!r} is not there",
            "put it into the image, or mend enclave.command",
        )
    return Finding("command", "ok", f"the command is {path}")


def check_file_systems(case: Case) -> Finding | None:
    """Check that an enclave with volumes can mount them."""
    if case.kind != "enclave" or case.plan is None or not case.plan.volumes:
        return None
    lines = case.facts.files.get("/proc/filesystems", "").splitlines()
    if not any(line.split()[-1:] == ["nfs4"] for line in lines):
        return Finding(
            "volumes",
            "problem",
            "the kernel has no NFSv4, and the manifest has volumes",
            "build the enclave's kernel with CONFIG_NFS_V4; 'trionitro plan --write'"
            " writes the configuration",
        )
    return Finding("volumes", "ok", "the kernel has NFSv4")

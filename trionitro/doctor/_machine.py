"""Checks of what every machine has: a kernel, a vsock, a clock, random numbers, lo."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from trionitro._endpoints import CID_NAMES
from trionitro.doctor._findings import Case, Finding, Status
from trionitro.doctor._kind import VSOCK_DEVICE

__all__ = [
    "check_cid",
    "check_clock",
    "check_entropy",
    "check_kernel",
    "check_loopback",
    "check_vhost",
    "check_vsock",
]

#: The first of AWS's kernels with enclaves, and with their NSM.
_OLDEST_KERNEL: Final = (4, 14)

_IFF_UP: Final = 1

#: Seconds. Logs that are further apart can't be laid side by side, and AWS's services
#: refuse a signature that is more than five minutes old or young.
_MUCH: Final = 1.0
_TOO_MUCH: Final = 300.0

#: This was written later: a clock before it was never set.
_THE_PAST: Final = dt.datetime(2025, 1, 1, tzinfo=dt.UTC).timestamp()

#: What chrony and systemd-timesyncd leave where they work.
_TIME_SERVICES: Final = (
    "/run/chrony/chronyd.pid",
    "/run/chronyd.pid",
    "/run/systemd/timesync/synchronized",
)

_RANDOM: Final = "/sys/devices/virtual/misc/hw_random"


def check_kernel(case: Case) -> Finding:
    """Check that the kernel is new enough for what Nitro needs of it."""
    release = case.facts.word("/proc/sys/kernel/osrelease")
    match = re.match("([0-9]{1,4})[.]([0-9]{1,4})", release)
    if match is None:
        return Finding("kernel", "unknown", "the kernel doesn't tell its version")
    if (int(match[1]), int(match[2])) < _OLDEST_KERNEL:
        return Finding(
            "kernel",
            "problem",
            f"Linux {release} is older than 4.14, the first with Nitro's drivers",
            "boot a newer kernel; Amazon Linux has a fitting one",
        )
    return Finding("kernel", "ok", f"Linux {release}")


def check_vsock(case: Case) -> Finding:
    """Check that there is a vsock."""
    if case.facts.vsock:
        return Finding("vsock", "ok", f"{case.facts.vsock} instead of the kernel's")
    trouble = case.facts.devices.get(VSOCK_DEVICE)
    if trouble is None:
        return _no_vsock(case)
    if trouble:
        return Finding(
            "vsock",
            "warning",
            f"{VSOCK_DEVICE} is there, but can't be opened: {trouble}",
            f"run as root, or let others read it: chmod a+r {VSOCK_DEVICE}; in a"
            f" container, pass it on with --device {VSOCK_DEVICE}",
        )
    return Finding("vsock", "ok", f"{VSOCK_DEVICE} is there")


def _no_vsock(case: Case) -> Finding:
    found = f"there is no {VSOCK_DEVICE}"
    match case.kind:
        case "enclave":
            remedy = "build the enclave's kernel with CONFIG_VIRTIO_VSOCKETS"
        case "parent":
            remedy = (
                "modprobe vsock; in a container, pass it on with --device"
                f" {VSOCK_DEVICE}"
            )
        case _:
            remedy = "develop with unix sockets in its place: --vsock local:/tmp/vsock"
            return Finding("vsock", "warning", found, remedy)
    return Finding("vsock", "problem", found, remedy)


def check_cid(case: Case) -> Finding | None:
    """Check that the CID is what such a machine, and the manifest, has."""
    cid = case.facts.cid
    if cid is None:
        if case.facts.vsock or case.facts.devices.get(VSOCK_DEVICE) == "":
            return Finding("cid", "unknown", "the vsock doesn't tell its CID")
        return None
    if case.kind == "parent":
        return _cid_of_parent(case, cid)
    if case.kind == "enclave":
        return _cid_of_enclave(case, cid)
    return Finding("cid", "ok", f"the CID is {cid}")


def _cid_of_parent(case: Case, cid: int) -> Finding:
    expected = CID_NAMES["parent"]
    if case.plan is not None:
        expected = case.plan.manifest.enclave.parent_cid
    if cid != expected:
        return Finding(
            "cid",
            "problem",
            f"the CID is {cid}, and enclaves look for their parent at {expected}",
            "remove the module vhost_vsock, or set enclave.parent_cid in the manifest",
        )
    return Finding("cid", "ok", f"the CID is {cid}, a parent's")


def _cid_of_enclave(case: Case, cid: int) -> Finding:
    if case.plan is not None and case.plan.manifest.enclave.cid != cid:
        planned = case.plan.manifest.enclave.cid
        return Finding(
            "cid",
            "problem",
            f"the CID is {cid}, and the manifest's is {planned}",
            f"start the enclave with --enclave-cid {planned}, or set enclave.cid"
            f" to {cid} on both halves",
        )
    if cid <= CID_NAMES["parent"]:
        return Finding(
            "cid",
            "problem",
            f"the CID is {cid}, and an enclave's is 4 or higher",
            "give another --vsock; or this is no enclave",
        )
    return Finding("cid", "ok", f"the CID is {cid}")


def check_vhost(case: Case) -> Finding | None:
    """Check that nobody takes the parent's connections to its enclaves."""
    if case.kind != "parent" or case.facts.vsock:
        return None
    if "vhost_vsock" in case.facts.modules:
        return Finding(
            "vhost",
            "problem",
            "the module vhost_vsock is loaded, and takes every connection to an"
            " enclave for itself",
            "stop the virtual machines that use it, and rmmod vhost_vsock",
        )
    return Finding("vhost", "ok", "no other hypervisor takes the enclaves' CIDs")


def check_loopback(case: Case) -> Finding:
    """Check that the loopback interface is up."""
    flags = case.facts.interfaces.get("lo")
    if flags is None:
        return Finding("lo", "unknown", "there is no sign of the loopback interface")
    if not flags & _IFF_UP:
        return Finding(
            "lo",
            "problem",
            "the loopback interface is down: nothing can use 127.0.0.1",
            "boot with 'trionitro enclave', which brings it up; or ip link set lo up",
        )
    return Finding("lo", "ok", "the loopback interface is up")


def check_clock(case: Case) -> Finding:
    """Check the clock, against another where there is one."""
    facts = case.facts
    if facts.now < _THE_PAST:
        day = dt.datetime.fromtimestamp(facts.now, dt.UTC).date()
        return Finding(
            "clock",
            "problem",
            f"it is {day} here: the clock was never set",
            "set it; certificates and AWS's signatures need the right time",
        )
    offset, against = facts.clock_offset, "/dev/ptp0"
    if facts.module is not None and facts.module.clock_offset is not None:
        # It is signed, and the hypervisor's: the parent has no say in it.
        offset, against = facts.module.clock_offset, "the security module"
    if offset is not None:
        return _offset(offset, against)
    if case.kind == "enclave":
        return Finding(
            "clock",
            "unknown",
            "there is nothing to compare the clock with: no /dev/ptp0, and no"
            " security module that answers",
            "build the enclave's kernel with CONFIG_PTP_1588_CLOCK_KVM",
        )
    for service in _TIME_SERVICES:
        if service in facts.files:
            return Finding("clock", "ok", f"a time service keeps it: {service}")
    return Finding(
        "clock",
        "warning",
        "no sign of chrony or systemd-timesyncd",
        "run one: systemctl enable --now chronyd",
    )


def _offset(offset: float, against: str) -> Finding:
    found = f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} {against}"
    status: Status = "ok"
    if abs(offset) > _TOO_MUCH:
        status, found = "problem", f"{found}: AWS refuses signatures of such a time"
    elif abs(offset) > _MUCH:
        status = "warning"
    remedy = (
        "an enclave's clock drifts, since nothing sets it: set it from /dev/ptp0, or"
        " start the enclave anew"
    )
    return Finding("clock", status, found, "" if status == "ok" else remedy)


def check_entropy(case: Case) -> Finding:
    """Check that there are random numbers, and where an enclave's come from."""
    facts = case.facts
    if facts.is_seeded is False:
        return Finding(
            "entropy",
            "problem",
            "the kernel has no random numbers yet: whoever needs a key waits",
            "boot with 'trionitro enclave', which seeds it from the security module,"
            " with credit; or with random.trust_cpu=on",
        )
    if facts.is_seeded is None:
        return Finding("entropy", "unknown", "the kernel doesn't tell")
    if case.kind != "enclave":
        return Finding("entropy", "ok", "the kernel has random numbers")
    if "nsm-hwrng" in facts.word(f"{_RANDOM}/rng_available").split():
        return Finding("entropy", "ok", "the kernel takes them from nsm-hwrng")
    if re.search(r"\brandom\.trust_cpu=(on|1|y)\b", facts.word("/proc/cmdline")):
        return Finding("entropy", "ok", "the kernel takes them from the processor")
    return Finding(
        "entropy",
        "warning",
        "the kernel has random numbers, neither from nsm-hwrng nor with"
        " random.trust_cpu",
        "boot with 'trionitro enclave', which seeds it from the security module",
    )

"""What a machine is: a parent, an enclave, another virtual machine, or none."""

from __future__ import annotations

import re
from typing import Final, Literal

from trionitro.doctor._facts import Facts

__all__ = ["ENCLAVES_DEVICE", "NSM_DEVICE", "VSOCK_DEVICE", "Kind", "identify"]

#: ``vm`` and ``machine`` are for development: neither has enclaves, nor is one.
Kind = Literal["parent", "enclave", "vm", "machine"]

ENCLAVES_DEVICE: Final = "/dev/nitro_enclaves"
NSM_DEVICE: Final = "/dev/nsm"
VSOCK_DEVICE: Final = "/dev/vsock"

#: Nitro gives an enclave no lower one.
_FIRST_ENCLAVE_CID: Final = 4

#: What ``sys_vendor`` and ``product_name`` of virtual machines begin with.
_VIRTUAL: Final = re.compile(
    "QEMU|KVM|VMware|innotek|Xen|Bochs|Parallels|OpenStack|Google Compute Engine"
    "|Standard PC|VirtualBox|Virtual Machine"
)

#: The flag of x86's processors; others have none.
_HYPERVISOR: Final = re.compile(r"^flags\s*:.*\bhypervisor\b", re.MULTILINE)


def identify(facts: Facts) -> tuple[Kind, str]:
    """Say what the machine is, and why.

    A device of Nitro's settles it, except in a sandbox. Without one, an EC2 instance
    is still taken for a parent, and what has a CID of an enclave and nothing but a
    loopback interface for an enclave: then the missing device is what is to be told.

    """
    is_cut_off = set(facts.interfaces) == {"lo"}
    if facts.nsm and is_cut_off:
        return "enclave", (
            "its only network interface is lo, and its security module is"
            f" {facts.nsm}: that is a sandbox"
        )
    if NSM_DEVICE in facts.devices:
        return "enclave", f"{NSM_DEVICE} is there"
    if ENCLAVES_DEVICE in facts.devices:
        return "parent", f"{ENCLAVES_DEVICE} is there"
    if facts.word("/sys/class/dmi/id/sys_vendor") == "Amazon EC2":
        product = facts.word("/sys/class/dmi/id/product_name") or "of a type unknown"
        return "parent", f"it is an EC2 instance, {product}"
    if is_cut_off and (facts.cid or 0) >= _FIRST_ENCLAVE_CID:
        return "enclave", (
            f"its only network interface is lo, and its CID is {facts.cid}"
        )
    return _of_no_enclave(facts)


def _of_no_enclave(facts: Facts) -> tuple[Kind, str]:
    for name in ("sys_vendor", "product_name"):
        if _VIRTUAL.match(word := facts.word(f"/sys/class/dmi/id/{name}")):
            return "vm", f"its firmware says {word!r}"
    if _HYPERVISOR.search(facts.word("/proc/cpuinfo")):
        return "vm", "its processor says that there is a hypervisor"
    if word := facts.word("/sys/hypervisor/type"):
        return "vm", f"its hypervisor is {word}"
    if not facts.vsock and (facts.cid or 0) > 2:
        return "vm", f"its vsock has the CID {facts.cid}"
    return "machine", "nothing of Nitro's is there, and no sign of a hypervisor"

"""Checks of what a manifest needs of either half: ports, the image, a free CID."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from trionitro._endpoints import Endpoint, VsockEndpoint
from trionitro.doctor._facts import ImageSight
from trionitro.doctor._findings import Case, Finding, list_some
from trionitro.doctor._kind import Kind
from trionitro.doctor._parent import ALLOCATOR, free_memory
from trionitro.manifest import Image, Plan

__all__ = [
    "check_image",
    "check_manifest",
    "check_memory",
    "check_ports",
    "check_running",
    "ports_of",
]

#: What nitro-cli wants of memory for each byte of an image file: half of the memory
#: is a tmpfs, and the ramdisk is unpacked beside itself.
_MEMORY_FOR_IMAGE: Final = 4

_MIB: Final = 2**20

_MAGIC: Final = b".eif"

#: What to do, by what an address to listen on is refused with.
_PORT_REMEDIES: Final = {
    os.strerror(errno.EADDRINUSE): "stop what listens there (ss -ltnp, ss -l --vsock),"
    " which may be trionitro itself; or give the entry another port",
    os.strerror(errno.EADDRNOTAVAIL): "the address is not this machine's: in an"
    " enclave 'trionitro enclave' adds it, on a parent mend the entry's listen",
    os.strerror(errno.EACCES): "ports below 1024 take root, or CAP_NET_BIND_SERVICE",
}


def check_manifest(case: Case) -> Finding | None:
    """Show whose manifest it is, and the digest that both halves compare."""
    if case.plan is None:
        return None
    enclave = case.plan.manifest.enclave
    return Finding(
        "manifest",
        "ok",
        f"{enclave.name}, CID {enclave.cid}, digest {case.plan.digest.hex()}: the other"
        " half's must be the same",
    )


def ports_of(plan: Plan, kind: Kind) -> Iterator[Endpoint]:
    """Yield what the half of such a machine listens on, what isn't a parent included.

    Only an enclave listens on an enclave's. The parent's half can run anywhere.

    """
    for link in plan.links:
        route = link.enclave if kind == "enclave" else link.parent
        if route is not None:
            yield route.listen
        elif (link.direction == "out") == (kind != "enclave"):
            yield VsockEndpoint(None, link.vsock_port)


def check_ports(case: Case) -> Finding | None:
    """Check that what the manifest listens on can be listened on."""
    if case.plan is None or not case.facts.ports:
        return None
    troubles = {port: why for port, why in case.facts.ports.items() if why}
    if not troubles:
        return Finding(
            "ports", "ok", f"all of {len(case.facts.ports)} can be listened on"
        )
    first = next(iter(troubles.values()))
    return Finding(
        "ports",
        "problem",
        list_some([f"{port}: {why}" for port, why in troubles.items()]),
        _PORT_REMEDIES.get(first, "mend the manifest's entry for it"),
    )


def check_image(case: Case) -> Finding | None:
    """Check that the image file is there, and is one."""
    image, sight = _image(case)
    if image is None or sight is None:
        return None
    if sight.problem:
        return Finding(
            "image",
            "problem",
            f"{image.eif}: {sight.problem}",
            "build it with nitro-cli build-enclave, or mend image.eif",
        )
    if sight.magic != _MAGIC:
        return Finding(
            "image",
            "problem",
            f"{image.eif} is no enclave image file: it begins with {sight.magic!r}",
            "build it with nitro-cli build-enclave, or mend image.eif",
        )
    if image.debug:
        return Finding(
            "image",
            "warning",
            f"{image.eif} is to be started in debug mode: its PCRs will all be zero",
            "leave image.debug out for anything that is to be attested",
        )
    return Finding("image", "ok", f"{image.eif}, {sight.size / _MIB:.1f} MiB")


def check_memory(case: Case) -> Finding | None:
    """Check that the memory is enough for the image, and there to be had."""
    image, sight = _image(case)
    if image is None or sight is None:
        return None
    needed = _MEMORY_FOR_IMAGE * -(-sight.size // _MIB)
    if image.memory * _MIB < _MEMORY_FOR_IMAGE * sight.size:
        return Finding(
            "memory",
            "problem",
            f"image.memory is {image.memory} MiB, and nitro-cli wants {needed}:"
            f" {_MEMORY_FOR_IMAGE} times the image's size",
            f"set image.memory to {needed} or more, or make the image smaller",
        )
    free = free_memory(case.facts)
    if image.memory > free and not _is_running(case):
        return Finding(
            "memory",
            "problem",
            f"image.memory is {image.memory} MiB, and {free} MiB of huge pages are"
            " free",
            f"set a higher memory_mib in {ALLOCATOR}, or stop another enclave",
        )
    return Finding("memory", "ok", f"{image.memory} MiB are enough, and there")


def _image(case: Case) -> tuple[Image | None, ImageSight | None]:
    if case.plan is None or case.kind != "parent":
        return None, None
    return case.plan.manifest.image, case.facts.image


def _is_running(case: Case) -> bool:
    assert case.plan is not None
    enclave = case.plan.manifest.enclave
    return (case.facts.enclaves or {}).get(enclave.cid) == enclave.name


def check_running(case: Case) -> Finding | None:
    """Check that no other enclave has the manifest's CID."""
    enclaves = case.facts.enclaves
    if case.plan is None or case.kind != "parent" or enclaves is None:
        return None
    enclave = case.plan.manifest.enclave
    if _is_running(case):
        return Finding(
            "running",
            "warning",
            f"{enclave.name} is running already, with CID {enclave.cid}",
            "nothing, if that is meant: 'trionitro parent' takes it over",
        )
    if enclave.cid in enclaves:
        return Finding(
            "running",
            "problem",
            f"the CID {enclave.cid} is taken by the enclave"
            f" {enclaves[enclave.cid] or 'without a name'}",
            "set another enclave.cid, or stop that one with nitro-cli",
        )
    return Finding("running", "ok", f"no enclave has the CID {enclave.cid}")

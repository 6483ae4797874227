"""Checks of what a parent has: the enclaves' driver, memory and processors for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from trionitro.doctor._facts import Facts, parse_cpu_list
from trionitro.doctor._findings import Case, Finding, list_some
from trionitro.doctor._kind import ENCLAVES_DEVICE

__all__ = [
    "ALLOCATOR",
    "CPU_POOL",
    "check_allocator",
    "check_cpus",
    "check_device",
    "check_hugepages",
    "check_nitro_cli",
    "free_memory",
]

ALLOCATOR: Final = "/etc/nitro_enclaves/allocator.yaml"

#: Where the driver keeps which processors are the enclaves'.
CPU_POOL: Final = "/sys/module/nitro_enclaves/parameters/ne_cpus"

_CPUS: Final = "/sys/devices/system/cpu"
_HUGEPAGES: Final = "/sys/kernel/mm/hugepages"

_RESTART: Final = "systemctl restart nitro-enclaves-allocator"


def check_device(case: Case) -> Finding | None:
    """Check that the enclaves' driver is there, and may be used."""
    if case.kind != "parent":
        return None
    trouble = case.facts.devices.get(ENCLAVES_DEVICE)
    if trouble is None:
        return Finding(
            "enclaves",
            "problem",
            f"there is no {ENCLAVES_DEVICE}",
            "enable enclaves for the instance (--enclave-options Enabled=true, while it"
            " is stopped), then modprobe nitro_enclaves; in a container, pass it on"
            f" with --device {ENCLAVES_DEVICE}",
        )
    if trouble:
        return Finding(
            "enclaves",
            "warning",
            f"{ENCLAVES_DEVICE} is there, but can't be opened: {trouble}",
            "run as root, or join its group: usermod -aG ne USER",
        )
    return Finding("enclaves", "ok", f"{ENCLAVES_DEVICE} can be used")


def check_nitro_cli(case: Case) -> Finding | None:
    """Check that nitro-cli is installed, where the manifest has it start enclaves."""
    if case.kind != "parent":
        return None
    path = case.facts.programs.get("nitro-cli")
    if path:
        return Finding("nitro-cli", "ok", f"it is {path}")
    is_needed = case.plan is not None and case.plan.manifest.image is not None
    return Finding(
        "nitro-cli",
        "problem" if is_needed else "warning",
        "nitro-cli is not on PATH",
        "install aws-nitro-enclaves-cli"
        + (", or leave [image] out of the manifest" if is_needed else ""),
    )


def check_allocator(case: Case) -> Finding | None:
    """Check that the allocator has set aside what its file says."""
    if case.kind != "parent":
        return None
    text = case.facts.files.get(ALLOCATOR)
    if text is None:
        return Finding(
            "allocator",
            "unknown",
            f"{ALLOCATOR}: {case.facts.troubles.get(ALLOCATOR, 'there is none')}",
            "install aws-nitro-enclaves-cli, or set memory and processors aside by"
            " other means",
        )
    try:
        promised = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        promised = None
    if not isinstance(promised, dict):
        return Finding(
            "allocator",
            "problem",
            f"{ALLOCATOR} is no YAML with memory_mib and cpu_count",
            f"mend it, then {_RESTART}",
        )
    broken = [*_broken_promises(promised, case.facts)]
    if broken:
        return Finding(
            "allocator",
            "problem",
            f"{ALLOCATOR} is not what there is: {'; '.join(broken)}",
            f"{_RESTART}, soon after the machine's start, while memory is in one"
            " piece; journalctl -u nitro-enclaves-allocator has its errors",
        )
    return Finding("allocator", "ok", f"what {ALLOCATOR} says is set aside")


def _broken_promises(promised: dict[Any, Any], facts: Facts) -> Iterator[str]:
    """Compare: the allocator has been seen to succeed and set nothing aside."""
    memory, reserved = promised.get("memory_mib"), _reserved_memory(facts)
    if isinstance(memory, int) and reserved < memory:
        yield f"memory_mib is {memory}, and {reserved} MiB are reserved"
    pool = parse_cpu_list(facts.word(CPU_POOL))
    count = promised.get("cpu_count")
    if isinstance(count, int) and len(pool) < count:
        yield f"cpu_count is {count}, and {len(pool)} processors are in the pool"
    wanted = parse_cpu_list(str(promised.get("cpu_pool", "")))
    if wanted - pool:
        yield f"cpu_pool has {_list(wanted - pool)}, and the driver's pool hasn't"


def check_hugepages(case: Case) -> Finding | None:
    """Check that there is memory that an enclave can have."""
    if case.kind != "parent":
        return None
    reserved, free = _reserved_memory(case.facts), free_memory(case.facts)
    if reserved == 0:
        return Finding(
            "hugepages",
            "problem",
            "no huge pages are reserved: an enclave's memory is made of them",
            f"set memory_mib in {ALLOCATOR}, then {_RESTART}",
        )
    if free == 0:
        return Finding(
            "hugepages",
            "warning",
            f"none of the {reserved} MiB of huge pages is free",
            "stop what uses them: nitro-cli describe-enclaves; or reserve more",
        )
    return Finding("hugepages", "ok", f"{free} of {reserved} MiB of huge pages free")


def free_memory(facts: Facts) -> int:
    """Return how many MiB of huge pages are free."""
    return _memory(facts, "free_hugepages")


def _reserved_memory(facts: Facts) -> int:
    return _memory(facts, "nr_hugepages")


def _memory(facts: Facts, count: str) -> int:
    pages = facts.matching(f"{_HUGEPAGES}/hugepages-([0-9]{{1,9}})kB/{count}")
    numbers = {
        int(size): int(number)
        for size, number in pages.items()
        if re.fullmatch("[0-9]{1,12}", number)
    }
    return sum(size * number for size, number in numbers.items()) // 1024


def check_cpus(case: Case) -> Finding | None:
    """Check that there are processors that an enclave can have, in whole cores."""
    if case.kind != "parent":
        return None
    pool = parse_cpu_list(case.facts.word(CPU_POOL))
    if trouble := case.facts.troubles.get(CPU_POOL):
        return Finding("cpus", "unknown", f"{CPU_POOL}: {trouble}", "run as root")
    if not pool:
        return Finding(
            "cpus",
            "problem",
            "no processor is set aside for enclaves",
            f"set cpu_count in {ALLOCATOR} to whole cores, not all of them, then"
            f" {_RESTART}",
        )
    if torn := _torn_cores(case.facts, pool):
        return Finding(
            "cpus",
            "problem",
            f"the pool {_list(pool)} has only one thread of the cores {torn}",
            f"set aside whole cores: both siblings in cpu_pool of {ALLOCATOR}",
        )
    return _enough_cpus(case, pool)


def _torn_cores(facts: Facts, pool: frozenset[int]) -> str:
    """Name the cores of which some threads are in the pool and some are not."""
    cores = {
        parse_cpu_list(text)
        for text in facts.matching(
            f"{_CPUS}/cpu([0-9]+)/topology/thread_siblings_list"
        ).values()
    }
    torn = [core for core in cores if core & pool and core - pool]
    return list_some(sorted(map(_list, torn)))


def _enough_cpus(case: Case, pool: frozenset[int]) -> Finding:
    image = case.plan.manifest.image if case.plan is not None else None
    if image is not None and image.cpus > len(pool):
        return Finding(
            "cpus",
            "problem",
            f"image.cpus is {image.cpus}, and the pool {_list(pool)} has {len(pool)}",
            f"set a lower image.cpus, or a higher cpu_count in {ALLOCATOR}",
        )
    if image is not None and image.cpus % _threads_per_core(case.facts):
        return Finding(
            "cpus",
            "problem",
            f"image.cpus is {image.cpus}, which is not in whole cores of"
            f" {_threads_per_core(case.facts)} threads",
            "set image.cpus to a multiple of that",
        )
    return Finding("cpus", "ok", f"{len(pool)} processors for enclaves: {_list(pool)}")


def _threads_per_core(facts: Facts) -> int:
    # Processor 0 is never an enclave's, so that its siblings are always to be seen.
    siblings = facts.word(f"{_CPUS}/cpu0/topology/thread_siblings_list")
    return max(1, len(parse_cpu_list(siblings)))


def _list(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))

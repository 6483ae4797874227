"""Checks of what a parent has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.doctor.cases import case, check_finding
from tests.manifest.manifests import plan_of
from trionitro.doctor import Case, Finding, Kind
from trionitro.doctor import _parent as checks

PAGES = "/sys/kernel/mm/hugepages"
SMALL = f"{PAGES}/hugepages-2048kB"
LARGE = f"{PAGES}/hugepages-1048576kB"
NONE = {
    f"{place}/{count}_hugepages": "0"
    for place in (SMALL, LARGE)
    for count in ("nr", "free")
}
IMAGE = '[image]\neif = "a.eif"\nmemory = 512\n'


@pytest.mark.parametrize("kind", ["enclave", "vm", "machine"])
@pytest.mark.parametrize(
    "check",
    [
        checks.check_device,
        checks.check_nitro_cli,
        checks.check_allocator,
        checks.check_hugepages,
        checks.check_cpus,
    ],
)
def test_others_have_nothing_to_do_with_it(
    check: Callable[[Case], Finding | None], kind: Kind
) -> None:
    assert check(case(kind)) is None


@pytest.mark.parametrize(
    ("device", "status", "word"),
    [
        ("", "ok", "can be used"),
        (None, "problem", "--enclave-options"),
        ("Permission denied", "warning", "usermod -aG ne"),
    ],
)
def test_device(device: str | None, status: str, word: str) -> None:
    finding = checks.check_device(case("parent", {"/dev/nitro_enclaves": device}))

    check_finding(finding, status, word)


@pytest.mark.parametrize(
    ("path", "manifest", "status"),
    [
        ("/usr/bin/nitro-cli", IMAGE, "ok"),
        ("", IMAGE, "problem"),
        ("", "", "warning"),
    ],
)
def test_nitro_cli_is_needed_for_an_image(
    path: str, manifest: str, status: str
) -> None:
    finding = checks.check_nitro_cli(
        case("parent", plan=plan_of(manifest), programs={"nitro-cli": path})
    )

    check_finding(finding, status, "nitro-cli")


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("memory_mib: 4096\ncpu_count: 2", "ok", ["set aside"]),
        ("memory_mib: 4096\ncpu_pool: 1,3", "ok", ["set aside"]),
        ("memory_mib: 4097\ncpu_count: 2", "problem", ["4097", "4096 MiB"]),
        ("memory_mib: 512\ncpu_count: 4", "problem", ["4", "2 processors"]),
        ("memory_mib: 512\ncpu_pool: 1,2,3", "problem", ["cpu_pool has 2"]),
        ("memory_mib: [", "problem", ["no YAML"]),
        ("- 1", "problem", ["no YAML"]),
        ("memory_mib: much", "ok", []),
        (None, "unknown", ["there is none"]),
    ],
)
def test_allocator_is_held_to_its_promises(
    text: str | None, status: str, words: list[str]
) -> None:
    finding = checks.check_allocator(case("parent", {checks.ALLOCATOR: text}))

    check_finding(finding, status, *words)


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, "ok", "4096 of 4096 MiB"),
        (NONE, "problem", "no huge pages"),
        (dict.fromkeys(NONE), "problem", "no huge pages"),
        ({**NONE, f"{SMALL}/nr_hugepages": "8"}, "warning", "none of the 16 MiB"),
    ],
)
def test_hugepages(changes: dict[str, str | None], status: str, word: str) -> None:
    check_finding(checks.check_hugepages(case("parent", changes)), status, word)


@pytest.mark.parametrize(
    ("pool", "manifest", "status", "word"),
    [
        ("1,3", "", "ok", "1,3"),
        ("", "", "problem", "whole cores"),
        (None, "", "problem", "whole cores"),
        ("2-3", "", "problem", "0,2"),
        ("1,3", f"{IMAGE}cpus = 2", "ok", "1,3"),
        ("1,3", f"{IMAGE}cpus = 4", "problem", "image.cpus is 4"),
        ("1,3", f"{IMAGE}cpus = 1", "problem", "2 threads"),
    ],
)
def test_cpus(pool: str | None, manifest: str, status: str, word: str) -> None:
    finding = checks.check_cpus(
        case("parent", {checks.CPU_POOL: pool}, plan=plan_of(manifest))
    )

    check_finding(finding, status, word)


def test_a_pool_that_cant_be_read_is_not_taken_for_none() -> None:
    troubles = {checks.CPU_POOL: "Permission denied"}

    check_finding(checks.check_cpus(case("parent", troubles=troubles)), "unknown")

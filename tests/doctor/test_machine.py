"""Checks of what every machine has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor.cases import case, check_finding
from tests.manifest.manifests import plan_of
from trionitro.doctor import Kind, ModuleSight
from trionitro.doctor import _machine as checks

RELEASE = "/proc/sys/kernel/osrelease"
HW_RANDOM = "/sys/devices/virtual/misc/hw_random/rng_available"


@pytest.mark.parametrize(
    ("release", "status"),
    [
        ("4.14.256-209", "ok"),
        ("6.1", "ok"),
        ("4.13.9", "problem"),
        ("3.10.0", "problem"),
        (None, "unknown"),
        ("Plan 9", "unknown"),
    ],
)
def test_kernel(release: str | None, status: str) -> None:
    check_finding(checks.check_kernel(case("vm", {RELEASE: release})), status)


@pytest.mark.parametrize(
    ("kind", "device", "vsock", "status", "word"),
    [
        ("parent", "", "", "ok", "/dev/vsock"),
        ("parent", None, "", "problem", "modprobe"),
        ("enclave", None, "", "problem", "CONFIG_VIRTIO_VSOCKETS"),
        ("machine", None, "", "warning", "local:"),
        ("parent", "Permission denied", "", "warning", "Permission denied"),
        ("machine", None, "local:/v", "ok", "local:/v"),
    ],
)
def test_vsock(
    kind: Kind, device: str | None, vsock: str, status: str, word: str
) -> None:
    finding = checks.check_vsock(case(kind, {"/dev/vsock": device}, vsock=vsock))

    check_finding(finding, status, word)


@pytest.mark.parametrize(
    ("kind", "cid", "status", "word"),
    [
        ("parent", 3, "ok", "parent"),
        ("parent", 2, "problem", "vhost_vsock"),
        ("parent", None, "unknown", "doesn't tell"),
        ("enclave", 16, "ok", "16"),
        ("enclave", 3, "problem", "4 or higher"),
        ("vm", 3, "ok", "3"),
    ],
)
def test_cid(kind: Kind, cid: int | None, status: str, word: str) -> None:
    check_finding(checks.check_cid(case(kind, cid=cid)), status, word)


def test_a_cid_is_not_missed_where_there_is_no_vsock() -> None:
    assert checks.check_cid(case("machine")) is None


@pytest.mark.parametrize(("cid", "status"), [(16, "ok"), (17, "problem")])
def test_the_cid_of_an_enclave_is_the_manifests(cid: int, status: str) -> None:
    finding = checks.check_cid(case("enclave", cid=cid, plan=plan_of("")))

    check_finding(finding, status, str(cid))


@pytest.mark.parametrize(("cid", "status"), [(2, "ok"), (3, "problem")])
def test_the_cid_of_a_parent_is_the_manifests(cid: int, status: str) -> None:
    plan = plan_of("parent_cid = 2")

    check_finding(checks.check_cid(case("parent", cid=cid, plan=plan)), status)


@pytest.mark.parametrize(
    ("modules", "status"),
    [("vhost_vsock 24576 0 - Live\n", "problem"), ("vsock 1\n", "ok")],
)
def test_vhost(modules: str, status: str) -> None:
    finding = checks.check_vhost(case("parent", {"/proc/modules": modules}))

    check_finding(finding, status)


@pytest.mark.parametrize("kind", ["enclave", "vm", "machine"])
def test_vhost_is_nothing_to_others(kind: Kind) -> None:
    modules = {"/proc/modules": "vhost_vsock 24576 0 - Live\n"}

    assert checks.check_vhost(case(kind, modules)) is None


@pytest.mark.parametrize(
    ("interfaces", "status"),
    [({"lo": 0x9}, "ok"), ({"lo": 0x8}, "problem"), ({"eth0": 0x1}, "unknown")],
)
def test_loopback(interfaces: dict[str, int], status: str) -> None:
    finding = checks.check_loopback(case("enclave", interfaces=interfaces))

    check_finding(finding, status)


@pytest.mark.parametrize(
    ("kind", "facts", "status", "word"),
    [
        ("vm", {"now": 0.0}, "problem", "1970-01-01"),
        ("parent", {}, "ok", "chronyd"),
        ("enclave", {"clock_offset": 0.2}, "ok", "/dev/ptp0"),
        ("enclave", {"clock_offset": -3.0}, "warning", "3.0 s behind"),
        ("enclave", {"clock_offset": 301.0}, "problem", "ahead of"),
        ("enclave", {}, "unknown", "CONFIG_PTP"),
        (
            "enclave",
            {"clock_offset": 0.0, "module": ModuleSight(clock_offset=9.0)},
            "warning",
            "the security module",
        ),
        (
            "enclave",
            {"clock_offset": 0.0, "module": ModuleSight(problem="it hangs")},
            "ok",
            "/dev/ptp0",
        ),
    ],
)
def test_clock(kind: Kind, facts: dict[str, Any], status: str, word: str) -> None:
    check_finding(checks.check_clock(case(kind, **facts)), status, word)


def test_a_clock_that_nothing_keeps_is_a_warning() -> None:
    changes = {"/run/chrony/chronyd.pid": None}

    check_finding(checks.check_clock(case("parent", changes)), "warning", "chronyd")


@pytest.mark.parametrize(
    ("kind", "changes", "seeded", "status", "word"),
    [
        ("machine", {}, True, "ok", "random"),
        ("machine", {}, False, "problem", "waits"),
        ("machine", {}, None, "unknown", "tell"),
        ("enclave", {}, True, "ok", "nsm-hwrng"),
        ("enclave", {HW_RANDOM: None}, True, "ok", "processor"),
        (
            "enclave",
            {HW_RANDOM: "virtio_rng.0", "/proc/cmdline": "random.trust_cpu=off"},
            True,
            "warning",
            "trionitro enclave",
        ),
    ],
)
def test_entropy(
    kind: Kind,
    changes: dict[str, str | None],
    seeded: bool | None,
    status: str,
    word: str,
) -> None:
    finding = checks.check_entropy(case(kind, changes, is_seeded=seeded))

    check_finding(finding, status, word)

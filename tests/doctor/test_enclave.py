"""Checks of what an enclave has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.doctor.cases import case, check_finding
from tests.manifest.manifests import egress, plan_of, volume
from trionitro.doctor import Case, Finding, ModuleSight
from trionitro.doctor import _enclave as checks

PLAN = plan_of(egress("kms.example") + volume("/mnt/a"))


@pytest.mark.parametrize(
    "check", [checks.check_hosts, checks.check_command, checks.check_file_systems]
)
def test_it_takes_an_enclave_and_a_manifest(
    check: Callable[[Case], Finding | None],
) -> None:
    assert check(case("enclave")) is None
    assert check(case("parent", plan=PLAN)) is None


def test_a_manifest_without_names_and_volumes_needs_neither() -> None:
    sparse = case("enclave", plan=plan_of(""))

    assert checks.check_hosts(sparse) is None
    assert checks.check_file_systems(sparse) is None


@pytest.mark.parametrize(
    ("module", "nsm", "status", "word"),
    [
        (ModuleSight(module_id="i-1-enc2"), "", "ok", "i-1-enc2"),
        (ModuleSight(problem="it hangs"), "", "problem", "it hangs"),
        (ModuleSight(problem="nobody"), "unix:/n", "problem", "nsm emulate"),
        (None, "", "problem", "CONFIG_NSM"),
    ],
)
def test_module(module: ModuleSight | None, nsm: str, status: str, word: str) -> None:
    finding = checks.check_module(case("enclave", module=module, nsm=nsm))

    check_finding(finding, status, word)


def test_nobody_else_needs_a_module() -> None:
    assert checks.check_module(case("parent")) is None


def test_an_emulated_module_is_checked_anywhere() -> None:
    dead = ModuleSight(problem="nobody listens")

    finding = checks.check_module(case("machine", module=dead, nsm="unix:/nsm"))

    check_finding(finding, "problem", "unix:/nsm")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("127.0.0.2 kms.example other", "ok"),
        ("127.0.0.2\tKMS.example # by hand", "ok"),
        ("127.0.0.9 kms.example", "warning"),
        ("# 127.0.0.2 kms.example", "warning"),
        (None, "warning"),
    ],
)
def test_hosts(text: str | None, status: str) -> None:
    finding = checks.check_hosts(case("enclave", {"/etc/hosts": text}, plan=PLAN))

    check_finding(finding, status)


@pytest.mark.parametrize(
    ("path", "status"), [("/usr/bin/python", "ok"), ("", "problem")]
)
def test_command(path: str, status: str) -> None:
    finding = checks.check_command(
        case("enclave", plan=PLAN, programs={"python": path})
    )

    check_finding(finding, status, "python")


@pytest.mark.parametrize(
    ("text", "status"), [("nodev\tnfs4\n", "ok"), ("nodev\tnfs\n", "problem")]
)
def test_file_systems(text: str, status: str) -> None:
    finding = checks.check_file_systems(
        case("enclave", {"/proc/filesystems": text}, plan=PLAN)
    )

    check_finding(finding, status)

"""Whole machines, from their files to the report."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.doctor.trees import ENCLAVE, LAPTOP, LO, PARENT, VM, FakeProbes, plant
from tests.manifest.manifests import WHOLE
from trionitro.doctor import Facts, ModuleSight, Report, Status, diagnose
from trionitro.doctor._look import look_further
from trionitro.manifest import Plan, parse_plan
from trionitro.testing import cancel_at_every_step

KMS = "kms.us-east-1.amazonaws.com"
OTHER_KMS = "kms.us-west-1.amazonaws.com"
PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB"
IN_USE = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
REFUSED = OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def names_of(report: Report, status: Status) -> set[str]:
    return {each.check for each in report.findings if each.status == status}


def parent_probes(**changes: Any) -> FakeProbes:
    sound: dict[str, Any] = {
        "own_cid": 3,
        "names": {KMS: ("192.0.2.1",), OTHER_KMS: ("192.0.2.2",)},
        "programs": {"nitro-cli": "/usr/bin/nitro-cli"},
    }
    return FakeProbes(**{**sound, **changes})


def enclave_probes(**changes: Any) -> FakeProbes:
    sound: dict[str, Any] = {
        "own_cid": 16,
        "links": LO,
        "programs": {"python": "/usr/bin/python"},
    }
    return FakeProbes(**{**sound, **changes})


@pytest.fixture(name="plan")
def _plan(tmp_path: Path) -> Plan:
    """A manifest with something of everything, and its image."""
    (tmp_path / "signer.eif").write_bytes(b".eif" + bytes(1000))
    return parse_plan(WHOLE, source=str(tmp_path / "nitro.toml"))


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    return tmp_path / "root"


async def test_a_sound_parent(root: Path) -> None:
    report = await diagnose(parent_probes(), root=plant(root, PARENT))

    assert report.kind == "parent"
    assert report.is_healthy
    assert names_of(report, "ok") == {each.check for each in report.findings}
    assert {"hugepages", "cpus", "allocator", "allowlist", "dns", "vhost"} <= names_of(
        report, "ok"
    )


async def test_a_sound_enclave(root: Path) -> None:
    report = await diagnose(enclave_probes(), root=plant(root, ENCLAVE))

    assert report.kind == "enclave"
    assert names_of(report, "ok") == {each.check for each in report.findings}
    assert {"nsm", "entropy", "clock", "lo"} <= names_of(report, "ok")


@pytest.mark.parametrize(("tree", "kind"), [(LAPTOP, "machine"), (VM, "vm")])
async def test_a_machine_for_development_is_no_problem(
    root: Path, tree: Mapping[str, str], kind: str
) -> None:
    report = await diagnose(FakeProbes(), root=plant(root, tree))

    assert report.kind == kind
    assert report.is_healthy
    assert names_of(report, "warning") == ({"vsock"} if kind == "machine" else set())


async def test_an_empty_root_is_no_reason_to_fail(root: Path) -> None:
    root.mkdir()

    report = await diagnose(FakeProbes(links={}), root=root)

    assert report.kind == "machine"
    assert report.is_healthy
    assert names_of(report, "unknown") == {"kernel", "lo"}


async def test_a_parent_with_all_that_its_manifest_needs(
    root: Path, plan: Plan
) -> None:
    report = await diagnose(parent_probes(), root=plant(root, PARENT), plan=plan)

    assert names_of(report, "ok") == {each.check for each in report.findings}
    assert {"manifest", "image", "memory", "running", "ports", "volumes"} <= names_of(
        report, "ok"
    )
    assert report.digest == plan.digest


async def test_an_enclave_with_all_that_its_manifest_needs(
    root: Path, plan: Plan
) -> None:
    hosts = "".join(f"{line}\n" for line in plan.hosts)

    report = await diagnose(
        enclave_probes(), root=plant(root, {**ENCLAVE, "/etc/hosts": hosts}), plan=plan
    )

    assert names_of(report, "ok") == {each.check for each in report.findings}
    assert {"manifest", "ports", "volumes", "hosts", "command"} <= names_of(
        report, "ok"
    )


@pytest.mark.parametrize(
    ("changes", "probes", "broken"),
    [
        ({"/dev/nitro_enclaves": None}, {}, {"enclaves"}),
        ({"/dev/vsock": None}, {"own_cid": None}, {"vsock"}),
        ({}, {"own_cid": 2}, {"cid"}),
        ({"/proc/modules": "vhost_vsock 1\n"}, {}, {"vhost"}),
        ({}, {"links": {"lo": 0x8}}, {"lo"}),
        ({}, {"time": 0.0}, {"clock"}),
        ({}, {"seeded": False}, {"entropy"}),
        ({}, {"programs": {}}, {"nitro-cli"}),
        (
            {f"{PAGES}/nr_hugepages": "0", f"{PAGES}/free_hugepages": "0"},
            {},
            {"allocator"},
        ),
        (
            {"/sys/module/nitro_enclaves/parameters/ne_cpus": ""},
            {},
            {"allocator", "cpus"},
        ),
        ({"/etc/nitro_enclaves/vsock-proxy.yaml": "no: list"}, {}, {"allowlist"}),
        ({}, {"names": {KMS: ("192.0.2.1",)}}, {"dns"}),
        ({}, {"enclaves": {16: "other"}}, {"running"}),
        ({}, {"ports": {"vsock://:1608000": IN_USE}}, {"ports"}),
        ({}, {"servers": {"tcp://127.0.0.1:2049": REFUSED}}, {"volumes"}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, set) else "",
)
async def test_a_broken_parent(
    root: Path,
    plan: Plan,
    changes: dict[str, str | None],
    probes: dict[str, Any],
    broken: set[str],
) -> None:
    report = await diagnose(
        parent_probes(**probes), root=plant(root, {**PARENT, **changes}), plan=plan
    )

    assert report.kind == "parent"
    assert names_of(report, "problem") == broken
    assert not report.is_healthy


@pytest.mark.parametrize(
    ("changes", "probes", "broken"),
    [
        ({"/dev/nsm": None}, {}, {"nsm"}),
        ({}, {"module": ModuleSight(problem="it hangs")}, {"nsm"}),
        ({"/dev/vsock": None}, {"own_cid": None}, {"vsock"}),
        ({}, {"own_cid": 17}, {"cid"}),
        ({}, {"links": {"lo": 0x8}}, {"lo"}),
        ({}, {"seeded": False}, {"entropy"}),
        ({}, {"module": ModuleSight(clock_offset=-400.0)}, {"clock"}),
        ({"/proc/filesystems": "nodev\tproc\n"}, {}, {"volumes"}),
        ({}, {"programs": {}}, {"command"}),
        ({}, {"ports": {"tcp://127.0.0.2:443": IN_USE}}, {"ports"}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, set) else "",
)
async def test_a_broken_enclave(
    root: Path,
    plan: Plan,
    changes: dict[str, str | None],
    probes: dict[str, Any],
    broken: set[str],
) -> None:
    report = await diagnose(
        enclave_probes(**probes), root=plant(root, {**ENCLAVE, **changes}), plan=plan
    )

    assert report.kind == "enclave"
    assert names_of(report, "problem") == broken


async def test_a_missing_image_is_told_with_its_path(root: Path, plan: Plan) -> None:
    image = plan.manifest.image
    assert image is not None
    Path(image.eif).unlink()

    report = await diagnose(parent_probes(), root=plant(root, PARENT), plan=plan)

    (finding,) = (each for each in report.findings if each.status == "problem")
    assert image.eif in finding.found


async def test_an_enclave_asks_no_resolver(root: Path, plan: Plan) -> None:
    probes = enclave_probes()

    await diagnose(probes, root=plant(root, ENCLAVE), plan=plan)

    assert not {KMS, OTHER_KMS} & set(probes.asked)


async def test_without_a_vsock_none_of_its_ports_is_tried(
    root: Path, plan: Plan
) -> None:
    probes = parent_probes(own_cid=None)

    await diagnose(probes, root=plant(root, {**PARENT, "/dev/vsock": None}), plan=plan)

    assert not [asked for asked in probes.asked if asked.startswith("vsock:")]


async def test_an_allowlist_of_ones_own_is_read_and_its_names_looked_up(
    root: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("allowlist:\n- {address: own.example, port: 443}\n")
    probes = parent_probes()

    report = await diagnose(probes, root=plant(root, PARENT), allowlist=str(rules))

    assert "own.example" in probes.asked
    assert KMS not in probes.asked
    assert names_of(report, "warning") == {"dns"}


async def test_an_allowlist_that_is_not_there_is_a_problem(root: Path) -> None:
    report = await diagnose(
        parent_probes(), root=plant(root, PARENT), allowlist="/no/such.yaml"
    )

    assert names_of(report, "problem") == {"allowlist"}


async def test_a_nitro_cli_that_fails_is_left_out(root: Path, plan: Plan) -> None:
    report = await diagnose(
        parent_probes(enclaves=None), root=plant(root, PARENT), plan=plan
    )

    assert report.is_healthy
    assert "running" not in {each.check for each in report.findings}


@pytest.fixture(name="hanging")
def _hanging() -> Iterator[FakeProbes]:
    """A parent whose huge pages, memory and devices hang, and whose network is dead."""
    probes = parent_probes(
        hung=frozenset({"osrelease", "ne_cpus", "nitro_enclaves"}),
        is_network_dead=True,
    )
    yield probes
    probes.end_of_hanging.set()


async def test_what_hangs_is_left_and_told_of(
    root: Path, plan: Plan, hanging: FakeProbes, mock_clock: trio.testing.MockClock
) -> None:
    # Fast enough not to bore; on a loaded machine sound files may come too late as
    # well, hence only what hangs is looked at.
    mock_clock.rate = 50.0

    report = await diagnose(hanging, root=plant(root, PARENT), plan=plan)

    found = {each.check: each for each in report.findings}
    assert found["kernel"].status == "unknown"
    assert found["cpus"].status == "unknown"
    assert found["dns"].status == "problem"
    for check in ("cpus", "enclaves", "volumes"):
        assert "no answer within" in found[check].found


def test_a_process_ends_though_its_files_hang() -> None:
    program = """
import threading, trio, trio.testing
from trionitro.doctor import Probes, SystemProbes, diagnose

Probes.read_file = lambda self, path: threading.Event().wait()
clock = trio.testing.MockClock(rate=50.0)
print(trio.run(diagnose, SystemProbes(), clock=clock).findings[0].status)
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
    )

    assert done.stdout == "unknown\n"


def test_looking_further_can_be_cancelled_at_every_step(plan: Plan) -> None:
    facts = Facts(devices={"/dev/nsm": "", "/dev/vsock": ""})

    async def scenario() -> None:
        await look_further(
            facts, "parent", parent_probes(), plan=plan, names=[KMS, OTHER_KMS]
        )

    assert cancel_at_every_step(scenario) > 20

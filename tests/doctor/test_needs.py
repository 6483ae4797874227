"""Checks of what a manifest needs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor.cases import case, check_finding
from tests.manifest.manifests import WHOLE, plan_of
from trionitro.doctor import ImageSight, Kind
from trionitro.doctor import _needs as checks
from trionitro.manifest import parse_plan

MIB = 2**20
EIF = ImageSight(size=100 * MIB, magic=b".eif")


def image(memory: int = 512, *, debug: bool = False) -> str:
    debugging = str(debug).lower()
    return f'[image]\neif = "a.eif"\nmemory = {memory}\ndebug = {debugging}\n'


def test_the_digest_is_shown_in_full() -> None:
    plan = plan_of("")

    finding = checks.check_manifest(case("vm", plan=plan))

    check_finding(finding, "ok", "signer", "CID 16", plan.digest.hex())


def test_without_a_manifest_nothing_is_needed() -> None:
    bare = case("parent", image=EIF, ports={"tcp://[::]:1": "No"}, enclaves={16: "x"})

    assert checks.check_manifest(bare) is None
    assert checks.check_image(bare) is None
    assert checks.check_memory(bare) is None
    assert checks.check_ports(bare) is None
    assert checks.check_running(bare) is None


@pytest.mark.parametrize(
    ("kind", "ports"),
    [
        (
            "parent",
            {
                "vsock://:1608000",
                "vsock://:1608001",
                "vsock://:1608002",
                "vsock://:1608003",
                "vsock://:1617000",
                "vsock://:1617001",
                "vsock://:1617002",
                "vsock://:1620000",
                "tcp://0.0.0.0:8443",
                "unix:///run/signer.sock",
            },
        ),
        (
            "enclave",
            {
                "tcp://127.0.0.2:443",
                "tcp://127.0.0.2:8443",
                "tcp://127.0.0.3:5432",
                "tcp://192.0.2.7:443",
                "tcp://127.1.0.1:2049",
                "tcp://127.0.0.1:17002",
                "vsock://:1612000",
                "vsock://:1612001",
            },
        ),
    ],
)
def test_each_half_listens_on_its_own(kind: Kind, ports: set[str]) -> None:
    plan = parse_plan(WHOLE, source="nitro.toml")

    assert set(map(str, checks.ports_of(plan, kind))) == ports


@pytest.mark.parametrize(
    ("why", "status", "word"),
    [
        ("", "ok", "all of 2"),
        ("Address already in use", "problem", "ss -ltnp"),
        ("Cannot assign requested address", "problem", "trionitro enclave"),
        ("Permission denied", "problem", "CAP_NET_BIND_SERVICE"),
        ("Bad luck", "problem", "mend"),
    ],
)
def test_ports(why: str, status: str, word: str) -> None:
    ports = {"tcp://127.0.0.2:443": why, "vsock://:1": ""}

    finding = checks.check_ports(case("enclave", plan=plan_of(""), ports=ports))

    check_finding(finding, status, word, why)


@pytest.mark.parametrize(
    ("sight", "debug", "status", "word"),
    [
        (EIF, False, "ok", "100.0 MiB"),
        (EIF, True, "warning", "debug"),
        (ImageSight(problem="No such file"), False, "problem", "No such file"),
        (ImageSight(size=9, magic=b"\x7fELF"), False, "problem", "ELF"),
    ],
)
def test_image(sight: ImageSight, debug: bool, status: str, word: str) -> None:
    plan = plan_of(image(debug=debug))

    check_finding(
        checks.check_image(case("parent", plan=plan, image=sight)), status, word
    )


@pytest.mark.parametrize(
    ("memory", "facts", "status", "word"),
    [
        (400, {"image": EIF}, "ok", "400"),
        (399, {"image": EIF}, "problem", "400"),
        (401, {"image": ImageSight(size=100 * MIB + 1)}, "ok", "401"),
        (400, {"image": ImageSight(size=100 * MIB + 1)}, "problem", "404"),
        (4097, {"image": EIF}, "problem", "4096 MiB"),
        (4097, {"image": EIF, "enclaves": {16: "other"}}, "problem", "4096 MiB"),
        (4097, {"image": EIF, "enclaves": {16: "signer"}}, "ok", "4097"),
    ],
)
def test_memory(memory: int, facts: dict[str, Any], status: str, word: str) -> None:
    plan = plan_of(image(memory))

    check_finding(checks.check_memory(case("parent", plan=plan, **facts)), status, word)


@pytest.mark.parametrize("check", [checks.check_image, checks.check_memory])
@pytest.mark.parametrize("kind", ["enclave", "vm", "machine"])
def test_an_image_is_the_parents(check: Any, kind: Kind) -> None:
    assert check(case(kind, plan=plan_of(image()), image=EIF)) is None


@pytest.mark.parametrize(
    ("enclaves", "status", "word"),
    [
        ({}, "ok", "no enclave"),
        ({17: "other"}, "ok", "no enclave"),
        ({16: "signer"}, "warning", "takes it over"),
        ({16: "other"}, "problem", "other"),
        ({16: ""}, "problem", "without a name"),
    ],
)
def test_running(enclaves: dict[int, str], status: str, word: str) -> None:
    finding = checks.check_running(case("parent", plan=plan_of(""), enclaves=enclaves))

    check_finding(finding, status, word)

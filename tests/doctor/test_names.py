"""Checks of what may be reached, and what resolves."""

from __future__ import annotations

import pytest

from tests.doctor.cases import case, check_finding
from tests.manifest.manifests import egress, plan_of, volume
from trionitro.doctor import Kind
from trionitro.doctor import _names as checks
from trionitro.proxy import Allowlist

RULES = "allowlist:\n- {address: kms.example, port: 443}\n"
CIDR = "- {address: 10.0.0.0/8, port: 443}\n"
RESOLVER = "/etc/resolv.conf"


def allowlist(text: str = RULES) -> Allowlist:
    return Allowlist.parse(text, source="rules.yaml")


def test_no_allowlist_is_nothing_to_tell_of() -> None:
    assert checks.check_allowlist(case("parent")) is None


@pytest.mark.parametrize(
    ("rules", "status", "word"),
    [
        (allowlist(), "ok", "1 rules"),
        (allowlist("allowlist: []"), "warning", "nothing"),
        ("rules.yaml, line 3: no", "problem", "line 3"),
    ],
)
def test_allowlist(rules: Allowlist | str, status: str, word: str) -> None:
    check_finding(checks.check_allowlist(case("parent", allowlist=rules)), status, word)


@pytest.mark.parametrize(
    ("host", "text", "status"),
    [
        ("kms.example", RULES, "ok"),
        ("other.example", RULES, "problem"),
        ("other.example", RULES + CIDR, "ok"),  # where it leads to may be allowed
    ],
)
def test_an_allowlist_that_is_asked_about_allows_what_the_manifest_needs(
    host: str, text: str, status: str
) -> None:
    finding = checks.check_allowlist(
        case(
            "parent",
            plan=plan_of(egress(host)),
            allowlist=allowlist(text),
            allowlist_is_asked=True,
        )
    )

    check_finding(finding, status)


def test_aws_own_allowlist_is_not_held_against_a_manifest() -> None:
    plan = plan_of(egress("other.example"))

    finding = checks.check_allowlist(case("parent", plan=plan, allowlist=allowlist()))

    check_finding(finding, "ok")


@pytest.mark.parametrize(
    ("names", "status", "word"),
    [
        ({"kms.example": ("192.0.2.1",), "b.example": ("::1",)}, "ok", "2 names"),
        ({"kms.example": ("192.0.2.1",), "b.example": ()}, "warning", "1 of 2"),
        ({"kms.example": (), "b.example": ()}, "problem", "kms.example"),
    ],
)
def test_names_that_the_manifest_needs_must_resolve(
    names: dict[str, tuple[str, ...]], status: str, word: str
) -> None:
    plan = plan_of(egress("kms.example"))

    check_finding(
        checks.check_names(case("parent", plan=plan, names=names)), status, word
    )


def test_many_names_that_dont_resolve_make_a_short_line() -> None:
    names: dict[str, tuple[str, ...]] = {f"n{i}.example": () for i in range(70)}

    finding = checks.check_names(case("parent", names=names))

    check_finding(finding, "warning", "70 of 70", "and 65 more")


@pytest.mark.parametrize("names", [{}, {"kms.example": ()}])
@pytest.mark.parametrize("resolver", [None, "search example\n"])
def test_a_machine_without_a_nameserver_is_told(
    names: dict[str, tuple[str, ...]], resolver: str | None
) -> None:
    finding = checks.check_names(case("vm", {RESOLVER: resolver}, names=names))

    check_finding(finding, "warning", "nameserver")


def test_a_nameserver_is_fine_where_no_name_is_needed() -> None:
    check_finding(checks.check_names(case("vm")), "ok")


def test_an_enclave_has_no_dns_and_needs_none() -> None:
    assert checks.check_names(case("enclave", {RESOLVER: None})) is None


def test_the_names_of_a_plan_are_its_hosts_without_addresses() -> None:
    plan = plan_of(egress("a.example") + egress("192.0.2.1") + egress("a.example", 80))

    assert checks.names_of_plan(plan) == ["a.example"]


def test_the_names_of_an_allowlist_are_those_without_a_wildcard() -> None:
    rules = allowlist(
        f"{RULES}- {{address: '*.example', port: 443}}\n"
        f"- {{address: kms.example, port: 80}}\n{CIDR}"
    )

    assert checks.names_of_allowlist(rules) == ["kms.example"]


@pytest.mark.parametrize(
    ("trouble", "status"), [("", "ok"), ("Connection refused", "problem")]
)
def test_servers_of_volumes(trouble: str, status: str) -> None:
    servers = {"tcp://127.0.0.1:2049": trouble}
    finding = checks.check_servers(
        case("parent", plan=plan_of(volume("/mnt/a")), servers=servers)
    )

    check_finding(finding, status, trouble)


@pytest.mark.parametrize(
    ("kind", "manifest"), [("enclave", volume("/mnt/a")), ("parent", "")]
)
def test_servers_are_nothing_to_an_enclave_or_without_volumes(
    kind: Kind, manifest: str
) -> None:
    assert checks.check_servers(case(kind, plan=plan_of(manifest))) is None

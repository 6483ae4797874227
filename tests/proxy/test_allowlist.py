from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._exceptions import ConfigError
from trionitro.proxy._allowlist import NO_ALLOWLIST, Allowlist, TargetPolicy
from trionitro.proxy._rules import Rule

METADATA = ("169.254.169.254", "169.254.170.2", "169.254.170.23")
METADATA_V6 = ("fd00:ec2::254", "fd00:ec2::23")


def allowlist(*addresses: str, port: int = 443) -> Allowlist:
    """Make an allowlist of addresses, all with one port."""
    rules = (Rule.parse(index, text, port) for index, text in enumerate(addresses))
    return Allowlist("list.yaml", tuple(rules))


def allows(policy: TargetPolicy, host: str, address: str) -> bool:
    """Ask about port 443, as most of these tests do."""
    return policy.decide(host, 443, address).allowed


# --- what each sentence of the format promises ------------------------------------


def test_the_first_rule_that_matches_decides_and_is_told() -> None:
    policy = allowlist("b.example", "*.example", "a.example")

    decision = policy.decide("a.example", 443, "192.0.2.1")

    assert decision.rule == policy.rules[1]
    assert decision.reason == (
        "allowlist[1] (*.example, port 443) of list.yaml allows"
        " tcp://a.example:443 at 192.0.2.1"
    )


def test_a_refusal_says_what_was_asked_and_that_no_rule_is_for_the_port() -> None:
    decision = allowlist("a.example").decide("a.example", 80, "192.0.2.1")

    assert not decision.allowed
    assert decision.rule is None
    assert decision.reason == (
        "no rule of list.yaml allows tcp://a.example:80 at 192.0.2.1: none is for"
        " port 80"
    )


def test_an_empty_list_allows_nothing() -> None:
    assert not allows(allowlist(), "a.example", "192.0.2.1")


def test_a_wildcard_takes_any_number_of_labels_but_never_none() -> None:
    policy = allowlist("*.example")

    assert allows(policy, "a.example", "192.0.2.1")
    assert allows(policy, "b.a.example", "192.0.2.1")
    assert not allows(policy, "example", "192.0.2.1")
    assert not allows(policy, "anexample", "192.0.2.1")


def test_a_name_allows_the_literal_addresses_it_resolves_to_but_no_other_name() -> None:
    policy = allowlist("A.example.")
    resolved = {"a.example": ["192.0.2.9", "192.0.2.1"]}

    assert policy.names_at(443) == ("a.example",)
    assert policy.decide("192.0.2.1", 443, "192.0.2.1", resolved=resolved).allowed
    assert not policy.decide("192.0.2.1", 443, "192.0.2.1").allowed
    assert not policy.decide("b.example", 443, "192.0.2.1", resolved=resolved).allowed


def test_an_address_allows_the_names_that_lead_to_it() -> None:
    policy = allowlist("192.0.2.1")

    assert allows(policy, "a.example", "192.0.2.1")
    assert not allows(policy, "a.example", "192.0.2.2")


def test_names_at_a_port_are_the_exact_ones_each_once() -> None:
    rules = [("a.example", 443), ("*.b.example", 443), ("10.0.0.1", 443)]
    rules += [("c.example", 80), ("A.example.", 443), ("d.example", 443)]
    policy = Allowlist("x", tuple(Rule.parse(0, *rule) for rule in rules))

    assert policy.names_at(443) == ("a.example", "d.example")


@pytest.mark.parametrize("address", [*METADATA, *METADATA_V6, "0.0.0.0", "fe80::9"])
def test_a_special_address_takes_a_rule_that_names_it(address: str) -> None:
    loose = allowlist("evil.example", "*.example", "0.0.0.0/0", "::/0", "fd00::/8")
    exact = allowlist(address)

    refusal = loose.decide("evil.example", 443, address)

    assert not refusal.allowed
    assert "which only a rule for that address" in refusal.reason
    assert not allows(loose, address, address)
    assert allows(exact, "evil.example", address)
    assert allows(
        allowlist(f"{address}/128" if ":" in address else f"{address}/32"),
        address,
        address,
    )


@given(st.ip_addresses(v=4))
def test_every_disguise_of_an_ipv4_address_counts_as_the_address(
    address: ipaddress.IPv4Address,
) -> None:
    word = int(address)
    disguises = (
        ipaddress.IPv6Address(0xFFFF << 32 | word),
        ipaddress.IPv6Address(0x64_FF9B << 96 | word),
        ipaddress.IPv6Address(0x2002 << 112 | word << 80 | 0x1234),
    )
    anywhere = allowlist("0.0.0.0/0", "::/0")

    for disguise in map(str, disguises):
        assert allows(allowlist(str(address)), disguise, disguise)
        assert allows(allowlist(disguise), str(address), str(address))
        assert allows(anywhere, "x", disguise) == allows(anywhere, "x", str(address))


def test_a_name_without_an_idna_form_matches_no_name_but_still_an_address() -> None:
    policy = allowlist("example", "*.example", "192.0.2.0/24")

    assert allows(policy, "\u2615_.example", "192.0.2.1")
    assert not allows(policy, "\u2615_.example", "198.51.100.1")


def test_what_is_dialled_must_be_an_address() -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6"):
        allowlist("a.example").decide("a.example", 443, "a.example")


def test_a_literal_target_is_decided_without_dns_as_far_as_that_goes() -> None:
    policy = allowlist("a.example", "10.0.0.0/8")

    assert policy.could_allow("10.1.2.3", 443).rule == policy.rules[1]
    assert not policy.could_allow("192.0.2.1", 443).allowed


# --- without an allowlist ---------------------------------------------------------


def test_without_an_allowlist_all_is_allowed_but_special_addresses_not_named() -> None:
    assert allows(NO_ALLOWLIST, "a.example", "192.0.2.1")
    assert NO_ALLOWLIST.could_allow("a.example", 1).allowed
    assert NO_ALLOWLIST.names_at(443) == ()
    for address in (*METADATA, *METADATA_V6):
        assert allows(NO_ALLOWLIST, address, address)
        assert not allows(NO_ALLOWLIST, "a.example", address)


def test_without_an_allowlist_another_literal_doesnt_name_a_special_address() -> None:
    assert allows(NO_ALLOWLIST, "::ffff:169.254.169.254", "169.254.169.254")
    assert not allows(NO_ALLOWLIST, "169.254.1.1", "169.254.169.254")


# --- from a file ------------------------------------------------------------------


def test_a_file_is_read_and_its_errors_name_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("allowlist:\n- {address: a.example, port: 443}\n")
    bad.write_text("allowlist:\n- {address: a b, port: 443}\n")

    assert allows(Allowlist.read(good), "a.example", "192.0.2.1")
    with pytest.raises(ConfigError) as problem:
        Allowlist.read(bad)
    assert str(problem.value).startswith(f"{bad}, line 2: allowlist[0].address was")


def test_a_file_that_isnt_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        Allowlist.read(tmp_path / "none.yaml")

    assert str(problem.value) == (
        f"can't read '{tmp_path}/none.yaml': No such file or directory: give a file"
        " like vsock-proxy.yaml, or leave the allowlist out to allow every target"
    )


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_complaint_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)

    with pytest.raises(ConfigError) as problem:
        Allowlist.read(path)

    assert str(problem.value).isprintable()

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.manifest.manifests import WHOLE, egress, ingress, plan_of, volume
from trionitro import ConfigError, TcpEndpoint, VsockEndpoint
from trionitro.manifest import Plan, parse_plan

WHOLE_PLAN = parse_plan(WHOLE, source="nitro.toml")


def conflict_in(text: str) -> str:
    """Plan nothing, and return why."""
    with pytest.raises(ConfigError) as problem:
        plan_of(text)
    message = str(problem.value)
    assert message.startswith("nitro.toml: ")
    assert len(message.splitlines()) == 1
    return message


def address_of(plan: Plan, place: str) -> str:
    """Return where the enclave listens for an entry."""
    (route,) = [link.enclave for link in plan.links if link.place == place]
    assert route is not None
    return str(route.listen).removeprefix("tcp://")


def test_a_destination_has_a_loopback_address_and_a_line_in_hosts() -> None:
    plan = plan_of(egress("kms.example") + egress("db.example", 5432))

    assert plan.addresses == ("127.0.0.2", "127.0.0.3")
    assert list(map(str, plan.hosts)) == [
        "127.0.0.2\tkms.example",
        "127.0.0.3\tdb.example",
    ]


def test_the_routes_of_both_halves_meet() -> None:
    for link in WHOLE_PLAN.links:
        if link.parent is None or link.enclave is None:
            continue
        ours, theirs = link.parent, link.enclave
        if link.direction == "in":
            ours, theirs = theirs, ours
        assert ours.listen == VsockEndpoint(None, link.vsock_port)
        assert theirs.forward == VsockEndpoint(
            3 if link.direction == "out" else 16, link.vsock_port
        )


def test_only_the_other_half_may_connect_over_vsock() -> None:
    for route in WHOLE_PLAN.parent_routes:
        assert not isinstance(route.listen, VsockEndpoint) or route.allow_cids == {16}
    for route in WHOLE_PLAN.enclave_routes:
        assert not isinstance(route.listen, VsockEndpoint) or route.allow_cids == {3}


def test_one_host_has_one_address_whatever_its_ports() -> None:
    plan = plan_of(egress("a") + egress("b") + egress("A.", 8443) + egress("c"))

    assert address_of(plan, "egress[0]") == "127.0.0.2:443"
    assert address_of(plan, "egress[2]") == "127.0.0.2:8443"
    assert address_of(plan, "egress[3]") == "127.0.0.5:443"
    assert [line.names for line in plan.hosts] == [("a",), ("b",), ("c",)]


def test_a_literal_address_is_taken_over_as_it_is() -> None:
    plan = plan_of(egress("192.0.2.7") + egress("2001:db8::7"))

    assert plan.addresses == ("192.0.2.7", "2001:db8::7")
    assert plan.hosts == ()


def test_a_loopback_address_means_the_parent_s_and_gets_another() -> None:
    plan = plan_of(egress("127.0.0.1", 5432) + 'names = ["db"]')

    (route,) = plan.parent_routes
    assert route.forward == TcpEndpoint("127.0.0.1", 5432)
    assert address_of(plan, "egress[0]") == "127.0.0.2:5432"
    assert list(map(str, plan.hosts)) == ["127.0.0.2\tdb"]


def test_what_is_given_is_kept_also_for_the_host_s_other_ports() -> None:
    plan = plan_of(egress("a") + egress("a", 80, address="127.0.0.9", vsock_port=5000))

    assert address_of(plan, "egress[0]") == "127.0.0.9:443"
    assert [link.vsock_port for link in plan.links[:2]] == [1_608_000, 5000]


def test_a_volume_s_routes_wait_for_who_is_away_and_an_egress_s_do_not() -> None:
    """A kernel's NFS client would connect again and again, without a pause."""
    links = plan_of(egress("kms.example") + volume("/mnt")).links

    attempts = {
        link.place: {route.connect_attempts for route in (link.parent, link.enclave)}
        for link in links
        if link.parent is not None and link.enclave is not None
    }
    assert attempts == {"egress[0]": {1}, "volume[0]": {30}}


def test_the_volumes_of_one_server_share_its_route() -> None:
    plan = plan_of(
        volume("/a", "/srv/a")
        + volume("/b", "/srv/b", server="10.0.0.9:2049")
        + volume("/c", "/srv/c", vsock_port=20000)
    )

    assert [volume.source for volume in plan.volumes] == [
        "127.1.0.1:/srv/a",
        "10.0.0.9:/srv/b",
        "127.1.0.1:/srv/c",
    ]
    assert [route.forward for route in plan.parent_routes] == [
        TcpEndpoint("127.0.0.1", 2049),
        TcpEndpoint("10.0.0.9", 2049),
    ]
    assert plan.links[0].vsock_port == 20000


def test_the_allowlist_holds_what_the_routes_need_and_no_more() -> None:
    rules = [(rule.address, rule.port) for rule in WHOLE_PLAN.allowlist.rules]

    assert rules == [
        ("kms.us-west-1.amazonaws.com", 443),
        ("127.0.0.1", 5432),
        ("10.0.0.0/8", 8443),
        ("192.0.2.7", 443),
        ("127.0.0.1", 2049),
    ]


def test_a_wrong_rule_is_named_with_its_entry() -> None:
    message = conflict_in(egress("a") + 'allow = ["10.0.0.0/99"]')

    assert "egress[0].allow" in message
    assert "10.0.0.0/99" in message


def test_the_sdk_s_variable_is_set_where_credentials_are_given() -> None:
    plan = plan_of("environment = {A = '1'}\n[credentials]\nport = 8002")

    assert plan.environment == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:8002/credentials",
        "A": "1",
    }
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in plan_of("").environment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (egress("a") + egress("A."), ["egress[0] (a:443)", "egress[1] (A.:443)"]),
        (
            egress("a") + egress("b", address="127.0.0.2"),
            ["address 127.0.0.2", "egress[0] (a:443)", "egress[1] (b:443)"],
        ),
        (
            egress("a", address="127.0.0.8") + egress("a", 80, address="127.0.0.9"),
            ["one address", "egress[0]", "egress[1]"],
        ),
        (
            egress("a") + 'names = ["db"]\n' + egress("b") + 'names = ["db"]',
            ["name db", "egress[0]", "egress[1]"],
        ),
        (
            egress("a", vsock_port=5000) + egress("b", vsock_port=5000),
            ["vsock port 5000", "egress[0]", "egress[1]", "vsock_port"],
        ),
        (
            egress("a", vsock_port=1_617_000),
            ["vsock port 1617000", "egress[0]", "control"],
        ),
        (
            ingress("[::1]:1", vsock_port=5000) + ingress("h:2", vsock_port=5000),
            ["enclave's vsock port 5000", "ingress[0]", "ingress[1]"],
        ),
        (ingress("127.0.0.1:1") + ingress("127.0.0.1:1"), ["ingress[0]", "ingress[1]"]),
        (ingress("0.0.0.0:1") + ingress("127.0.0.1:1"), ["ingress[0]", "ingress[1]"]),
        (ingress(":1") + ingress("[::1]:1"), ["ingress[0]", "ingress[1]"]),
        (ingress("unix:///a") + ingress("unix:///a"), ["ingress[0]", "ingress[1]"]),
        (
            ingress("h:1", 17002) + "[credentials]",
            ["127.0.0.1:17002", "ingress[0]", "credentials"],
        ),
        (volume("/a") + volume("/a"), ["/a is mounted on twice", "volume[1]"]),
        (volume("/a/b") + volume("/a"), ["/a/b", "lie in each other", "volume[1]"]),
        (
            volume("/a", address="127.0.0.8") + volume("/b", address="127.0.0.9"),
            ["one address", "volume[0]", "volume[1]"],
        ),
        (
            egress("a", address="127.1.0.1") + volume("/a"),
            ["127.1.0.1", "egress[0]", "volume[0]"],
        ),
    ],
)
def test_two_that_want_the_same_are_both_named(text: str, words: list[str]) -> None:
    message = conflict_in(text)

    for word in words:
        assert word in message


def test_what_only_looks_like_a_conflict_is_none() -> None:
    plan_of(
        egress("a", vsock_port=5000)
        + ingress("127.0.0.1:1", 8080, vsock_port=5000)  # the other half's port
        + ingress("127.0.0.2:1", 8080)  # two ways to one application
        + ingress("127.0.0.1:0")
        + ingress("127.0.0.1:0")
        + volume("/mnt/a")
        + volume("/mnt/ab")
    )


HOSTS = st.sampled_from(["a", "b.example", "192.0.2.7", "127.0.0.1", "2001:db8::1"])
ENTRIES = st.lists(
    st.one_of(
        st.builds(egress, HOSTS, st.integers(1, 9)),
        st.integers(1, 9).map(lambda port: ingress(f"127.0.0.1:{port}", port)),
        st.integers(0, 9).map(lambda number: volume(f"/mnt/{number}")),
    ),
    unique=True,
    max_size=12,
)


@given(ENTRIES)
def test_appending_an_entry_changes_nothing_for_those_before_it(
    entries: list[str],
) -> None:
    plans = [plan_of("".join(entries[:count])) for count in range(len(entries) + 1)]

    for before, after in itertools.pairwise(plans):
        assert set(before.links) <= set(after.links)
        assert set(before.addresses) <= set(after.addresses)
        assert set(before.hosts) <= set(after.hosts)


@given(ENTRIES)
def test_a_plan_follows_from_its_manifest_alone(entries: list[str]) -> None:
    text = "".join(entries)

    assert plan_of(text) == plan_of(text)


@given(ENTRIES)
def test_no_address_or_port_is_given_twice(entries: list[str]) -> None:
    plan = plan_of("".join(entries))

    for routes in (plan.parent_routes, plan.enclave_routes):
        listens = [route.listen for route in routes]
        assert len(listens) == len(set(listens))
    for name in {name for line in plan.hosts for name in line.names}:
        assert len([line for line in plan.hosts if name in line.names]) == 1


def test_enclaves_with_other_cids_have_other_ports() -> None:
    other = parse_plan(WHOLE.replace("cid = 16", "cid = 17"), source="nitro.toml")

    ours, theirs = (
        {link.vsock_port for link in plan.links} for plan in (WHOLE_PLAN, other)
    )
    assert not ours & theirs

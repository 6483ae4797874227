from __future__ import annotations

import socket
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from trionitro.proxy._allowlist import Allowlist
from trionitro.proxy._rules import Rule

# --- an oracle: the same rules, on strings of bits ---------------------------------

V4_IN_V6 = {
    "".join(f"{byte:08b}" for byte in prefix)
    for prefix in (
        bytes(10) + b"\xff\xff",
        b"\x00\x64\xff\x9b" + bytes(8),
        b"\x20\x02",
    )
}


def bits(text: str) -> str:
    """Write an address as its version and its bits."""
    text = text.partition("%")[0]
    version, family = ("6", socket.AF_INET6) if ":" in text else ("4", socket.AF_INET)
    packed = socket.inet_pton(family, text)
    return plain(version + "".join(f"{byte:08b}" for byte in packed))


def plain(prefix: str) -> str:
    """Take an IPv4 address, or the start of one, out of the IPv6 one around it."""
    for around in V4_IN_V6:
        if prefix.startswith("6" + around):
            return "4" + prefix[1 + len(around) :][:32]
    return prefix


def prefix_of(text: str) -> str:
    """Write a CIDR, or an address, as the bits that all of its addresses begin with."""
    address, _, length = text.partition("/")
    if not length:
        return bits(address)
    version, family = ("6", socket.AF_INET6) if ":" in text else ("4", socket.AF_INET)
    packed = socket.inet_pton(family, address)
    whole = "".join(f"{byte:08b}" for byte in packed)
    return plain(version + whole[: int(length)])


SPECIAL = [
    prefix_of(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255"),
        *("::/128", "fe80::/10", "fd00:ec2::/32", "ff00::/8"),
    )
]


def spelled(name: str) -> str:
    """Write a name in the form of the standard library's own IDNA."""
    return name.rstrip(".").encode("idna").decode().lower()


def is_literal(host: str) -> bool:
    """Tell an address from a name; no name here has a digit at its end."""
    return ":" in host or host[-1].isdigit()


def oracle(
    rule: str, host: str, address: str, resolved: Mapping[str, list[str]]
) -> bool:
    """Decide about one rule by hand."""
    dialled = bits(address)
    special = next((each for each in SPECIAL if dialled.startswith(each)), None)
    if is_literal(rule.partition("/")[0]):
        network = prefix_of(rule)
        named = special is None or network.startswith(special)
        return dialled.startswith(network) and named
    if special is not None:
        return False
    if rule.startswith("*."):
        end = "." + spelled(rule[2:])
        return not is_literal(host) and spelled(host).endswith(end)
    if is_literal(host):
        return any(bits(each) == dialled for each in resolved.get(spelled(rule), []))
    return spelled(host) == spelled(rule)


#: Few enough that they meet each other, and each one awkward in its own way.
NAMES = (
    *("a.example", "b.a.example", "c.b.a.example", "example", "ba.example"),
    *("a.example.", "B.A.Example", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.a"),
    *("xn--bcher-kva.a", "x.XN--BCHER-KVA.a.", "x.b\xfccher.a"),
)
ADDRESSES = (
    *("10.0.0.1", "10.0.0.2", "192.0.2.1", "127.0.0.1", "2001:db8::1", "fd00::1"),
    *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2002:a00:1::5"),
    *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd00:ec2::23"),
    *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"),
    *("fe80::1", "fe80::1%eth0", "0.0.0.0", "0.1.2.3", "::", "::1"),
    *("224.0.0.1", "ff02::1", "255.255.255.255", "255.255.255.254"),
)
NETWORKS = (
    *("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/31", "169.254.0.0/16", "168.0.0.0/5"),
    *("169.254.169.254/32", "0.0.0.0/8", "224.0.0.0/4", "::/0", "::/128"),
    *("fd00::/8", "fd00:ec2::/32", "fd00:ec2::/64", "fe80::/10", "fe80::/9"),
    *("::ffff:0:0/96", "::ffff:10.0.0.0/104", "64:ff9b::/96", "64:ff9b::/32"),
    *("2002::/16", "2002:a00::/24", "2002:a9fe::/32", "2002:a00:1:5::/64"),
)

names = st.sampled_from(NAMES)
addresses = st.sampled_from(ADDRESSES)
wildcards = st.sampled_from(NAMES).map("*.{}".format)
entries = st.tuples(
    names | addresses | wildcards | st.sampled_from(NETWORKS),
    st.sampled_from([443, 80]),
)
resolutions = st.dictionaries(names.map(spelled), st.lists(addresses, max_size=3))


@settings(max_examples=500)
@given(st.lists(entries, max_size=6), names | addresses, addresses, resolutions)
def test_decides_as_an_oracle_on_bits_does(
    rules: list[tuple[str, int]],
    host: str,
    address: str,
    resolved: dict[str, list[str]],
) -> None:
    policy = Allowlist(
        "list.yaml",
        tuple(Rule.parse(index, *rule) for index, rule in enumerate(rules)),
    )
    matching = [
        index
        for index, (rule, port) in enumerate(rules)
        if port == 443 and oracle(rule, host, address, resolved)
    ]

    decision = policy.decide(host, 443, address, resolved=resolved)

    assert decision.allowed == bool(matching)
    assert (decision.rule and decision.rule.index) == min(matching, default=None)


@given(st.lists(entries, max_size=6), names)
def test_a_name_that_could_be_allowed_is_so_at_any_ordinary_address(
    rules: list[tuple[str, int]], host: str
) -> None:
    policy = Allowlist(
        "list.yaml",
        tuple(Rule.parse(index, *rule) for index, rule in enumerate(rules)),
    )

    could = policy.could_allow(host, 443)

    by_name = [
        rule for rule in policy.rules if not is_literal(rule.address.partition("/")[0])
    ]
    only_names = Allowlist("list.yaml", tuple(by_name))
    assert could.allowed == only_names.decide(host, 443, "192.0.2.1").allowed

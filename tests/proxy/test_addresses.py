from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.proxy._addresses import (
    is_inside,
    literal_address,
    plain_address,
    plain_name,
    plain_network,
    special_range,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::a00:1", "10.0.0.1"),
        ("2002:a00:1:99::7", "10.0.0.1"),
        ("::10.0.0.1", "::a00:1"),
        ("64:ff9b:1::a00:1", "64:ff9b:1::a00:1"),
    ],
)
def test_an_address_has_one_plain_form(text: str, plain: str) -> None:
    assert str(plain_address(text)) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("64:ff9b::/96", "0.0.0.0/0"),
        ("64:ff9b::/95", "64:ff9b::/95"),
        ("2002:a00::/24", "10.0.0.0/8"),
        ("2002:a00:1:5::/64", "10.0.0.1/32"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_has_one_plain_form(text: str, plain: str) -> None:
    assert str(plain_network(text)) == plain


@given(st.ip_addresses(v=6), st.integers(96, 128))
def test_an_address_is_in_its_network_in_the_plain_form_too(
    address: ipaddress.IPv6Address, length: int
) -> None:
    carried = ipaddress.IPv6Address(0x64_FF9B << 96 | int(address) & 0xFFFF_FFFF)
    network = ipaddress.IPv6Network((carried, length), strict=False)

    assert plain_address(str(carried)) in plain_network(str(network))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("KMS.Example.", "kms.example"),
        ("b\xfccher.example", "xn--bcher-kva.example"),
        ("BU\u0308CHER.example\u3002", "xn--bcher-kva.example"),
        ("fa\xdf.example", "xn--fa-hia.example"),
        ("a_b.example", "a_b.example"),
    ],
)
def test_a_name_has_one_plain_form(text: str, plain: str) -> None:
    assert plain_name(text) == plain


@pytest.mark.parametrize("text", ["\u2615_.example", "\u0301a", "\xfc" * 64])
def test_a_name_without_an_idna_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Label|[Cc]odepoint|[Dd]omain"):
        plain_name(text)


@pytest.mark.parametrize("text", ["a.example", "", "10.0.1", "[::1]", "10.0.0.1/32"])
def test_what_is_no_address_is_no_literal(text: str) -> None:
    assert literal_address(text) is None


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [
        ("0.0.0.0", "0.255.255.255", "unspecified"),
        ("169.254.0.0", "169.254.255.255", "link-local"),
        ("224.0.0.0", "239.255.255.255", "multicast"),
        ("255.255.255.255", "255.255.255.255", "broadcast"),
        ("::", "::", "unspecified"),
        ("fd00:ec2::", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff", "AWS-local"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    ],
)
def test_a_special_range_ends_where_its_standard_says(
    first: str, last: str, kind: str
) -> None:
    for address in map(ipaddress.ip_address, (first, last)):
        found = special_range(address)
        assert found is not None
        assert found.kind == kind
    around = int(ipaddress.ip_address(first)) - 1, int(ipaddress.ip_address(last)) + 1
    highest = 2 ** ipaddress.ip_address(first).max_prefixlen
    for number in around:
        if 0 <= number < highest:
            assert special_range(type(ipaddress.ip_address(first))(number)) is None


def test_a_network_is_inside_itself_and_not_inside_its_half() -> None:
    whole, half = plain_network("10.0.0.0/8"), plain_network("10.0.0.0/9")

    assert is_inside(whole, whole)
    assert is_inside(half, whole)
    assert not is_inside(whole, half)
    assert not is_inside(half, plain_network("fd00::/8"))

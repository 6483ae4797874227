"""Addresses and names in the one form in which they are compared.

An IPv6 address that only carries an IPv4 address (IPv4-mapped, NAT64, 6to4) is
the IPv4 address it carries, a zone (``%eth0``) is nothing, and a name is what DNS
would be asked: lower case, IDNA-encoded, without the dot at the end. A policy that
compared texts could be talked around with another spelling of the same host.

"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import attrs
import idna

__all__ = [
    "IPAddress",
    "IPNetwork",
    "SpecialRange",
    "is_inside",
    "literal_address",
    "plain_address",
    "plain_name",
    "plain_network",
    "special_range",
]

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

#: What the 32 bits of an IPv4 address stand directly behind: IPv4-mapped (RFC 4291
#: §2.5.5.2), NAT64 (RFC 6052 §2.1) and 6to4 (RFC 3056 §2).
_CARRIERS: Final = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("2002::/16"),
)


@attrs.frozen
class SpecialRange:
    """A range that nobody reaches by accident and means it.

    Attributes:
      kind: what its addresses are called.
      network: the range.

    """

    kind: str
    network: IPNetwork


#: What a name can be made to resolve to by whoever owns it, and what then hands out
#: the parent's credentials (169.254.169.254, 169.254.170.2, 169.254.170.23,
#: fd00:ec2::254, fd00:ec2::23), or is another machine than it seems.
_SPECIAL_RANGES: Final = (
    SpecialRange("unspecified", IPv4Network("0.0.0.0/8")),
    SpecialRange("link-local", IPv4Network("169.254.0.0/16")),
    SpecialRange("multicast", IPv4Network("224.0.0.0/4")),
    SpecialRange("broadcast", IPv4Network("255.255.255.255/32")),
    SpecialRange("unspecified", IPv6Network("::/128")),
    SpecialRange("AWS-local", IPv6Network("fd00:ec2::/32")),
    SpecialRange("link-local", IPv6Network("fe80::/10")),
    SpecialRange("multicast", IPv6Network("ff00::/8")),
)


def plain_address(text: str) -> IPAddress:
    """Read an address, without its zone, as the IPv4 address that it may carry.

    Raises:
      ValueError: if it isn't an address.

    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    address = IPv6Address(int(address))
    for carrier in _CARRIERS:
        if address in carrier:
            return IPv4Address(_carried_bits(address, carrier))
    return address


def literal_address(host: str) -> IPAddress | None:
    """Read ``host`` as :func:`plain_address` does; None if it is a name."""
    try:
        return plain_address(host)
    except ValueError:
        return None


def plain_network(text: str) -> IPNetwork:
    """Read a CIDR, as the IPv4 network that it may carry.

    Raises:
      ValueError: if it isn't a network, or has bits set behind its prefix.

    """
    network = ip_network(text)
    if isinstance(network, IPv4Network):
        return network
    for carrier in _CARRIERS:
        if network.subnet_of(carrier):
            length = min(network.prefixlen - carrier.prefixlen, 32)
            return IPv4Network((_carried_bits(network[0], carrier), length))
    return network


def plain_name(text: str) -> str:
    """Write a host name as DNS would be asked for it.

    The encoding is IDNA 2008 with UTS 46, which is what Trio sends to the resolver:
    the name that is compared is the name that is dialled.

    Raises:
      ValueError: if the name has no such form.

    """
    if not text.isascii():
        text = idna.encode(text, uts46=True).decode("ascii")
    return text.lower().removesuffix(".")


def special_range(address: IPAddress) -> SpecialRange | None:
    """Find the special range that ``address`` lies in, if it lies in one."""
    for special in _SPECIAL_RANGES:
        if address in special.network:
            return special
    return None


def is_inside(inner: IPNetwork, outer: IPNetwork) -> bool:
    """Say whether every address of ``inner`` lies in ``outer``."""
    return inner[0] in outer and inner[-1] in outer


def _carried_bits(address: IPv6Address, carrier: IPv6Network) -> int:
    return int(address) >> (128 - carrier.prefixlen - 32) & 0xFFFF_FFFF

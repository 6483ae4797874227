"""Rules: what one entry of an allowlist matches.

Each form of address is a class with two questions: does it match this attempt, and
would it match this name whatever the name resolves to.

"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, Self

import attrs

from trionitro._endpoints import parse_host
from trionitro._exceptions import ConfigError
from trionitro._structuring import quote
from trionitro.proxy._addresses import (
    IPAddress,
    IPNetwork,
    SpecialRange,
    is_inside,
    literal_address,
    plain_address,
    plain_name,
    plain_network,
    special_range,
)

__all__ = ["Attempt", "ExactName", "Network", "Pattern", "Rule", "Suffix", "as_name"]

#: A CIDR's own form; ``ip_network`` would also take a netmask, or no length at all.
_CIDR: Final = re.compile("[^/]+/[0-9]{1,3}")

_FORMS: Final = "write a name, *.suffix, an IP address or a CIDR like 10.0.0.0/8"


def as_name(host: str) -> str:
    """Write a target's name as rules are compared with it.

    It is empty, which equals no rule, if it has no such form: nor has DNS one for it.
    """
    try:
        return plain_name(host)
    except ValueError:
        return ""


@attrs.frozen(kw_only=True)
class Attempt:
    """One address that is about to be dialled, and what asked for it.

    Attributes:
      name: the target's name, or None if the target is a literal address.
      address: what is dialled.
      resolved: the addresses of names that are in the allowlist, by name.
      special: the special range that the address lies in, or None.

    """

    name: str | None
    address: IPAddress
    resolved: Mapping[str, Iterable[str]]
    special: SpecialRange | None

    @classmethod
    def of(cls, host: str, address: str, resolved: Mapping[str, Iterable[str]]) -> Self:
        """Put the texts into the forms in which they are compared."""
        dialled = plain_address(address)
        return cls(
            name=as_name(host) if literal_address(host) is None else None,
            address=dialled,
            resolved=resolved,
            special=special_range(dialled),
        )


class Pattern(Protocol):
    """What a rule's address stands for."""

    def matches(self, attempt: Attempt) -> bool:
        """Say whether ``attempt`` is what the rule means."""

    def names(self, name: str) -> bool:
        """Say whether the rule means ``name``, wherever it resolves to."""


@attrs.frozen
class ExactName:
    """A name; also a literal target, if it is one of the name's addresses now.

    Attributes:
      name: as :func:`~trionitro.proxy._addresses.plain_name` writes it.

    """

    name: str

    def matches(self, attempt: Attempt) -> bool:
        """Say whether the target has this name, or is what it resolves to."""
        if attempt.special is not None:
            return False
        if attempt.name is not None:
            return attempt.name == self.name
        addresses = attempt.resolved.get(self.name, ())
        return any(plain_address(text) == attempt.address for text in addresses)

    def names(self, name: str) -> bool:
        """Say whether it is this name."""
        return name == self.name


@attrs.frozen
class Suffix:
    """Any name with one or more labels before the suffix.

    Attributes:
      suffix: with the dot that it begins with.

    """

    suffix: str

    def matches(self, attempt: Attempt) -> bool:
        """Say whether the target has a name that ends so."""
        if attempt.special is not None or attempt.name is None:
            return False
        return self.names(attempt.name)

    def names(self, name: str) -> bool:
        """Say whether the name ends so."""
        return name.endswith(self.suffix) and name != self.suffix


@attrs.frozen
class Network:
    """A network, or a single address as a network of one.

    Attributes:
      network: in the form of :func:`~trionitro.proxy._addresses.plain_network`.

    """

    network: IPNetwork

    def matches(self, attempt: Attempt) -> bool:
        """Say whether the address is in the network, and special only if that is."""
        if attempt.address not in self.network:
            return False
        special = attempt.special
        return special is None or is_inside(self.network, special.network)

    def names(self, name: str) -> bool:
        """Say that it means no name: where the name resolves to decides."""
        return False


@attrs.frozen
class Rule:
    """One entry of an allowlist.

    Attributes:
      index: where it stands in the file's list, from 0.
      address: as the file writes it.
      port: 1 to 65535.
      pattern: what the address stands for.

    """

    index: int
    address: str
    port: int
    pattern: Pattern = attrs.field(repr=False, eq=False)

    @classmethod
    def parse(cls, index: int, address: str, port: int) -> Self:
        """Make a rule of what an entry says.

        Raises:
          ConfigError: if the address has none of the forms of an address.

        """
        return cls(index, address, port, _parse_pattern(address))

    def __str__(self) -> str:
        return f"allowlist[{self.index}] ({self.address}, port {self.port})"


def _parse_pattern(text: str) -> Pattern:
    if "/" in text:
        return _parse_network(text)
    if text.startswith("*."):
        return Suffix(f".{_parse_name(text[2:], text)}")
    address = literal_address(text)
    if address is not None:
        return Network(plain_network(str(address)))
    return ExactName(_parse_name(text, text))


def _parse_name(name: str, whole: str) -> str:
    if literal_address(name) is None:
        try:
            plain = plain_name(name)
            parse_host(f"{plain}.")  # one dot is fine, and a second one would show
        except ValueError:
            pass
        else:
            return plain
    raise ConfigError(f"was {quote(whole)}, which is no address: {_FORMS}")


def _parse_network(text: str) -> Network:
    try:
        if _CIDR.fullmatch(text):
            return Network(plain_network(text))
    except ValueError as problem:
        raise ConfigError(
            f"was {quote(text)}, which is no network ({problem}): {_FORMS}"
        ) from None
    raise ConfigError(f"was {quote(text)}, which is no network: {_FORMS}")

"""What an enclave connects to, and where in the enclave that is found.

Each host has one address on the enclave's loopback interface, however many of its
ports are used. A name gets a loopback address and a line in the hosts file. A literal
address becomes the interface's own, so that programs that know nothing but the
address reach it too; only a loopback address, which means the parent's, gets another.

"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, TypeVar

import attrs

from trionitro._endpoints import TcpEndpoint, parse_host
from trionitro._exceptions import ConfigError
from trionitro.manifest._claims import Claims, Entry
from trionitro.manifest._tables import Egress, Manifest, Volume

__all__ = ["Destination", "destinations_of"]

K = TypeVar("K", bound=Hashable)

#: The enclave itself is 127.0.0.1.
_FIRST_EGRESS: Final = ipaddress.IPv4Address("127.0.0.2")

#: Far enough from the first egress that neither table runs into the other.
_FIRST_VOLUME: Final = ipaddress.IPv4Address("127.1.0.1")


@attrs.frozen(kw_only=True)
class Destination:
    """A host and port outside, with its place in the enclave.

    Attributes:
      entry: the first entry of the manifest that wants it.
      number: where that stands in its table.
      source: that entry's record.
      target: where the parent connects to.
      address: where the enclave listens, at the target's port.
      vsock_port: as given, or None.
      names: those that the hosts file gives to ``address``.

    """

    entry: Entry
    number: int
    source: Egress | Volume
    target: TcpEndpoint
    address: str
    vsock_port: int | None
    names: tuple[str, ...]


def destinations_of(manifest: Manifest) -> tuple[Destination, ...]:
    """List the destinations: the egress, then the volumes' servers, once each.

    Raises:
      ConfigError: if two entries want the same thing.

    """
    addresses = Claims("address", "give the later one another address")
    names = Claims("name", "leave it out of the later one")
    found = (
        *_place(list(_egress_wishes(manifest)), _FIRST_EGRESS),
        *_place(list(_volume_wishes(manifest)), _FIRST_VOLUME),
    )
    for destination in found:
        owner = destination.target.host
        addresses.take(destination.address, destination.entry, shared_by=owner)
        for name in destination.names:
            names.take(name, destination.entry, shared_by=owner)
    return found


@attrs.frozen(kw_only=True)
class _Wish:
    """One entry, and what it asks for."""

    entry: Entry
    number: int
    source: Egress | Volume
    target: TcpEndpoint


def _egress_wishes(manifest: Manifest) -> Iterator[_Wish]:
    targets = Claims("destination", "leave one of them out")
    for number, source in enumerate(manifest.egress):
        target = TcpEndpoint(parse_host(source.host).removesuffix("."), source.port)
        entry = Entry(f"egress[{number}]", f"{source.host}:{source.port}")
        targets.take(target, entry)
        yield _Wish(entry=entry, number=number, source=source, target=target)


def _volume_wishes(manifest: Manifest) -> Iterator[_Wish]:
    for number, source in enumerate(manifest.volume):
        entry = Entry(f"volume[{number}]", source.export)
        yield _Wish(entry=entry, number=number, source=source, target=source.server)


def _place(
    wishes: list[_Wish], first_address: ipaddress.IPv4Address
) -> Iterator[Destination]:
    """Give each of the wishes' targets its place; the same target is one place."""
    addresses: dict[str, str] = {}
    for host, group in _grouped(wishes, lambda wish: wish.target.host):
        given = _agreed("address", host, group) or _own_address(host)
        addresses[host] = given or str(first_address + group[0].number)
    for target, group in _grouped(wishes, lambda wish: wish.target):
        first = group[0]
        yield Destination(
            entry=first.entry,
            number=first.number,
            source=first.source,
            target=target,
            address=addresses[target.host],
            vsock_port=_agreed("vsock_port", str(target), group),
            names=_names_of(first),
        )


def _grouped(
    wishes: Iterable[_Wish], key: Callable[[_Wish], K]
) -> Iterable[tuple[K, list[_Wish]]]:
    groups: dict[K, list[_Wish]] = {}
    for wish in wishes:
        groups.setdefault(key(wish), []).append(wish)
    return groups.items()


def _agreed(key: str, whose: str, wishes: list[_Wish]) -> Any:
    """Return what those that give ``key`` give, or None if none does.

    Raises:
      ConfigError: if they give different ones.

    """
    given = [wish for wish in wishes if getattr(wish.source, key) is not None]
    for first, other in itertools.pairwise(given):
        if getattr(first.source, key) != getattr(other.source, key):
            raise ConfigError(
                f"{whose} has one {key}, and is given two, by {first.entry} and by"
                f" {other.entry}: leave one of them out"
            )
    return getattr(given[0].source, key) if given else None


def _own_address(host: str) -> str | None:
    """Return ``host`` if it is an address that the enclave can take over."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified or "%" in host:
        return None
    return host


def _names_of(wish: _Wish) -> tuple[str, ...]:
    """Return what the hosts file calls a destination, a name once."""
    if not isinstance(wish.source, Egress):
        return ()
    names = [parse_host(name).removesuffix(".") for name in wish.source.names]
    if not _is_literal(wish.target.host):
        names.insert(0, wish.target.host)
    return tuple(dict.fromkeys(names))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Planning: from destinations, ingress and services to links and what they take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from trionitro._endpoints import TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._exceptions import ConfigError
from trionitro.manifest._checks import HEARTBEAT_PORT
from trionitro.manifest._claims import Claims, Entry
from trionitro.manifest._destinations import Destination
from trionitro.manifest._links import HostsLine, Link, PlannedVolume
from trionitro.manifest._tables import Egress, Manifest
from trionitro.proxy import Allowlist, Route, Rule

__all__ = [
    "allowlist_of",
    "check_links",
    "check_mounts",
    "hosts_of",
    "links_of",
    "overlap",
    "service_ports",
    "volumes_of",
]

#: What a CID is multiplied with for the first of its enclave's vsock ports.
_PORTS_FOR_EACH_CID: Final = 100_000

#: CIDs beyond begin again at the first: ports have 32 bits.
_CIDS: Final = 40_000

#: Where the vsock ports of each kind begin.
_EGRESS: Final = 8_000
_INGRESS: Final = 12_000
_VOLUMES: Final = 20_000
_SERVICES: Final = {"control": 17_000, "logs": 17_001, "credentials": 17_002}

#: How often, and how many seconds apart, a volume's routes try to reach its server: for
#: a minute, then the client is told. The kernel's NFS client takes a connection that
#: is accepted and reset for one that works, and opens the next at once: as long as the
#: other half was away it would do nothing else.
_VOLUME_ATTEMPTS: Final = 30
_VOLUME_DELAY: Final = 2.0

_LOCALHOST: Final = "127.0.0.1"

#: A listener there takes the port of every address.
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  compared, not bound

_ANOTHER_PORT: Final = "give one of them another vsock_port"


def service_ports(manifest: Manifest) -> dict[str, int]:
    """Return the vsock ports of what the parent itself answers, by table."""
    tables = {name: getattr(manifest, name) for name in _SERVICES}
    return {
        name: table.vsock_port or _port_of(manifest, _SERVICES[name])
        for name, table in tables.items()
        if table is not None
    }


def links_of(
    manifest: Manifest, destinations: Iterable[Destination]
) -> tuple[Link, ...]:
    """List the ways between the halves."""
    return (
        *(_outward(manifest, destination) for destination in destinations),
        *_inward(manifest),
        *_services(manifest),
    )


def check_links(manifest: Manifest, links: Iterable[Link]) -> None:
    """Check that no two links want the same port.

    Raises:
      ConfigError: if two do; both are named.

    """
    on_parent = Claims("the parent's vsock port", _ANOTHER_PORT)
    on_parent.take(HEARTBEAT_PORT, Entry("nitro-cli", "heartbeat"))
    on_enclave = Claims("the enclave's vsock port", _ANOTHER_PORT)
    in_enclave = Claims("in the enclave", "give one of them another port")
    for link in links:
        entry = Entry(link.place, link.what)
        listening = on_parent if link.direction == "out" else on_enclave
        listening.take(link.vsock_port, entry)
        if link.enclave is None:
            continue
        if link.direction == "out":
            in_enclave.take(link.enclave.listen, entry)
        else:  # the application's port, to which several ways may lead
            in_enclave.take(link.enclave.forward, entry, shared_by="application")
    _check_listens(manifest)


def check_mounts(manifest: Manifest) -> None:
    """Check that no volume hides another.

    Raises:
      ConfigError: if one does.

    """
    entries = [
        (volume.mount, Entry(f"volume[{number}]", volume.export))
        for number, volume in enumerate(manifest.volume)
    ]
    for (one, first), (other, second) in itertools.combinations(entries, 2):
        if one == other:
            raise ConfigError(
                f"{one} is mounted on twice, by {first} and by {second}: give one of"
                " them another mount"
            )
        if f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/"):
            raise ConfigError(
                f"the mounts {one} of {first} and {other} of {second} lie in each"
                " other: give them separate ones"
            )


def hosts_of(destinations: Iterable[Destination]) -> tuple[HostsLine, ...]:
    """List the lines of the hosts file, one for each address that has a name."""
    names: dict[str, dict[str, None]] = {}
    for destination in destinations:
        known = names.setdefault(destination.address, {})
        known.update(dict.fromkeys(destination.names))
    return tuple(
        HostsLine(address, tuple(known)) for address, known in names.items() if known
    )


def allowlist_of(destinations: Iterable[Destination]) -> Allowlist:
    """Write what the parent's routes may connect to.

    Raises:
      ConfigError: if an entry's ``allow`` is none of the forms of an address.

    """
    rules: dict[tuple[str, int], Rule] = {}
    for destination in destinations:
        target, source = destination.target, destination.source
        given = source.allow if isinstance(source, Egress) else ()
        for address in given or (target.host,):
            try:
                rule = Rule.parse(len(rules), address, target.port)
            except ConfigError as problem:
                place = destination.entry.place
                raise ConfigError(f"{place}.allow: {problem}") from None
            rules.setdefault((address, target.port), rule)
    return Allowlist("the manifest's allowlist", tuple(rules.values()))


def volumes_of(
    manifest: Manifest, destinations: Iterable[Destination]
) -> tuple[PlannedVolume, ...]:
    """List the volumes in the manifest's order."""
    addresses = {
        destination.target: destination.address
        for destination in destinations
        if not isinstance(destination.source, Egress)
    }
    return tuple(
        PlannedVolume(
            place=f"volume[{number}]",
            export=volume.export,
            mount=volume.mount,
            read_only=volume.read_only,
            options=volume.options,
            address=addresses[volume.server],
            port=volume.server.port,
        )
        for number, volume in enumerate(manifest.volume)
    )


def overlap(one: TcpEndpoint | UnixEndpoint, other: TcpEndpoint | UnixEndpoint) -> bool:
    """Tell whether two listeners of one machine want the same."""
    match one, other:
        case TcpEndpoint(port=port), TcpEndpoint() if port == other.port != 0:
            hosts = {one.host, other.host}
            return len(hosts) == 1 or bool(hosts & _WILDCARDS)
        case UnixEndpoint(), UnixEndpoint():
            return one == other
    return False


def _port_of(manifest: Manifest, offset: int) -> int:
    return manifest.enclave.cid % _CIDS * _PORTS_FOR_EACH_CID + offset


def _outward(manifest: Manifest, destination: Destination) -> Link:
    enclave, source, target = manifest.enclave, destination.source, destination.target
    is_egress = isinstance(source, Egress)
    kind = _EGRESS if is_egress else _VOLUMES
    port = destination.vsock_port or _port_of(manifest, kind + destination.number)
    parent = Route(
        listen=VsockEndpoint(None, port),
        forward=target,
        allow_cids=frozenset({enclave.cid}),
    )
    own = Route(
        listen=TcpEndpoint(destination.address, target.port),
        forward=VsockEndpoint(enclave.parent_cid, port),
    )
    if isinstance(source, Egress):
        parent = attrs.evolve(
            parent,
            max_connections=source.max_connections or math.inf,
            connect_timeout=source.connect_timeout,
            idle_timeout=source.idle_timeout or math.inf,
        )
    else:
        parent, own = _patient(parent), _patient(own)
    return Link(
        place=destination.entry.place,
        what=str(target).removeprefix("tcp://"),
        direction="out",
        vsock_port=port,
        parent=parent,
        enclave=own,
    )


def _patient(route: Route) -> Route:
    return attrs.evolve(
        route, connect_attempts=_VOLUME_ATTEMPTS, connect_delay=_VOLUME_DELAY
    )


def _inward(manifest: Manifest) -> Iterator[Link]:
    enclave = manifest.enclave
    for number, source in enumerate(manifest.ingress):
        port = source.vsock_port or _port_of(manifest, _INGRESS + number)
        yield Link(
            place=f"ingress[{number}]",
            what=str(source.listen).removeprefix("tcp://"),
            direction="in",
            vsock_port=port,
            parent=Route(
                listen=source.listen,
                forward=VsockEndpoint(enclave.cid, port),
                max_connections=source.max_connections or math.inf,
                idle_timeout=source.idle_timeout or math.inf,
            ),
            enclave=Route(
                listen=VsockEndpoint(None, port),
                forward=TcpEndpoint(_LOCALHOST, source.port),
                allow_cids=frozenset({enclave.parent_cid}),
            ),
        )


def _services(manifest: Manifest) -> Iterator[Link]:
    """List what the parent itself answers; only SDKs need a route to it."""
    for name, port in service_ports(manifest).items():
        route = None
        if name == "credentials" and manifest.credentials is not None:
            route = Route(
                listen=TcpEndpoint(_LOCALHOST, manifest.credentials.port),
                forward=VsockEndpoint(manifest.enclave.parent_cid, port),
            )
        yield Link(
            place=name,
            what=f"the parent's {name}",
            direction="out",
            vsock_port=port,
            parent=None,
            enclave=route,
        )


def _check_listens(manifest: Manifest) -> None:
    entries = [
        (source.listen, Entry(f"ingress[{number}]", f"port {source.port}"))
        for number, source in enumerate(manifest.ingress)
    ]
    for (one, first), (other, second) in itertools.combinations(entries, 2):
        if overlap(one, other):
            raise ConfigError(
                f"{first} listens on {one} and {second} on {other}, which is the same"
                " on the parent: give one of them another port"
            )

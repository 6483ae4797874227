"""What follows from a manifest: addresses, ports, hosts, routes, the allowlist.

A plan is worked out from the manifest alone, the same on both halves, and nothing is
done yet. Whatever is given is kept; the rest follows from an entry's place, so that
appending an entry changes nothing for those before it::

    127.0.0.(2 + N)         the destination whose first [[egress]] is number N
    127.1.0.(1 + N)         the server whose first [[volume]] is number N
    CID x 100000 +
        8000 + N            [[egress]] number N, listened on by the parent
        12000 + N           [[ingress]] number N, listened on by the enclave
        17000               the control channel
        17001               logs
        17002               credentials
        20000 + N           the server whose first [[volume]] is number N

The CID keeps the enclaves of one parent apart, whose vsock ports are one space.

"""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs

from trionitro._exceptions import ConfigError
from trionitro.manifest._destinations import destinations_of
from trionitro.manifest._digest import digest_of
from trionitro.manifest._links import HostsLine, Link, PlannedVolume
from trionitro.manifest._manifest import parse_manifest, read_manifest_text
from trionitro.manifest._planner import (
    allowlist_of,
    check_links,
    check_mounts,
    hosts_of,
    links_of,
    service_ports,
    volumes_of,
)
from trionitro.manifest._tables import Manifest
from trionitro.proxy import Allowlist, Route

__all__ = ["Plan", "make_plan", "parse_plan", "read_plan"]


@attrs.frozen(kw_only=True)
class Plan:
    """All that follows from a manifest.

    Attributes:
      manifest: what it follows from.
      digest: the manifest's, 32 bytes; the halves compare it.
      links: the ways between the halves, in the manifest's order: egress, the
          volumes' servers, ingress, and the services that only one half has a route
          for.
      addresses: what the enclave's loopback interface needs beside 127.0.0.1 and ::1,
          IPv4 or IPv6.
      hosts: lines for the enclave's hosts file, beside those of localhost.
      allowlist: what the parent's routes may connect to.
      volumes: what the enclave mounts, in this order.
      control_port: the parent's vsock port for the control channel.
      logs_port: the parent's vsock port for logs.
      credentials_port: the parent's vsock port for credentials, or None.
      credentials_url: where the enclave's SDKs ask for them, or None.

    """

    manifest: Manifest
    digest: bytes
    links: tuple[Link, ...]
    addresses: tuple[str, ...]
    hosts: tuple[HostsLine, ...]
    allowlist: Allowlist
    volumes: tuple[PlannedVolume, ...]
    control_port: int
    logs_port: int
    credentials_port: int | None
    credentials_url: str | None

    @property
    def parent_routes(self) -> tuple[Route, ...]:
        """The routes of the parent's half; none where there is only a volume or so."""
        return tuple(link.parent for link in self.links if link.parent is not None)

    @property
    def enclave_routes(self) -> tuple[Route, ...]:
        """The routes of the enclave's half."""
        return tuple(link.enclave for link in self.links if link.enclave is not None)

    @property
    def environment(self) -> Mapping[str, str]:
        """The application's variables: those of the manifest, and what SDKs need."""
        own = self.manifest.enclave.environment
        if self.credentials_url is None:
            return own
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.credentials_url, **own}


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a manifest from a file, and plan it.

    Raises:
      ConfigError: if the file can't be read, says what makes no sense, or two of its
          entries want the same thing.

    """
    return parse_plan(read_manifest_text(path), source=os.fspath(path))


def parse_plan(text: str, *, source: str) -> Plan:
    """Read the text of a manifest, and plan it.

    Args:
      text: TOML.
      source: the file's path, for errors and for what is relative to it.

    Raises:
      ConfigError: as :func:`read_plan` does.

    """
    manifest = parse_manifest(text, source=source)
    try:
        return make_plan(manifest)
    except ConfigError as problem:
        raise ConfigError(f"{source}: {problem}") from None


def make_plan(manifest: Manifest) -> Plan:
    """Work out what follows from ``manifest``.

    Raises:
      ConfigError: if two entries want the same thing; both are named.

    """
    check_mounts(manifest)
    destinations = destinations_of(manifest)
    links = links_of(manifest, destinations)
    check_links(manifest, links)
    ports, credentials = service_ports(manifest), manifest.credentials
    url = None
    if credentials is not None:
        url = f"http://127.0.0.1:{credentials.port}/credentials"
    return Plan(
        manifest=manifest,
        digest=digest_of(manifest),
        links=links,
        addresses=tuple(dict.fromkeys(place.address for place in destinations)),
        hosts=hosts_of(destinations),
        allowlist=allowlist_of(destinations),
        volumes=volumes_of(manifest, destinations),
        control_port=ports["control"],
        logs_port=ports["logs"],
        credentials_port=ports.get("credentials"),
        credentials_url=url,
    )

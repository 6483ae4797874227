"""What a plan is made of: ways between the halves, hosts lines, volumes."""

from __future__ import annotations

from typing import Literal

import attrs

from trionitro.proxy import Route

__all__ = ["Direction", "HostsLine", "Link", "PlannedVolume"]

#: ``out`` is from the enclave to the outside, ``in`` the other way.
Direction = Literal["out", "in"]


@attrs.frozen(kw_only=True)
class Link:
    """One way between the halves.

    Attributes:
      place: the manifest's entry that it is for, such as ``egress[0]``.
      what: what it leads to, for people.
      direction: which way connections are opened.
      vsock_port: listened on by the parent if ``out``, by the enclave if ``in``.
      parent: the parent's route, or None where the parent itself answers.
      enclave: the enclave's route, or None where the enclave itself connects.

    """

    place: str
    what: str
    direction: Direction
    vsock_port: int
    parent: Route | None
    enclave: Route | None


@attrs.frozen
class HostsLine:
    """One line of the enclave's hosts file.

    Attributes:
      address: IPv4 or IPv6.
      names: at least one, none of them in another line.

    """

    address: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "\t".join((self.address, " ".join(self.names)))


@attrs.frozen(kw_only=True)
class PlannedVolume:
    """A volume, with all that mounting it takes.

    Attributes:
      place: the manifest's entry, such as ``volume[0]``.
      export: its path on the server.
      mount: where it appears in the enclave.
      read_only: whether the enclave may only read it.
      options: further mount options of NFS.
      address: where the enclave reaches the server.
      port: the server's port, there as on the parent.

    """

    place: str
    export: str
    mount: str
    read_only: bool
    options: tuple[str, ...]
    address: str
    port: int

    @property
    def source(self) -> str:
        """What mount(8) calls the file system: ``ADDRESS:/PATH``."""
        return f"{self.address}:{self.export}"

"""The tables of a manifest, as records that can't be wrong by themselves.

What can be wrong between two of them, :mod:`trionitro.manifest._plan` finds.

"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeVar

import attrs

from trionitro._endpoints import CID_NAMES, TcpEndpoint, UnixEndpoint
from trionitro._exceptions import ConfigError
from trionitro.manifest import _checks as checks

__all__ = [
    "Control",
    "Credentials",
    "Egress",
    "Enclave",
    "Image",
    "Ingress",
    "Kubernetes",
    "Logs",
    "Manifest",
    "Restart",
    "Sandbox",
    "Volume",
]

K = TypeVar("K")
V = TypeVar("V")

#: When an application that ended is started again.
Restart = Literal["never", "on-failure", "always"]

#: Where the parent takes AWS credentials from: ``auto`` is the first of the others
#: that has some.
Source = Literal["auto", "environment", "container", "imds"]

#: Where NFSv4 listens on the parent; there it is the only port that NFS uses.
_NFS: Final = TcpEndpoint("127.0.0.1", 2049)


def _frozen(mapping: Mapping[K, V]) -> Mapping[K, V]:
    return MappingProxyType(dict(mapping))


@attrs.frozen(kw_only=True)
class Enclave:
    """``[enclave]``: what it is, and what runs in it.

    Attributes:
      name: what units, logs and nitro-cli call it.
      cid: its CID, 4 to 2**32 - 2; or 1, as ``parent_cid`` is then, where both
          halves are on one machine and meet over its loopback.
      command: the application and its arguments; no shell reads them.
      user: whom it runs as, ``user`` or ``user:group`` by name or number; None for
          whoever boots.
      environment: variables of the application, beside those that it inherits.
      directory: where it runs.
      restart: when it is started again after it ended.
      restart_delay: seconds before that.
      stop_timeout: seconds that it gets from SIGTERM to SIGKILL.
      parent_cid: the parent's CID; Nitro's is 3, and an ordinary hypervisor's
          host is 2.

    """

    name: str = attrs.field(validator=checks.is_enclave_name)
    cid: int = attrs.field(validator=checks.is_cid)
    command: tuple[str, ...] = attrs.field(validator=checks.is_command)
    user: str | None = attrs.field(default=None, validator=checks.is_user)
    environment: Mapping[str, str] = attrs.field(
        factory=dict, converter=_frozen, validator=checks.is_environment, repr=False
    )
    directory: str = attrs.field(default="/", validator=checks.is_absolute_path)
    restart: Restart = attrs.field(
        default="never", validator=checks.is_one_of("never", "on-failure", "always")
    )
    restart_delay: float = attrs.field(default=1.0, validator=checks.is_positive)
    stop_timeout: float = attrs.field(default=10.0, validator=checks.is_positive)
    parent_cid: int = attrs.field(
        default=CID_NAMES["parent"], validator=checks.is_parent_cid
    )

    def __attrs_post_init__(self) -> None:
        local = CID_NAMES["local"]
        if self.cid == self.parent_cid != local:
            raise ConfigError(f"cid must not be the parent's, was {self.cid}")
        if self.cid == local != self.parent_cid:
            raise ConfigError(
                f"parent_cid must be {local} where cid is, was {self.parent_cid}: over"
                " its loopback a machine reaches nobody but itself"
            )


@attrs.frozen(kw_only=True)
class Egress:
    """``[[egress]]``: a destination outside that the enclave connects to.

    Attributes:
      host: a name, or an address.
      port: its TCP port, which is also the port in the enclave.
      names: more names for it in the enclave.
      address: its loopback address in the enclave; None for the plan's choice.
      vsock_port: between the halves; None for the plan's choice.
      allow: what the parent's allowlist has in place of ``host``: names, ``*.suffix``,
          addresses, CIDR blocks. A network there ties a name to it.
      max_connections: how many may be open at once.
      connect_timeout: seconds for one attempt of the parent to connect.
      idle_timeout: seconds without a byte after which a connection is given up.

    """

    host: str = attrs.field(validator=checks.is_host)
    port: int = attrs.field(validator=checks.is_port)
    names: tuple[str, ...] = attrs.field(default=(), validator=checks.is_set_of_names)
    address: str | None = attrs.field(
        default=None, validator=checks.is_loopback_address
    )
    vsock_port: int | None = attrs.field(default=None, validator=checks.is_vsock_port)
    allow: tuple[str, ...] = ()
    max_connections: int | None = attrs.field(
        default=None, validator=checks.is_number_from(1)
    )
    connect_timeout: float = attrs.field(default=10.0, validator=checks.is_positive)
    idle_timeout: float | None = attrs.field(default=None, validator=checks.is_positive)


@attrs.frozen(kw_only=True)
class Ingress:
    """``[[ingress]]``: a port of the enclave that the outside connects to.

    Attributes:
      listen: where the parent accepts connections, ``HOST:PORT`` or ``unix:///PATH``.
      port: the application's TCP port, on 127.0.0.1 in the enclave.
      vsock_port: between the halves; None for the plan's choice.
      max_connections: how many may be open at once.
      idle_timeout: seconds without a byte after which a connection is given up.

    """

    listen: TcpEndpoint | UnixEndpoint
    port: int = attrs.field(validator=checks.is_port)
    vsock_port: int | None = attrs.field(default=None, validator=checks.is_vsock_port)
    max_connections: int | None = attrs.field(
        default=None, validator=checks.is_number_from(1)
    )
    idle_timeout: float | None = attrs.field(default=None, validator=checks.is_positive)


@attrs.frozen(kw_only=True)
class Volume:
    """``[[volume]]``: a directory that the parent exports with NFSv4.

    Attributes:
      export: its path on the server.
      mount: where it appears in the enclave.
      read_only: whether the enclave may only read it.
      options: mount options of NFS, one an element, such as ``noatime``.
      server: where NFS listens, as the parent sees it.
      address: the server's loopback address in the enclave; None for the plan's
          choice.
      vsock_port: between the halves; None for the plan's choice.

    """

    export: str = attrs.field(validator=checks.is_absolute_path)
    mount: str = attrs.field(validator=checks.is_mount_point)
    read_only: bool = False
    options: tuple[str, ...] = attrs.field(
        default=(), validator=checks.is_mount_options
    )
    server: TcpEndpoint = _NFS
    address: str | None = attrs.field(
        default=None, validator=checks.is_loopback_address
    )
    vsock_port: int | None = attrs.field(default=None, validator=checks.is_vsock_port)


@attrs.frozen(kw_only=True)
class Credentials:
    """``[credentials]``: the parent hands AWS credentials to the enclave.

    Attributes:
      source: where the parent has them from.
      port: where the AWS SDKs ask for them in the enclave, on 127.0.0.1; they speak
          plain HTTP to no other address.
      vsock_port: between the halves; None for the plan's choice.

    """

    source: Source = attrs.field(
        default="auto",
        validator=checks.is_one_of("auto", "environment", "container", "imds"),
    )
    port: int = attrs.field(default=17002, validator=checks.is_port)
    vsock_port: int | None = attrs.field(default=None, validator=checks.is_vsock_port)


@attrs.frozen(kw_only=True)
class Logs:
    """``[logs]``: what the boot and the application say goes to the parent.

    Attributes:
      buffer: bytes that the enclave keeps while the parent doesn't take them; past
          it the oldest lines are dropped, and counted.
      vsock_port: between the halves; None for the plan's choice.

    """

    buffer: int = attrs.field(default=2**18, validator=checks.is_number_from(2**12))
    vsock_port: int | None = attrs.field(default=None, validator=checks.is_vsock_port)


@attrs.frozen(kw_only=True)
class Control:
    """``[control]``: how the halves know of each other.

    Attributes:
      wait: seconds that the booting enclave waits for its parent.
      heartbeat: seconds between signs of life; three that are missing are a death.
      vsock_port: between the halves; None for the plan's choice.

    """

    wait: float = attrs.field(default=60.0, validator=checks.is_positive)
    heartbeat: float = attrs.field(default=5.0, validator=checks.is_positive)
    vsock_port: int | None = attrs.field(default=None, validator=checks.is_vsock_port)


@attrs.frozen(kw_only=True)
class Image:
    """``[image]``: what ``nitro-cli run-enclave`` starts, and with how much.

    Attributes:
      eif: the enclave's image file, on the parent.
      memory: MiB.
      cpus: how many.
      debug: whether the console can be read, at the price of PCRs that are all zero.

    """

    eif: str = attrs.field(validator=checks.is_path)
    memory: int = attrs.field(validator=checks.is_number_from(64))
    cpus: int = attrs.field(default=2, validator=checks.is_number_from(1))
    debug: bool = False


@attrs.frozen(kw_only=True)
class Kubernetes:
    """``[kubernetes]``: what the written manifests say.

    Attributes:
      image: the container image that holds ``trionitro``, ``nitro-cli``, the enclave's
          image file and this manifest; None for ``enclave-NAME-parent:latest``.
      replicas: how many enclaves, each on a node of its own.

    """

    image: str | None = attrs.field(default=None, validator=checks.is_container_image)
    replicas: int = attrs.field(default=2, validator=checks.is_number_from(1))


@attrs.frozen(kw_only=True)
class Sandbox:
    """``[sandbox]``: what ``trionitro sandbox`` puts in place of the real thing.

    Attributes:
      kms_emulator: whether an emulated KMS stands in for every egress to ``kms.*``.
      measurements: PCRs of the emulated NSM in hex, by their number as text; the
          others follow from the command's files.

    """

    kms_emulator: bool = False
    measurements: Mapping[str, str] = attrs.field(
        factory=dict, converter=_frozen, validator=checks.is_set_of_measurements
    )


@attrs.frozen(kw_only=True)
class Manifest:
    """A whole file, its tables under the names that they have there."""

    enclave: Enclave
    egress: tuple[Egress, ...] = ()
    ingress: tuple[Ingress, ...] = ()
    volume: tuple[Volume, ...] = ()
    credentials: Credentials | None = None
    logs: Logs = Logs()
    control: Control = Control()
    image: Image | None = None
    kubernetes: Kubernetes = Kubernetes()
    sandbox: Sandbox = Sandbox()

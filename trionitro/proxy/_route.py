"""Routes: what a proxy is told to do, as records that can't be wrong."""

from __future__ import annotations

import ipaddress
import math
from functools import cached_property
from typing import Any, Final, Literal

import attrs

from trionitro._endpoints import (
    Endpoint,
    TcpEndpoint,
    VsockEndpoint,
    check_target,
)
from trionitro._exceptions import ConfigError

__all__ = ["DEFAULT_GRACE", "Family", "ProxyConfig", "Route"]

#: Which IP versions a target's name may resolve to: 4, 6, or None for both.
Family = Literal[4, 6] | None

#: Long enough for an enclave that is still booting, and for a drain that a systemd
#: unit's usual 90 seconds of patience covers.
DEFAULT_GRACE: Final = 30.0


def _not_negative(
    instance: object, attribute: attrs.Attribute[Any], value: float
) -> None:
    if not value >= 0:  # not "value < 0": NaN is refused too
        raise ConfigError(f"{attribute.name} must not be negative, was {value}")


def _positive(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{attribute.name} must be more than 0, was {value}")


def _whole_or_infinite(
    instance: object, attribute: attrs.Attribute[Any], value: float
) -> None:
    if not value >= 1 or (value != math.inf and value != int(value)):
        raise ConfigError(
            f"{attribute.name} must be a whole number of 1 or more, was {value}"
        )


@attrs.frozen(kw_only=True)
class Route:
    """One listener, and where its connections go.

    Attributes:
      listen: where to accept connections.
      forward: where to connect to, once for each connection.
      allow_cids: the vsock peers that may connect; empty for all of them.
      family: which IP versions of a TCP target to use.
      max_connections: how many may be open at once. Past it the listener doesn't
          accept until one ends, so that the peer's own backlog waits.
      connect_timeout: seconds for one attempt to connect.
      connect_attempts: how many attempts before a connection is given up.
      connect_delay: seconds between attempts.
      idle_timeout: seconds without a byte after which a connection is given up.

    Raises:
      ConfigError: if the values make no sense, alone or together.

    """

    listen: Endpoint
    forward: Endpoint
    allow_cids: frozenset[int] = frozenset()
    family: Family = None
    max_connections: float = attrs.field(default=math.inf, validator=_whole_or_infinite)
    connect_timeout: float = attrs.field(default=10.0, validator=_positive)
    connect_attempts: int = attrs.field(default=1, validator=_positive)
    connect_delay: float = attrs.field(default=1.0, validator=_not_negative)
    idle_timeout: float = attrs.field(default=math.inf, validator=_positive)

    def __attrs_post_init__(self) -> None:
        check_target(self.forward)
        if self.allow_cids and not isinstance(self.listen, VsockEndpoint):
            raise ConfigError(
                f"allow_cids is about vsock peers, and {self.listen} has none:"
                " leave it out, or listen on vsock://:PORT"
            )
        if _is_of_other_version(self.forward, self.family):
            raise ConfigError(
                f"{self.forward} is no IPv{self.family} address: leave -{self.family}"
                " (family) out, or give one"
            )
        if self.family is not None and not isinstance(self.forward, TcpEndpoint):
            raise ConfigError(
                f"an IP version is about TCP targets, and {self.forward} is none:"
                " leave -4/-6 (family) out"
            )

    @cached_property
    def name(self) -> str:
        """What logs and metrics call this route: where it listens, as configured."""
        return str(self.listen)


def _is_of_other_version(target: Endpoint, family: Family) -> bool:
    """Say whether ``target`` is a literal address of another IP version."""
    if family is None or not isinstance(target, TcpEndpoint):
        return False
    try:
        return ipaddress.ip_address(target.host).version != family
    except ValueError:
        return False


@attrs.frozen(kw_only=True)
class ProxyConfig:
    """All that one proxy process does.

    Attributes:
      routes: at least one; no two listen on the same endpoint.
      allowlist: the file of TCP targets that may be connected to; None for all of
          them.
      metrics: where to serve metrics, or None.
      grace: seconds that connections get to finish when the proxy is stopped, or
          their route is taken away.

    Raises:
      ConfigError: if the values make no sense, alone or together.

    """

    routes: tuple[Route, ...]
    allowlist: str | None = None
    metrics: Endpoint | None = None
    grace: float = attrs.field(default=DEFAULT_GRACE, validator=_not_negative)

    def __attrs_post_init__(self) -> None:
        if not self.routes:
            raise ConfigError("there is no route: give LISTEN and FORWARD endpoints")
        taken: list[Endpoint] = [self.metrics] if self.metrics is not None else []
        for route in self.routes:
            if route.listen in taken and getattr(route.listen, "port", None) != 0:
                raise ConfigError(
                    f"{route.listen} is listened on twice: give one of them"
                    " another port or path"
                )
            taken.append(route.listen)

"""URLs that credentials or secrets go to: TLS, or not further than this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from urllib.parse import SplitResult, urlsplit

from trionitro._exceptions import ConfigError

__all__ = ["is_loopback", "parse_url"]


def parse_url(url: str, *, plain: Container[str] = ()) -> SplitResult:
    """Read a URL whose traffic must not be seen.

    Args:
      url: https anywhere, http to loopback.
      plain: other hosts that http may go to.

    Raises:
      ConfigError: if it is no URL, or http to somewhere else.

    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # reading the port checks it
    except ValueError:
        raise ConfigError(f"{url!r} is no URL") from None
    if not host or "@" in parts.netloc or not url.isprintable() or " " in url:
        raise ConfigError(f"{url!r} is no URL; write for example https://host:443")
    if parts.scheme == "http" and not (is_loopback(host) or host in plain):
        raise ConfigError(f"{url!r} must be https://: http:// goes to loopback only")
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{url!r} is neither https:// nor http://")
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

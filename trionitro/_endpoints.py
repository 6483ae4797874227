"""Endpoints: where a proxy listens and where it forwards to, as text.

::

    tcp://HOST:PORT      tcp://127.0.0.2:443   tcp://[::1]:443   tcp://kms.example:443
    vsock://CID:PORT     vsock://16:8000       vsock://parent:8000
    unix:///PATH         unix:///run/app.sock

A listener may leave out what it doesn't care about: ``vsock://:8000`` takes
peers with any CID, ``tcp://:443`` any local address, and port 0 is a free one.

"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Self, assert_never

import attrs

from trionitro._exceptions import ConfigError
from trionitro.abc import VMADDR_ANY

__all__ = [
    "CID_NAMES",
    "Endpoint",
    "TcpEndpoint",
    "UnixEndpoint",
    "VsockEndpoint",
    "check_target",
    "parse_cid",
    "parse_endpoint",
    "parse_host",
]

#: What the well-known CIDs are called. Nitro's parent is 3; ``host`` is the other
#: side of an ordinary hypervisor, and ``local`` the machine itself.
CID_NAMES: Final = {"local": 1, "host": 2, "parent": 3}

#: ``sun_path`` holds 108 bytes, one of them the final NUL.
_MAX_UNIX_PATH: Final = 107

#: ASCII only: a name in another script is written as DNS has it (``xn--…``). The
#: resolver would fold full-width digits into an address, and a full-width name into
#: another name, behind the back of whoever compares.
_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)", re.ASCII)

#: A name that ends in a number is an address to ``getaddrinfo``: "127.1" is
#: 127.0.0.1 there, and "0x7f.1" too. Only the usual four numbers pass here.
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")

#: The interface of a link-local address (``fe80::1%eth0``), of which ``ipaddress``
#: takes anything.
_SCOPE: Final = re.compile(r"[\w.-]{1,15}", re.ASCII)

_EXAMPLES: Final = {
    "tcp": "tcp://127.0.0.2:443",
    "vsock": "vsock://3:8000",
    "unix": "unix:///run/app.sock",
}


@attrs.frozen
class TcpEndpoint:
    """A TCP host and port.

    Attributes:
      host: a name in lower case, or an address in its shortest form without
          brackets; empty for a listener on every local address.
      port: 1 to 65535, or 0 for a listener on a free port.

    """

    host: str
    port: int

    @classmethod
    def parse(cls, rest: str) -> Self:
        """Read what stands behind ``tcp://``."""
        host, colon, port = rest.rpartition(":")
        if not colon:
            raise ConfigError("the port is missing")
        return cls(_bracketed_host(host), _parse_port(port, highest=65535))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


@attrs.frozen
class VsockEndpoint:
    """A vsock CID and port.

    Attributes:
      cid: 0 to 2**32 - 2, or None for a listener.
      port: 0 to 2**32 - 2; a listener on 0 takes a free port.

    """

    cid: int | None
    port: int

    @classmethod
    def parse(cls, rest: str) -> Self:
        """Read what stands behind ``vsock://``."""
        cid, colon, port = rest.rpartition(":")
        if not colon:
            raise ConfigError("the port is missing")
        return cls(
            parse_cid(cid) if cid else None,
            _parse_port(port, highest=VMADDR_ANY - 1),
        )

    def __str__(self) -> str:
        cid = "" if self.cid is None else self.cid
        return f"vsock://{cid}:{self.port}"


@attrs.frozen
class UnixEndpoint:
    """A unix stream socket in the file system.

    Attributes:
      path: absolute, at most 107 bytes.

    """

    path: str

    @classmethod
    def parse(cls, rest: str) -> Self:
        """Read what stands behind ``unix://``."""
        if not rest.startswith("/"):
            raise ConfigError(f"the path {rest!r} is not absolute")
        if "\0" in rest:
            raise ConfigError("the path has a NUL byte in it")
        try:
            size = len(rest.encode())
        except UnicodeEncodeError:
            raise ConfigError("the path is not valid Unicode") from None
        if size > _MAX_UNIX_PATH:
            raise ConfigError(
                f"the path is {size} bytes long, and a unix socket's may have"
                f" {_MAX_UNIX_PATH}"
            )
        return cls(rest)

    def __str__(self) -> str:
        return f"unix://{self.path}"


Endpoint = TcpEndpoint | VsockEndpoint | UnixEndpoint

_SCHEMES: Final[dict[str, type[Endpoint]]] = {
    "tcp": TcpEndpoint,
    "vsock": VsockEndpoint,
    "unix": UnixEndpoint,
}


def parse_endpoint(text: str) -> Endpoint:
    """Read an endpoint, as a listener may write it.

    A place to connect to must be complete: :func:`check_target` says so.

    Raises:
      ConfigError: with the text, the part of it that is wrong, and an example.

    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ConfigError(
            f"{text!r} is no endpoint: it starts with none of tcp://, vsock://,"
            f" unix://; write for example {_EXAMPLES['tcp']}"
        )
    try:
        return _SCHEMES[scheme].parse(rest)
    except ConfigError as problem:
        raise ConfigError(
            f"{text!r} is no endpoint: {problem}; write for example {_EXAMPLES[scheme]}"
        ) from None


def check_target(endpoint: Endpoint) -> None:
    """Check that ``endpoint`` says enough to be connected to.

    Raises:
      ConfigError: if it could only be listened on.

    """
    match endpoint:
        case TcpEndpoint(host=""):
            missing = "it names no host"
        case TcpEndpoint(port=0):
            missing = "port 0 is only for listening"
        case VsockEndpoint(cid=None):
            missing = "it names no CID"
        case TcpEndpoint() | VsockEndpoint() | UnixEndpoint():
            return
        case _:
            assert_never(endpoint)
    scheme = str(endpoint).partition(":")[0]
    raise ConfigError(
        f"{str(endpoint)!r} can't be connected to: {missing}; write for example"
        f" {_EXAMPLES[scheme]}"
    )


def parse_cid(text: str) -> int:
    """Read a CID: a number, or one of ``CID_NAMES``.

    Raises:
      ConfigError: if it is neither.

    """
    if text in CID_NAMES:
        return CID_NAMES[text]
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) >= VMADDR_ANY:
        raise ConfigError(
            f"the CID {text!r} is not a number from 0 to {VMADDR_ANY - 1}, nor one of"
            f" {', '.join(CID_NAMES)}"
        )
    return int(text)


def parse_host(text: str) -> str:
    """Read a host name, or an address without brackets, into its one usual form.

    Raises:
      ConfigError: if it is neither.

    """
    try:
        return _parse_address(text)
    except ValueError:
        pass
    labels = text.removesuffix(".").split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise ConfigError(f"the host {text!r} is not an IPv4 address")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ConfigError(f"the host {text!r} is not a name or an address")
    return text.lower()


def _bracketed_host(text: str) -> str:
    if not text:
        return text
    if text.startswith("[") and text.endswith("]"):
        address = text[1:-1]
        try:
            if ":" in address:
                return _parse_address(address)
        except ValueError:
            pass
        raise ConfigError(f"the host {text!r} is not an IPv6 address")
    if ":" in text:
        raise ConfigError(f"the host {text!r} has a colon: an IPv6 address takes [ ]")
    return parse_host(text)


def _parse_address(text: str) -> str:
    _, percent, scope = text.partition("%")
    if percent and not _SCOPE.fullmatch(scope):
        raise ValueError(f"{scope!r} is no interface")
    return str(ipaddress.ip_address(text))


def _parse_port(text: str, *, highest: int) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > highest:
        raise ConfigError(f"the port {text!r} is not a number from 0 to {highest}")
    return int(text)

"""What the arguments of two other proxies mean here.

``vscproxy`` of distributed-lab's enclave-extras is a Go program: numbers, durations
and addresses are read as Go's ``flag``, ``time`` and ``net`` packages read them. AWS's
``vsock-proxy`` takes plain numbers.

"""

from __future__ import annotations

import math
import re
from typing import Final

from trionitro._endpoints import TcpEndpoint, VsockEndpoint, parse_host
from trionitro._exceptions import ConfigError
from trionitro._structuring import quote
from trionitro.abc import VMADDR_ANY
from trionitro.proxy._route import Family, ProxyConfig, Route

__all__ = [
    "parse_go_address",
    "parse_go_duration",
    "parse_go_uint",
    "vscproxy_config",
    "vsock_proxy_config",
]

#: Of ``strconv.ParseUint(s, 0, 64)``: underscores stand between digits, or between
#: a prefix and a digit, and a leading 0 alone means octal.
_GO_UINT: Final = re.compile(
    "0[xX](?P<hex>(?:_?[0-9a-fA-F])+)"
    "|0[bB](?P<binary>(?:_?[01])+)"
    "|0[oO]?(?P<octal>(?:_?[0-7])+)"
    "|(?P<decimal>0|[1-9](?:_?[0-9])*)"
)

_BASES: Final = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}

#: In nanoseconds, as ``time.Duration`` counts. Both micro signs are micro.
_GO_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\N{MICRO SIGN}s": 1_000,
    "\N{GREEK SMALL LETTER MU}s": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}

#: One number with its unit: "1", "1.", ".5" and "1.5", then all up to the next number.
_GO_TERM: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")

_DURATION_EXAMPLE: Final = "write for example 500ms, 10s or 1m30s"


def parse_go_uint(text: str) -> int:
    """Read a number as Go's ``flag.Uint`` does: ``8000``, ``0x1f40``, ``0o17500``.

    Raises:
      ConfigError: if it isn't one, or has more than 64 bits.

    """
    match = _GO_UINT.fullmatch(text)
    for name, digits in match.groupdict().items() if match else ():
        # More than 64 digits are too many in any base, and int() takes only so many.
        if digits and len(digits := digits.replace("_", "").lstrip("0")) <= 64:
            value = int(digits or "0", _BASES[name])
            if value < 2**64:
                return value
    raise ConfigError(
        f"{quote(text)} is not a number from 0 to {2**64 - 1}: write for example 8000"
    )


def parse_go_duration(text: str) -> float:
    """Read a duration as Go's ``time.ParseDuration`` does, in seconds.

    Raises:
      ConfigError: if it isn't one: with Go's complaint, and what to write instead.

    """
    sign = -1 if text.startswith("-") else 1
    start = 1 if text.startswith(("-", "+")) else 0
    if text[start:] == "0":
        return 0.0
    if start == len(text):
        raise _no_duration("invalid duration", text)
    nanoseconds = 0
    while start < len(text):
        term = _GO_TERM.match(text, start)
        assert term is not None  # every part of it is optional
        whole, fraction, unit = term.groups(default="")
        nanoseconds += _parse_go_term(whole, fraction, unit, text)
        start = term.end()
    # 2**63 itself fits only below zero.
    if nanoseconds > 2**63 - (sign == 1):
        raise _no_duration("invalid duration", text)
    return sign * nanoseconds / 10**9


def parse_go_address(text: str) -> TcpEndpoint:
    """Read an address as Go's ``net.Listen("tcp", …)`` takes it.

    ``127.0.0.2:443``, ``:443``, ``[::1]:443``, ``localhost:443``. The port is a number,
    although Go would also look up ``https``.

    Raises:
      ConfigError: if it isn't one.

    """
    try:
        return TcpEndpoint.parse(text)
    except ConfigError as problem:
        raise ConfigError(
            f"{quote(text)} is no address to listen on: {problem}; write for example"
            " 127.0.0.2:443"
        ) from None


def vscproxy_config(
    parent_cid: int = 3,
    vsock_port: int = 8000,
    local_addr: str = "127.0.0.1:443",
    attempts: int = 100,
    delay: float = 10.0,
) -> ProxyConfig:
    """Do what enclave-extras' ``vscproxy`` does: local TCP to a vsock of the parent.

    Args:
      parent_cid: the CID to connect to. The original cuts it, and the port, off at
          32 bits without a word; here more is an error.
      vsock_port: the port to connect to.
      local_addr: the address to listen on, as Go writes it.
      attempts: how often to try before a connection is given up.
      delay: seconds between attempts.

    Raises:
      ConfigError: with the flag, the value, and what to write instead.

    """
    _check_range("-parentCID", parent_cid, 0, VMADDR_ANY - 1)
    _check_range("-vsockPort", vsock_port, 0, VMADDR_ANY - 1)
    _check_range("-attempts", attempts, 1, math.inf)
    if not 0 <= delay < math.inf:
        raise ConfigError(f"-delay was {delay} seconds: {_DURATION_EXAMPLE}")
    try:
        listen = parse_go_address(local_addr)
    except ConfigError as problem:
        raise ConfigError(f"-localAddr: {problem}") from None
    route = Route(
        listen=listen,
        forward=VsockEndpoint(parent_cid, vsock_port),
        connect_attempts=attempts,
        connect_delay=delay,
    )
    return ProxyConfig(routes=(route,))


def vsock_proxy_config(
    local_port: int,
    remote_addr: str,
    remote_port: int,
    *,
    family: Family = None,
    workers: int | None = None,
    allowlist: str = "/etc/nitro_enclaves/vsock-proxy.yaml",
) -> ProxyConfig:
    """Do what AWS's ``vsock-proxy`` does: a vsock of the parent to a TCP target.

    Args:
      local_port: the vsock port to listen on.
      remote_addr: the target's name or address; IPv6 without brackets.
      remote_port: the target's port.
      family: the IP version of ``-4`` or ``-6``.
      workers: how many connections at once; None for no limit. The original's four
          are what its threads cost, not a policy, and made the fifth connection
          wait in silence; whoever gives a number means it.
      allowlist: the YAML file.

    Raises:
      ConfigError: with the argument, the value, and what to write instead.

    """
    _check_range("local_port", local_port, 0, VMADDR_ANY - 1)
    _check_range("remote_port", remote_port, 1, 65535)
    if workers is not None:
        _check_range("-w/--num_workers", workers, 1, math.inf)
    try:
        host = parse_host(remote_addr)
    except ConfigError as problem:
        raise ConfigError(
            f"remote_addr: {problem}: write for example kms.us-east-1.amazonaws.com"
        ) from None
    route = Route(
        listen=VsockEndpoint(None, local_port),
        forward=TcpEndpoint(host, remote_port),
        family=family,
        max_connections=math.inf if workers is None else workers,
    )
    return ProxyConfig(routes=(route,), allowlist=allowlist)


def _parse_go_term(whole: str, fraction: str, unit: str, text: str) -> int:
    """Read one number with its unit, in nanoseconds."""
    if not whole and not fraction:
        raise _no_duration("invalid duration", text)
    if not unit:
        raise _no_duration("missing unit in duration", text)
    if unit not in _GO_UNITS:
        raise _no_duration(f"unknown unit {quote(unit)} in duration", text)
    whole = whole.lstrip("0")
    if len(whole) > 19:  # more than 2**63, and int() takes only so many
        raise _no_duration("invalid duration", text)
    return int(whole or "0") * _GO_UNITS[unit] + _go_fraction(fraction, _GO_UNITS[unit])


def _go_fraction(digits: str, unit: int) -> int:
    """Read the digits behind the point as ``time.leadingFraction`` does.

    Go ignores the digits that no 63 bits hold, and computes the rest in floats; what
    that rounds, it rounds here too.
    """
    value, scale = 0, 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if longer > 2**63:
            break
        value, scale = longer, scale * 10
    return int(value * (unit / scale))


def _no_duration(complaint: str, text: str) -> ConfigError:
    remedy = _DURATION_EXAMPLE
    if re.fullmatch("[-+]?[0-9]{1,18}", text):
        # The original's README says milliseconds, and shows just such a number.
        remedy = f"write {text}ms for milliseconds, or {text}s for seconds"
    return ConfigError(f"{complaint} {quote(text)}: {remedy}")


def _check_range(what: str, value: int, lowest: int, highest: float) -> None:
    if not lowest <= value <= highest:
        upwards = "upwards" if highest == math.inf else f"to {highest}"
        raise ConfigError(f"{what} was {value}: write a number from {lowest} {upwards}")

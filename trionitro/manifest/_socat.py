"""Routes as socat commands: what they come to with nothing of ours."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from typing import assert_never

from trionitro._endpoints import Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro.manifest._quoting import for_shell, for_socat
from trionitro.proxy import Route

__all__ = ["socat_commands"]


def socat_commands(routes: Iterable[Route]) -> list[str]:
    """Write each route as a shell command that runs in the background.

    The limit of connections is kept; deadlines, CIDs and the allowlist are more than
    socat knows.

    """
    return [
        f"socat {for_shell(_listen(route))} {for_shell(_target(route.forward))} &"
        for route in routes
    ]


def _listen(route: Route) -> str:
    options = "fork"
    if route.max_connections < math.inf:
        options += f",max-children={int(route.max_connections)}"
    match route.listen:
        case TcpEndpoint(host=host, port=port):
            version = 6 if _is_ipv6(host) else 4
            bind = f",bind={_bracketed(host)}" if host else ""
            return f"TCP{version}-LISTEN:{port}{bind},{options},reuseaddr,keepalive"
        case UnixEndpoint(path=path):
            return f"UNIX-LISTEN:{for_socat(path)},{options},unlink-early"
        case VsockEndpoint(port=port):
            return f"VSOCK-LISTEN:{port},{options},keepalive"
        case _:
            assert_never(route.listen)


def _target(endpoint: Endpoint) -> str:
    match endpoint:
        case TcpEndpoint(host=host, port=port):
            return f"TCP:{_bracketed(host)}:{port},keepalive"
        case UnixEndpoint(path=path):
            return f"UNIX-CONNECT:{for_socat(path)}"
        case VsockEndpoint(cid=cid, port=port):
            return f"VSOCK-CONNECT:{cid}:{port},keepalive"
        case _:
            assert_never(endpoint)


def _bracketed(host: str) -> str:
    return f"[{host}]" if _is_ipv6(host) else host


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False

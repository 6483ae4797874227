"""The commands that operators already have, with the flags they already know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from trionitro._cli._logging import set_up_logging
from trionitro._cli._options import (
    FILE,
    Parsed,
    family_options,
    network_for,
    vsock_option,
)
from trionitro._cli._proxy import serve_until_stopped
from trionitro._exceptions import ConfigError
from trionitro.proxy import (
    Family,
    ProxyConfig,
    parse_go_duration,
    parse_go_uint,
    vscproxy_config,
    vsock_proxy_config,
)

__all__ = ["vscproxy", "vsock_proxy"]

_GO_UINT = Parsed("uint", parse_go_uint)
_GO_DURATION = Parsed("duration", parse_go_duration)


@click.command("vsock-proxy", context_settings={"help_option_names": ["-h", "--help"]})
@family_options
@click.option(
    "-w",
    "--num_workers",
    "workers",
    type=int,
    help="Connections at once.  [default: no limit]",
)
@click.option(
    "--config",
    "allowlist",
    type=FILE,
    default="/etc/nitro_enclaves/vsock-proxy.yaml",
    show_default=True,
    help="YAML file with the allowlist.",
)
@vsock_option
@click.argument("local_port", type=int)
@click.argument("remote_addr")
@click.argument("remote_port", type=int)
def vsock_proxy(
    *,
    vsock: str | None,
    local_port: int,
    remote_addr: str,
    remote_port: int,
    allowlist: str,
    workers: int | None,
    family: Family = None,
) -> None:
    """Forward the vsock port LOCAL_PORT to REMOTE_ADDR:REMOTE_PORT.

    Takes the arguments of AWS's vsock-proxy.
    """
    _serve(
        lambda: vsock_proxy_config(
            local_port,
            remote_addr,
            remote_port,
            family=family,
            workers=workers,
            allowlist=allowlist,
        ),
        vsock,
    )


@click.command(
    "vscproxy", context_settings={"help_option_names": ["-h", "-help", "--help"]}
)
@click.option(
    "-parentCID",
    "--parentCID",
    "parent_cid",
    type=_GO_UINT,
    default=3,
    show_default=True,
    help="CID to connect to.",
)
@click.option(
    "-vsockPort",
    "--vsockPort",
    "vsock_port",
    type=_GO_UINT,
    default=8000,
    show_default=True,
    help="vsock port to connect to.",
)
@click.option(
    "-localAddr",
    "--localAddr",
    "local_addr",
    default="127.0.0.1:443",
    show_default=True,
    help="TCP address to listen on.",
)
@click.option(
    "-attempts",
    "--attempts",
    type=_GO_UINT,
    default=100,
    show_default=True,
    help="Attempts to connect before a connection is given up.",
)
@click.option(
    "-delay",
    "--delay",
    type=_GO_DURATION,
    default="10s",
    show_default=True,
    help="Between attempts: 500ms, 10s, 1m30s.",
)
@vsock_option
def vscproxy(vsock: str | None, **flags: Any) -> None:
    """Forward a local TCP address to a vsock port of the parent.

    Takes the flags of enclave-extras' vscproxy, with one dash or two.
    """
    _serve(lambda: vscproxy_config(**flags), vsock)


def _serve(make_config: Callable[[], ProxyConfig], vsock: str | None) -> None:
    set_up_logging("text")
    try:
        config = make_config()
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    serve_until_stopped(lambda: config, network_for(vsock))

"""``trionitro credentials serve``: the parent's role, for its enclaves."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Final

import click

from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import (
    CID,
    ENDPOINT,
    log_options,
    network_for,
    vsock_option,
)
from trionitro._cli._run import run_async
from trionitro._endpoints import Endpoint
from trionitro._exceptions import ConfigError
from trionitro.kms import (
    CredentialProvider,
    EnvironmentCredentials,
    ImdsCredentials,
    RefreshingCredentials,
    default_credentials,
)
from trionitro.parent import BrokerConfig, run_credential_broker

__all__ = ["credentials"]

_EXAMPLE: Final = """
\b
Example:
  parent   trionitro credentials serve --listen vsock://:8002 --allow-cid 16
  enclave  python -m trionitro.proxy tcp://127.0.0.1:8002 vsock://3:8002 &
           export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:8002/credentials
"""


@click.group()
def credentials() -> None:
    """Give an enclave the parent's credentials."""


@credentials.command(epilog=_EXAMPLE)
@click.option(
    "--listen",
    required=True,
    type=ENDPOINT,
    metavar="ENDPOINT",
    help="Where enclaves ask: vsock://:8002.",
)
@click.option(
    "--allow-cid",
    "allow_cids",
    type=CID,
    multiple=True,
    metavar="CID",
    help="Who may have them (repeatable).",
)
@click.option(
    "--source",
    type=click.Choice(["default", "imds", "environment"]),
    default="default",
    show_default=True,
    help="Where they come from; default is where AWS's SDKs look.",
)
@vsock_option
@log_options
def serve(
    *,
    listen: Endpoint,
    allow_cids: tuple[int, ...],
    source: str,
    vsock: str | None,
    log_format: LogFormat,
    verbosity: int,
) -> None:
    """Serve credentials in the container credentials protocol, at /credentials.

    Any AWS SDK in an enclave fetches them through a proxy route, and again before
    they expire. SIGTERM or SIGINT ends this.
    """
    set_up_logging(log_format, verbosity=verbosity)
    try:
        config = BrokerConfig(listen=listen, allow_cids=frozenset(allow_cids))
        provider = _provider(source, os.environ)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    run_async(
        functools.partial(
            run_credential_broker, config, provider, network=network_for(vsock)
        )
    )


def _provider(source: str, environ: Mapping[str, str]) -> CredentialProvider:
    match source:
        case "imds":
            return RefreshingCredentials(ImdsCredentials())
        case "environment":
            return EnvironmentCredentials(environ)
        case _:
            return default_credentials(environ)

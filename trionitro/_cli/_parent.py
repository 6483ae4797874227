"""``trionitro parent``: the parent's half of one manifest, or of several."""

from __future__ import annotations

import functools
import os

import click

from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import FILE, log_options, network_for, vsock_option
from trionitro._cli._run import run_async
from trionitro.parent import provider_of, run_parent

__all__ = ["parent"]


@click.command()
@click.argument(
    "manifests", nargs=-1, required=True, type=FILE, metavar="NITRO.TOML..."
)
@vsock_option
@log_options
@click.pass_context
def parent(
    ctx: click.Context,
    manifests: tuple[str, ...],
    vsock: str | None,
    log_format: LogFormat,
    verbosity: int,
) -> None:
    """Serve the enclaves of these manifests: routes, logs, credentials, exit codes.

    An enclave whose manifest has an [image] is started with nitro-cli, and this ends
    when it does, with its application's exit code. Others are waited for.

    SIGTERM or SIGINT stops; a second one stops at once. SIGHUP reads the manifests
    again.
    """
    set_up_logging(log_format, verbosity=verbosity)
    run = functools.partial(
        run_parent,
        manifests,
        network=network_for(vsock),
        provider_of=functools.partial(provider_of, environ=os.environ),
    )
    ctx.exit(run_async(run))

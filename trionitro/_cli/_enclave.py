"""``trionitro enclave``: the enclave's half, from booting to the application's end."""

from __future__ import annotations

from pathlib import Path

import click

from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import (
    FILE,
    log_options,
    network_for,
    nsm_device_for,
    nsm_option,
    vsock_option,
)
from trionitro._cli._run import run_async
from trionitro._exceptions import ConfigError
from trionitro.enclave import HOSTS_FILE, Boot, Console, Machine, ParentLink, run_boot
from trionitro.manifest import Plan, read_plan

__all__ = ["enclave"]


@click.command()
@click.argument("manifest", type=FILE)
@click.option(
    "--hosts",
    type=FILE,
    default=str(HOSTS_FILE),
    show_default=True,
    metavar="FILE",
    help="The hosts file to write to.",
)
@click.option(
    "--heartbeat",
    is_flag=True,
    help="Send AWS's boot heartbeat, for an image without AWS's init.",
)
@click.option(
    "--console",
    is_flag=True,
    help="Show what the application writes here too, beside the parent.",
)
@vsock_option
@nsm_option
@log_options
def enclave(
    *,
    manifest: str,
    nsm: str | None,
    hosts: str,
    heartbeat: bool,
    console: bool,
    vsock: str | None,
    log_format: LogFormat,
    verbosity: int,
) -> int:
    """Boot this enclave as MANIFEST says, and run its application.

    Brings up the loopback interface, writes the hosts file, seeds the kernel's
    entropy, opens the routes, finds the parent, mounts the volumes, and starts the
    application; in the end it undoes all of that. The exit code is the application's.

    SIGTERM or SIGINT stops the application; a second one kills it.
    """
    plan = _plan_of(manifest)
    network = network_for(vsock)
    parent = ParentLink(plan, network)
    set_up_logging(log_format, verbosity=verbosity, copy=parent.write_log)
    boot = Boot(
        plan=plan,
        machine=Machine(network=network, nsm=nsm_device_for(nsm), hosts=Path(hosts)),
        parent=parent,
        sends_heartbeat=heartbeat,
        console=Console() if console else None,
    )
    return run_async(run_boot, boot)


def _plan_of(manifest: str) -> Plan:
    try:
        return read_plan(manifest)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None

"""``trionitro sandbox``: both halves of a manifest, here and now."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import (
    COMMAND_FOLLOWS,
    FILE,
    command_argument,
    log_options,
)
from trionitro._cli._run import run_async
from trionitro._exceptions import ConfigError
from trionitro.manifest import Plan
from trionitro.parent import provider_of
from trionitro.sandbox import (
    Place,
    SandboxConfig,
    parent_link,
    read_sandbox_plan,
    run_inside,
    run_sandbox,
)

__all__ = ["sandbox", "sandbox_enclave"]

_STDIN: Final = 0


_exports_option = click.option(
    "--exports",
    type=click.Path(path_type=Path, resolve_path=True),
    default="/",
    metavar="DIRECTORY",
    help="Look for the volumes' exports below this directory.  [default: /]",
)


@click.command(context_settings=COMMAND_FOLLOWS)
@click.argument("manifest", type=FILE, metavar="NITRO.TOML")
@command_argument
@_exports_option
@click.option(
    "--kms-keys",
    type=FILE,
    metavar="FILE",
    help="Keys of the emulated KMS (JSON).  [default: alias/NAME, for this enclave]",
)
@log_options
def sandbox(
    *,
    manifest: str,
    command: tuple[str, ...],
    exports: Path,
    kms_keys: str | None,
    log_format: LogFormat,
    verbosity: int,
) -> int:
    """Run both halves of a manifest on this machine, or COMMAND in the enclave's.

    The enclave's half has namespaces of its own: nothing but lo, the plan's names, and
    an emulated security module. The exit code is the application's.

    Ctrl-C stops the application; a second one ends everything at once. This is for
    development and tests: it keeps nobody in who wants out.
    """
    set_up_logging(log_format, verbosity=verbosity)
    settings = ["--log-format", log_format, *["-v"] * verbosity]
    settings += ["--exports", str(exports)]
    inside = functools.partial(_command_inside, settings, [manifest, *command])
    config = SandboxConfig(
        plan=_read(manifest, command),
        inside=inside,
        provider_of=functools.partial(provider_of, environ=os.environ),
        kms_keys=kms_keys,
        environ=os.environ,
    )
    return run_async(run_sandbox, config)


@click.command("sandbox-enclave", hidden=True, context_settings=COMMAND_FOLLOWS)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("manifest", type=FILE)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_exports_option
@log_options
def sandbox_enclave(
    *,
    directory: Path,
    manifest: str,
    command: tuple[str, ...],
    exports: Path,
    log_format: LogFormat,
    verbosity: int,
) -> int:
    """Be the enclave's half, as the first process in namespaces of its own."""
    plan, place = _read(manifest, command), Place(directory)
    parent = parent_link(plan, place)
    set_up_logging(log_format, verbosity=verbosity, copy=parent.write_log)
    run = functools.partial(run_inside, exports=exports, lifeline=_STDIN)
    return run_async(run, plan, place, parent)


def _command_inside(
    settings: Sequence[str], what: Sequence[str], directory: Path
) -> list[str]:
    this = [sys.executable, "-m", "trionitro", "sandbox-enclave"]
    return [*this, *settings, "--", str(directory), *what]


def _read(manifest: str, command: Sequence[str]) -> Plan:
    try:
        return read_sandbox_plan(manifest, command)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None

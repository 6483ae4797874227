"""``trionitro vm``: an enclave's half in a virtual machine, and what is in that."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import (
    COMMAND_FOLLOWS,
    FILE,
    SECONDS,
    command_argument,
    log_options,
)
from trionitro._cli._run import run_async
from trionitro._exceptions import CannotStartError, ConfigError
from trionitro.parent import provider_of
from trionitro.vm import (
    Files,
    Kit,
    VmConfig,
    build_enclave_kit,
    install_packages,
    parse_files,
    read_requirements,
    read_vm_plan,
    run_vm,
)

__all__ = ["vm"]

T = TypeVar("T")


@click.group()
def vm() -> None:
    """Run an enclave's half in a virtual machine, with a real kernel.

    QEMU has what an enclave has and this machine hasn't: an AF_VSOCK and a /dev/nsm.
    It emulates the processor, so this takes neither KVM nor root.
    """


_requirements_option = click.option(
    "--requirements",
    type=FILE,
    metavar="FILE",
    help="Python packages that the application needs, as for pip install -r.",
)


@vm.command()
@_requirements_option
@click.option(
    "--install-packages",
    "installs",
    is_flag=True,
    help="Install what this machine lacks, with apt-get, as root.",
)
@log_options
def build(
    *,
    requirements: str | None,
    installs: bool,
    log_format: LogFormat,
    verbosity: int,
) -> None:
    """Build what virtual machines are booted from, as far as it isn't there yet.

    That takes some ten minutes on Debian 12, and is kept in ~/.cache/trionitro/guest,
    or where TRIONITRO_GUEST_CACHE says.
    """
    set_up_logging(log_format, verbosity=verbosity)
    if installs:
        _explained(install_packages)
    _kit(requirements)
    click.echo("everything is there: trionitro vm run NITRO.TOML")


@vm.command(context_settings=COMMAND_FOLLOWS)
@click.argument("manifest", type=FILE, metavar="NITRO.TOML")
@command_argument
@click.option(
    "--files",
    multiple=True,
    metavar="DIRECTORY[:PLACE]",
    help="Have what is in this directory in the guest (repeatable).  [default: the"
    " manifest's own directory, at [enclave] directory or /app]",
)
@_requirements_option
@click.option(
    "--kms-keys",
    type=FILE,
    metavar="FILE",
    help="Keys of the emulated KMS (JSON).  [default: alias/NAME, for this enclave]",
)
@click.option(
    "--memory",
    type=click.IntRange(min=512),
    default=1024,
    show_default=True,
    metavar="MIB",
    help="The guest's memory, which all of its files are in.",
)
@click.option(
    "--cpus",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="The guest's processors.",
)
@click.option(
    "--boot-timeout",
    type=SECONDS,
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds that the guest may take until its half has found this one.",
)
@click.option(
    "--console", is_flag=True, help="Show the guest's serial console as well."
)
@log_options
def run(
    *,
    manifest: str,
    command: tuple[str, ...],
    files: tuple[str, ...],
    requirements: str | None,
    memory: int,
    cpus: int,
    console: bool,
    log_format: LogFormat,
    verbosity: int,
    **settings: Any,
) -> int:
    """Boot the enclave's half of a manifest in QEMU, and run the parent's here.

    The guest has a Debian of its own, with this trionitro and the application's files.
    COMMAND runs in place of the manifest's. The exit code is the application's.

    Ctrl-C stops the application; a second one ends everything at once. This is for
    development and tests: nothing that is attested in such a guest proves anything.
    """
    set_up_logging(log_format, verbosity=verbosity)
    plan, text = _explained(functools.partial(read_vm_plan, manifest, command))
    home = plan.manifest.enclave.directory
    config = VmConfig(
        plan=plan,
        manifest=text,
        files=_explained(functools.partial(_files, files, manifest, home)),
        kit=_kit(requirements),
        provider_of=functools.partial(provider_of, environ=os.environ),
        settings=["--log-format", log_format, *["-v"] * verbosity],
        memory_mib=memory,
        processors=cpus,
        shows_screen=console,
        **settings,
    )
    return run_async(run_vm, config)


def _files(given: Sequence[str], manifest: str, home: str) -> tuple[Files, ...]:
    if not given:
        return (Files(Path(manifest).absolute().parent, home),)
    return tuple(parse_files(text, default=home) for text in given)


def _kit(requirements: str | None) -> Kit:
    more: tuple[str, ...] = ()
    if requirements is not None:
        more = _explained(functools.partial(read_requirements, requirements))
    return _explained(functools.partial(build_enclave_kit, more))


def _explained(do: Callable[[], T]) -> T:
    try:
        return do()
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    except CannotStartError as problem:
        raise click.ClickException(str(problem)) from None

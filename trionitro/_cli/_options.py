"""Options and argument types that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from trionitro._endpoints import parse_cid, parse_endpoint
from trionitro._exceptions import ConfigError
from trionitro._structuring import quote
from trionitro.abc import NsmDevice, VsockNetwork
from trionitro.vsock import network_from

__all__ = [
    "CID",
    "COMMAND_FOLLOWS",
    "ENDPOINT",
    "FILE",
    "HEX",
    "SECONDS",
    "Parsed",
    "command_argument",
    "family_options",
    "log_options",
    "network_for",
    "nsm_device_for",
    "nsm_option",
    "vsock_option",
]

F = TypeVar("F")
T = TypeVar("T")


class Parsed(click.ParamType[Any]):
    """An argument read by a function that raises ConfigError where it can't be."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        """Take what the type is called, and the function."""
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Read one argument; a default may be read already."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ConfigError as problem:
            self.fail(str(problem), param, ctx)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise ConfigError(f"{text!r} is not a number of seconds; write for example 10")
    return seconds


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError(
            f"{quote(text)} is not hexadecimal; write two digits for each byte, for"
            " example 00ff"
        ) from None


#: Whether it can be read is found out by who reads it, and has more to say.
FILE = click.Path(readable=False)

ENDPOINT = Parsed("endpoint", parse_endpoint)
CID = Parsed("cid", parse_cid)
SECONDS = Parsed("seconds", _seconds)
HEX = Parsed("hex", _hex)


#: What stands behind the manifest is a command of its own, whatever it looks like.
COMMAND_FOLLOWS: Final = {"allow_interspersed_args": False}


def _without_dashes(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Drop what separates the command from the manifest."""
    return value[1:] if value[:1] == ("--",) else value


command_argument = click.argument(
    "command",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[-- COMMAND [ARGS]...]",
    callback=_without_dashes,
)


def log_options(command: F) -> F:
    """Add ``--log-format`` and ``-v``."""
    decorators: list[Any] = [
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="How log lines on standard error look.",
        ),
        click.option(
            "-v",
            "--verbose",
            "verbosity",
            count=True,
            help="Log every connection, not only those in trouble.",
        ),
    ]
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def _one_family(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value:
        return
    version = 4 if param.name == "ipv4" else 6
    if ctx.params.get("family") not in (None, version):
        raise click.UsageError("-4 and -6 exclude each other: give one of them")
    ctx.params["family"] = version


def family_options(command: F) -> F:
    """Add ``-4`` and ``-6``, which set the parameter ``family``."""
    for version in ("6", "4"):
        command = click.option(
            f"-{version}",
            f"--ipv{version}",
            is_flag=True,
            expose_value=False,
            callback=_one_family,
            help=f"Connect to IPv{version} addresses only.",
        )(command)  # type: ignore[type-var]
    return command


vsock_option = click.option(
    "--vsock",
    metavar="NETWORK",
    help="kernel, local:DIR[?cid=N] or firecracker:PATH[?cid=N]"
    " (or the environment variable TRIONITRO_VSOCK).  [default: kernel]",
)


def network_for(choice: str | None) -> VsockNetwork:
    """Return the network of ``--vsock``, or of the environment.

    Raises:
      click.UsageError: if it is none.

    """
    return _chosen(network_from, choice)


nsm_option = click.option(
    "--nsm",
    metavar="DEVICE",
    help="/dev/nsm or unix:PATH (or the environment variable TRIONITRO_NSM)."
    "  [default: /dev/nsm]",
)


def nsm_device_for(choice: str | None) -> NsmDevice:
    """Return the security module of ``--nsm``, or of the environment.

    Raises:
      click.UsageError: if it is none.

    """
    # Loaded when it is wanted: a proxy, which has no use for it, starts sooner.
    from trionitro.nsm import nsm_device_from  # noqa: PLC0415

    return _chosen(nsm_device_from, choice)


def _chosen(
    find: Callable[[str | None, Mapping[str, str]], T], choice: str | None
) -> T:
    try:
        return find(choice, os.environ)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None

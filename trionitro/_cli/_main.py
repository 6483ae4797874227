"""The ``trionitro`` command and the programs beside it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from trionitro._cli._proxy import proxy
from trionitro._cli._run import run_command

__all__ = ["main", "main_proxy"]

#: The commands, and the modules that have them: one that isn't asked for isn't
#: imported. A proxy needs no KMS to start.
_COMMANDS: Final = {
    "allowlist": "_allowlist",
    "attestation": "_attestation",
    "credentials": "_credentials",
    "demo": "_demo",
    "demo-outside": "_demo",
    "doctor": "_doctor",
    "enclave": "_enclave",
    "kms": "_kms",
    "kmstool-enclave-cli": "_kmstool",
    "nsm": "_nsm",
    "parent": "_parent",
    "plan": "_plan",
    "proxy": "_proxy",
    "sandbox": "_sandbox",
    "sandbox-enclave": "_sandbox",
    "vm": "_vm",
    "vm-nsm": "_vm_nsm",
    "vscproxy": "_drop_in",
    "vsock-proxy": "_drop_in",
}


class _Commands(click.Group):
    """Commands, each of which is imported when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one, if there is one of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"trionitro._cli.{_COMMANDS[cmd_name]}")
        command: Any = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands)
@click.version_option(package_name="trionitro", message="%(prog)s %(version)s")
def _trionitro() -> None:
    """Write an AWS Nitro Enclave as one Trio program."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run ``trionitro`` with ``args``, or the process's own, and exit."""
    run_command(_trionitro, "trionitro", args)


def main_proxy(args: Sequence[str] | None = None) -> NoReturn:
    """Run ``python -m trionitro.proxy`` likewise."""
    run_command(proxy, "trionitro.proxy", args)

"""The ``trionitro`` command and the programs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import click

from trionitro._cli._allowlist import allowlist
from trionitro._cli._attestation import attestation
from trionitro._cli._demo import demo, demo_outside
from trionitro._cli._drop_in import vscproxy, vsock_proxy
from trionitro._cli._nsm import nsm
from trionitro._cli._proxy import proxy
from trionitro._cli._run import run_command

__all__ = ["main", "main_proxy"]


@click.group()
@click.version_option(package_name="trionitro", message="%(prog)s %(version)s")
def _trionitro() -> None:
    """Write an AWS Nitro Enclave as one Trio program."""


for _command in (
    proxy,
    demo,
    demo_outside,
    allowlist,
    vsock_proxy,
    vscproxy,
    nsm,
    attestation,
):
    _trionitro.add_command(_command)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run ``trionitro`` with ``args``, or the process's own, and exit."""
    run_command(_trionitro, "trionitro", args)


def main_proxy(args: Sequence[str] | None = None) -> NoReturn:
    """Run ``python -m trionitro.proxy`` likewise."""
    run_command(proxy, "trionitro.proxy", args)

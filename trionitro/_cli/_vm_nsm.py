"""``trionitro vm-nsm``: signs a virtual machine's attestation documents, inside."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from trionitro._cli._logging import set_up_logging
from trionitro._cli._run import run_async
from trionitro.testing import serve_nsm
from trionitro.vm import read_resigner

__all__ = ["vm_nsm"]


@click.command("vm-nsm", hidden=True)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("socket", type=click.Path(path_type=Path))
def vm_nsm(*, directory: Path, socket: Path) -> None:
    """Be a security module that has the kernel's answer, and signs its documents."""
    set_up_logging("text")
    try:
        resigner = read_resigner(directory)
    except (OSError, ValueError) as problem:
        raise click.ClickException(
            f"can't sign as {directory} says: {problem}"
        ) from None
    run_async(functools.partial(serve_nsm, resigner, socket))

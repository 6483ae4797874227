"""``trionitro kms``: KMS, from a shell."""

from __future__ import annotations

import click

from trionitro._cli._kms_emulate import emulate

__all__ = ["kms"]


@click.group()
def kms() -> None:
    """Talk to KMS as an enclave does, or emulate it."""


kms.add_command(emulate)

"""``trionitro kms``: KMS, from a shell."""

from __future__ import annotations

import click

from trionitro._cli._kms_calls import (
    decrypt,
    encrypt,
    generate_data_key,
    generate_data_key_pair,
    generate_random,
)
from trionitro._cli._kms_create_key import create_key
from trionitro._cli._kms_emulate import emulate

__all__ = ["kms"]


@click.group()
def kms() -> None:
    """Talk to KMS as an enclave does, or emulate it."""


for _command in (
    *(decrypt, encrypt, create_key, emulate),
    *(generate_data_key, generate_data_key_pair, generate_random),
):
    kms.add_command(_command)

"""``trionitro kmstool-enclave-cli``: kmstool_enclave_cli, with its flags and lines.

Source: ``bin/kmstool-enclave-cli/main.c`` of aws-nitro-enclaves-sdk-c. Its exit
codes are 0, 1 for wrong usage and ``--help``, and 255 for what failed. Unlike there,
credentials needn't stand on the command line, where every process can read them.

"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from trionitro._cli._kms_client import Target, call_kms, text_of
from trionitro._cli._output import say
from trionitro._endpoints import VsockEndpoint
from trionitro._exceptions import ConfigError
from trionitro.kms import (
    CredentialProvider,
    Credentials,
    StaticCredentials,
    default_credentials,
)

__all__ = ["kmstool_enclave_cli"]

T = TypeVar("T")
F = TypeVar("F")

#: After wrong usage, and after ``--help``.
_USAGE: Final = 1

#: Whose port the proxy to KMS is on, always.
_PARENT: Final = 3

_KEY_SPECS: Final = {"AES-256": 32, "AES-128": 16}

_HELP: Final = {"help_option_names": ["-h", "--help"]}


class _WrongUsageError(click.ClickException):
    """Ends the command as the original ends after wrong usage."""

    exit_code = _USAGE


class _FailedError(click.ClickException):
    """Ends the command as the original ends when something failed."""

    exit_code = 255


class _Kmstool(click.Group):
    """Ends as the original does."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the group's own arguments."""
        return self._ending(super().make_context, *args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        return self._ending(super().invoke, ctx)

    @staticmethod
    def _ending(run: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return run(*args, **kwargs)
        except click.exceptions.NoArgsIsHelpError as help_wanted:
            click.echo(help_wanted.format_message(), err=True)
            raise click.exceptions.Exit(_USAGE) from None
        except click.UsageError as problem:
            raise _WrongUsageError(problem.format_message()) from None
        except (_WrongUsageError, _FailedError):
            raise
        except click.ClickException as problem:
            raise _FailedError(problem.format_message()) from None
        except click.exceptions.Exit:  # after --help
            raise click.exceptions.Exit(_USAGE) from None


@click.group("kmstool-enclave-cli", cls=_Kmstool, context_settings=_HELP)
def kmstool_enclave_cli() -> None:
    """Take the place of kmstool_enclave_cli: same flags, same lines.

    Credentials may come from the environment or a container endpoint too, and a
    session token is needed only where they have one.
    """


def _common(command: F) -> F:
    decorators: list[Any] = [
        click.option("-r", "--region", default="us-east-1", show_default=True),
        click.option(
            "-x",
            "--proxy-port",
            type=click.IntRange(0, 2**32 - 2),
            default=8000,
            show_default=True,
            help="vsock port of the parent's proxy.",
        ),
        click.option("-k", "--aws-access-key-id", help="Everybody can read it here."),
        click.option("-s", "--aws-secret-access-key", help="Everybody can read it."),
        click.option("-t", "--aws-session-token", help="Everybody can read it here."),
    ]
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@kmstool_enclave_cli.command(context_settings=_HELP)
@_common
@click.option("-c", "--ciphertext", required=True, help="In base64.")
@click.option("-K", "--key-id")
@click.option("-a", "--encryption-algorithm")
def decrypt(
    *,
    ciphertext: str,
    key_id: str | None,
    encryption_algorithm: str | None,
    **common: Any,
) -> None:
    """Decrypt a ciphertext."""
    try:
        blob = base64.b64decode(ciphertext, validate=True)
    except (binascii.Error, ValueError):
        raise click.UsageError("the --ciphertext is no base64") from None
    target, credentials = _target(**common)
    client = target.client(credentials)
    decrypted = call_kms(
        client,
        client.decrypt,
        blob,
        key_id=key_id,
        encryption_algorithm=encryption_algorithm,
    )
    say(f"PLAINTEXT: {text_of(decrypted.plaintext)}")


@kmstool_enclave_cli.command(context_settings=_HELP)
@_common
@click.option("-K", "--key-id", required=True)
@click.option("-p", "--key-spec", required=True, type=click.Choice(list(_KEY_SPECS)))
def genkey(*, key_id: str, key_spec: str, **common: Any) -> None:
    """Generate a data key."""
    target, credentials = _target(**common)
    client = target.client(credentials)
    key = call_kms(
        client,
        client.generate_data_key,
        key_id,
        number_of_bytes=_KEY_SPECS[key_spec],
    )
    say(f"CIPHERTEXT: {text_of(key.ciphertext)}")
    say(f"PLAINTEXT: {text_of(key.plaintext)}")


@kmstool_enclave_cli.command(context_settings=_HELP)
@_common
@click.option("-l", "--length", required=True, type=click.IntRange(1, 1024))
def genrandom(*, length: int, **common: Any) -> None:
    """Generate random bytes."""
    target, credentials = _target(**common)
    client = target.client(credentials)
    say(f"PLAINTEXT: {text_of(call_kms(client, client.generate_random, length))}")


def _target(
    *,
    region: str,
    proxy_port: int,
    aws_access_key_id: str | None,
    aws_secret_access_key: str | None,
    aws_session_token: str | None,
) -> tuple[Target, CredentialProvider]:
    target = Target(
        region=region,
        endpoint=None,
        ca=os.environ.get("AWS_CA_BUNDLE") or None,
        connect=VsockEndpoint(_PARENT, proxy_port),
        vsock=None,
        nsm=None,
    )
    try:
        if aws_access_key_id is None and aws_secret_access_key is None:
            return target, default_credentials(os.environ)
        given = Credentials(
            access_key_id=aws_access_key_id or "",
            secret_access_key=aws_secret_access_key or "",
            session_token=aws_session_token,
        )
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    return target, StaticCredentials(given)

"""What the commands that call KMS share: whom they call and as whom, and input."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import attrs
import click

from trionitro._cli._options import (
    ENDPOINT,
    FILE,
    Parsed,
    network_for,
    nsm_device_for,
    nsm_option,
    vsock_option,
)
from trionitro._cli._run import run_async
from trionitro._endpoints import Endpoint
from trionitro._exceptions import ConfigError, ProtocolError
from trionitro.kms import (
    CredentialProvider,
    CredentialsUnavailableError,
    EndpointBackend,
    KmsClient,
    KmsError,
    StreamBackend,
    TcpBackend,
    default_credentials,
)
from trionitro.nsm import Nsm, NsmError, NsmUnavailableError

__all__ = [
    "Target",
    "call_kms",
    "client_options",
    "context_option",
    "read_blob",
    "read_file",
    "text_of",
]

T = TypeVar("T")
F = TypeVar("F")

#: Longer than anything that KMS takes.
_MAX_INPUT: Final = 2**20


@attrs.frozen(kw_only=True)
class Target:
    """Which KMS is called, and how it is reached."""

    region: str | None
    endpoint: str | None
    ca: str | None
    connect: Endpoint | None
    vsock: str | None
    nsm: str | None

    def client(self, credentials: CredentialProvider | None = None) -> KmsClient:
        """Return a client.

        Raises:
          click.UsageError: if something of it can't be.

        """
        environ = os.environ
        region = self.region or environ.get("AWS_REGION")
        region = region or environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise click.UsageError(
                "no region: give --region eu-west-1, or set AWS_REGION"
            )
        try:
            return KmsClient(
                region=region,
                credentials=credentials or default_credentials(environ),
                nsm=Nsm(nsm_device_for(self.nsm)),
                network_backend=self._backend(),
                endpoint=self.endpoint or environ.get("AWS_ENDPOINT_URL_KMS") or None,
                tls=None if self.ca is None else _trust(self.ca),
            )
        except ConfigError as problem:
            raise click.UsageError(str(problem)) from None

    def _backend(self) -> StreamBackend:
        if self.connect is None:
            return TcpBackend()
        return EndpointBackend(self.connect, network_for(self.vsock))


def client_options(command: F) -> F:
    """Add the options that a :class:`Target` is made of, and ``--json``."""
    decorators: list[Any] = [
        click.option("--region", metavar="R", help="For example eu-west-1."),
        click.option(
            "--endpoint",
            metavar="URL",
            help="Another than the region's own; http to loopback only.",
        ),
        click.option(
            "--ca",
            type=FILE,
            metavar="FILE",
            help="Trust these authorities (PEM), and no others.",
        ),
        click.option(
            "--connect",
            type=ENDPOINT,
            metavar="ENDPOINT",
            help="Connect here instead of to the endpoint's host: vsock://3:8000.",
        ),
        vsock_option,
        nsm_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{text!r} is not of the form K=V; write purpose=signing")
    return name, value


context_option = click.option(
    "--encryption-context",
    "context",
    type=Parsed("context", _pair),
    multiple=True,
    metavar="K=V",
    help="What must be said again to decrypt (repeatable).",
)


def call_kms(
    client: KmsClient, operation: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
) -> T:
    """Call one operation and close the client.

    Raises:
      click.ClickException: with one line, for what KMS or the way to it says.

    """

    async def call() -> T:
        async with client:
            return await operation(*args, **kwargs)

    try:
        return run_async(call, expected=(NsmError, NsmUnavailableError))
    except (KmsError, CredentialsUnavailableError) as problem:
        raise click.ClickException(str(problem)) from None
    except ProtocolError as problem:
        raise click.ClickException(f"KMS's answer makes no sense: {problem}") from None
    except OSError as problem:
        raise click.ClickException(
            f"{problem.strerror or problem}; check the way to it, and --connect"
        ) from None


def read_file(path: str) -> bytes:
    """Read a file, or standard input where it is ``-``.

    Raises:
      click.UsageError: if it can't be read, or is too long for KMS.

    """
    try:
        with click.open_file(path, "rb") as file:
            data: bytes = file.read(_MAX_INPUT + 1)
    except OSError as problem:
        raise click.UsageError(
            f"can't read {path}: {problem.strerror}; give a file, or - for standard"
            " input"
        ) from None
    if len(data) > _MAX_INPUT:
        raise click.UsageError(f"{path} is longer than anything that KMS takes")
    return data


def read_blob(path: str) -> bytes:
    """Read a ciphertext: KMS's bytes, or the same in base64."""
    data = read_file(path)
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return data


def text_of(data: bytes) -> str:
    """Return base64."""
    return base64.b64encode(data).decode()


def _trust(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as problem:  # an SSLError is one
        raise click.UsageError(
            f"can't read certificates from {path}: {problem.strerror or problem}; give"
            " a PEM file"
        ) from None

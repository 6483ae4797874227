"""``trionitro kms emulate``: a KMS for development and tests."""

from __future__ import annotations

import datetime as dt
import functools
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click
import structlog
import trio
from cryptography import x509

from trionitro._cli._clock import clock_ahead, clock_option
from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import (
    ENDPOINT,
    FILE,
    log_options,
    network_for,
    vsock_option,
)
from trionitro._cli._output import write_file
from trionitro._cli._run import run_async
from trionitro._endpoints import Endpoint, TcpEndpoint
from trionitro._exceptions import ConfigError
from trionitro._listen import Bound, open_bound
from trionitro.abc import VsockNetwork
from trionitro.attestation import AWS_NITRO_ROOTS, parse_roots
from trionitro.kms import Credentials, is_loopback
from trionitro.testing import KmsEmulator, load_kms_access_keys, load_kms_keys

__all__ = ["emulate"]

_log = structlog.get_logger("trionitro.kms")

_EXAMPLE: Final = """
\b
Example:
  export AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY=example
  trionitro kms emulate --listen tcp://127.0.0.1:8443 --ca-out ca.pem &
  aws kms create-key --endpoint-url https://localhost:8443 --ca-bundle ca.pem
"""


@attrs.frozen
class _Places:
    """Where it is listened on, with and without TLS."""

    https: tuple[Endpoint, ...]
    http: tuple[Endpoint, ...]
    network: VsockNetwork


@click.command(epilog=_EXAMPLE)
@click.option(
    "--listen",
    "https",
    type=ENDPOINT,
    multiple=True,
    metavar="ENDPOINT",
    help="Serve HTTPS here (repeatable).",
)
@click.option(
    "--listen-http",
    "http",
    type=ENDPOINT,
    multiple=True,
    metavar="ENDPOINT",
    help="Serve without TLS here: on loopback, a unix socket or a vsock (repeatable).",
)
@click.option(
    "--ca-out",
    type=FILE,
    metavar="FILE",
    help="Write the certificate that clients must trust here.",
)
@click.option(
    "--attestation-root",
    "roots",
    type=FILE,
    multiple=True,
    metavar="PEM",
    help="Believe documents under this root (repeatable).  [default: AWS's]",
)
@click.option("--keys", type=FILE, metavar="FILE", help="Start with these keys (JSON).")
@click.option(
    "--access-keys",
    type=FILE,
    metavar="FILE",
    help="Admit these (JSON), beside AWS_ACCESS_KEY_ID from the environment.",
)
@click.option(
    "--principal",
    metavar="ARN",
    help="Whose the access key from the environment is."
    "  [default: role/enclave of the account]",
)
@click.option("--region", metavar="REGION", default="us-east-1", show_default=True)
@click.option("--account", metavar="ID", default="111122223333", show_default=True)
@click.option(
    "--max-document-age",
    type=click.IntRange(min=0, max=86400),
    default=300,
    show_default=True,
    metavar="S",
    help="How old an attestation document may be.",
)
@clock_option
@vsock_option
@log_options
def emulate(
    *,
    https: tuple[Endpoint, ...],
    http: tuple[Endpoint, ...],
    ca_out: str | None,
    vsock: str | None,
    log_format: LogFormat,
    verbosity: int,
    **settings: Any,
) -> None:
    """Be a KMS, for programs on this machine.

    It checks signatures, key policies and attestation documents as AWS KMS does, and
    keeps its keys in memory. It protects nothing: it is for development and tests.
    """
    set_up_logging(log_format, verbosity=verbosity)
    _check_places(https, http)
    try:
        emulator = _make_emulator(os.environ, **settings)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    if ca_out is not None:
        write_file(ca_out, emulator.ca_pem)
    places = _Places(https, http, network_for(vsock))
    run_async(functools.partial(_serve_until_stopped, emulator, places))


async def _serve_until_stopped(emulator: KmsEmulator, places: _Places) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            for serve, endpoints in (
                (emulator.serve_https, places.https),
                (emulator.serve_http, places.http),
            ):
                for endpoint in endpoints:
                    bound: Bound = await open_bound(endpoint, places.network)
                    await nursery.start(serve, bound.listeners)
                    _log.info("listening", endpoint=str(bound.endpoint))
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()
    _log.info("stopped")


def _check_places(https: Iterable[Endpoint], http: Iterable[Endpoint]) -> None:
    if not [*https, *http]:
        raise click.UsageError(
            "nowhere to listen: give for example --listen tcp://127.0.0.1:8443"
        )
    for endpoint in http:
        if isinstance(endpoint, TcpEndpoint) and not is_loopback(endpoint.host):
            raise click.UsageError(
                f"--listen-http {endpoint}: secrets would go over the network in the"
                " clear; write --listen, or an address of loopback"
            )


def _make_emulator(
    environ: Mapping[str, str],
    *,
    roots: tuple[str, ...],
    keys: str | None,
    access_keys: str | None,
    principal: str | None,
    account: str,
    clock_offset: int,
    max_document_age: int,
    region: str,
) -> KmsEmulator:
    emulator = KmsEmulator(
        region=region,
        account=account,
        clock=clock_ahead(clock_offset),
        attestation_roots=_read_roots(roots) if roots else tuple(AWS_NITRO_ROOTS),
        max_document_age=dt.timedelta(seconds=max_document_age),
    )
    own = _environment_credentials(environ)
    if own is None and access_keys is None:
        raise ConfigError(
            "nobody could ask: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the"
            " environment, to anything, or give --access-keys"
        )
    if own is not None:
        emulator.admit(own, principal or f"arn:aws:iam::{account}:role/enclave")
    if access_keys is not None:
        load_kms_access_keys(emulator, access_keys)
    if keys is not None:
        load_kms_keys(emulator, keys)
    return emulator


def _environment_credentials(environ: Mapping[str, str]) -> Credentials | None:
    if "AWS_ACCESS_KEY_ID" not in environ:
        return None
    return Credentials(
        access_key_id=environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=environ.get("AWS_SESSION_TOKEN") or None,
    )


def _read_roots(paths: Iterable[str]) -> list[x509.Certificate]:
    return [root for path in paths for root in _read_root(path)]


def _read_root(path: str) -> Iterable[x509.Certificate]:
    try:
        return parse_roots(Path(path).read_bytes())
    except OSError as problem:
        raise ConfigError(f"can't read {path}: {problem.strerror}") from None
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None

"""``trionitro attestation``: what a document says, and whether that is so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, TypeVar

import click
from cryptography import x509

from trionitro._cli._attestation_file import read_document, read_limited
from trionitro._cli._attestation_report import as_json, as_lines
from trionitro._cli._options import FILE, HEX, SECONDS, Parsed
from trionitro._cli._output import in_red, say, say_json
from trionitro._exceptions import ConfigError
from trionitro._structuring import quote
from trionitro.attestation import (
    AWS_NITRO_ROOTS,
    At,
    AttestationDocument,
    AttestationError,
    AttestationPolicy,
    CertificateExpired,
    decode_attestation_untrusted,
    parse_roots,
    verify_attestation,
)
from trionitro.nsm import PCR_COUNT

__all__ = ["attestation"]

F = TypeVar("F")


def _parse_at(text: str) -> dt.datetime | At | None:
    if text == "now":
        return None
    if text == "document":
        return At.DOCUMENT_TIMESTAMP
    try:
        time = dt.datetime.fromisoformat(text)
        return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{quote(text)} is no time; write now, document, or for example"
            " 2025-03-04T13:30:00Z"
        ) from None


_AT = Parsed("time", _parse_at)

_json_option = click.option(
    "--json", "as_object", is_flag=True, help="Print a JSON object."
)


def _pcr_options(command: F) -> F:
    """Add ``--pcr0`` to ``--pcr31``; help has a line for all of them."""
    for index in reversed(range(PCR_COUNT)):
        command = click.option(
            f"--pcr{index}",
            type=HEX,
            metavar="HEX",
            hidden=index > 0,
            help="PCR0 must be this; --pcr1 to --pcr31 likewise.",
        )(command)  # type: ignore[type-var]
    return command


@click.group()
def attestation() -> None:
    """Look at attestation documents, and verify them."""


@attestation.command()
@click.argument("file", type=FILE)
@_json_option
def show(file: str, as_object: bool) -> None:
    """Show what the document in FILE says, without verifying it.

    FILE is binary, hexadecimal or base64; - is standard input.
    """
    try:
        document = decode_attestation_untrusted(read_document(file))
    except AttestationError as problem:
        raise click.ClickException(str(problem)) from None
    if as_object:
        algorithm = {"algorithm": document.algorithm}
        say_json({"verified": False} | as_json(document) | algorithm)
        return
    say(
        in_red(
            "NOT VERIFIED: anybody can have written this; trionitro attestation verify"
            " finds out"
        )
    )
    _say_all(as_lines(document, dt.datetime.now(dt.UTC)))


@attestation.command()
@click.argument("file", type=FILE)
@_pcr_options
@click.option("--nonce", type=HEX, metavar="HEX", help="The nonce must be this.")
@click.option(
    "--user-data", type=HEX, metavar="HEX", help="The user data must be this."
)
@click.option(
    "--root",
    "root_files",
    type=FILE,
    multiple=True,
    metavar="PEM",
    help="Trust this root in place of AWS's (repeatable): an emulator's, for example.",
)
@click.option(
    "--at",
    type=_AT,
    metavar="TIME",
    help="now; an ISO 8601 time, in UTC unless it says otherwise; or document, for when"
    " the document says it was made, which proves nothing about how long ago that is."
    "  [default: now]",
)
@click.option(
    "--max-age", type=SECONDS, metavar="S", help="How many seconds old it may be."
)
@click.option(
    "--allow-debug", is_flag=True, help="Accept an enclave in debug mode as well."
)
@_json_option
def verify(
    file: str,
    root_files: tuple[str, ...],
    at: dt.datetime | At | None,
    as_object: bool,
    **wanted: Any,
) -> None:
    """Verify the document in FILE, and show what it says.

    FILE is binary, hexadecimal or base64; - is standard input. Exit code 0 if the
    document is genuine and what the options ask for, 1 if not.
    """
    policy = _policy(wanted)
    roots = _roots(root_files)
    data = read_document(file)
    now = dt.datetime.now(dt.UTC)
    try:
        document = verify_attestation(data, roots=roots, at=at, policy=policy)
    except CertificateExpired as problem:
        remedy = ": --at document" if at is None else ""
        raise click.ClickException(f"{problem}{remedy}") from None
    except AttestationError as problem:
        raise click.ClickException(str(problem)) from None
    if as_object:
        say_json({"verified": True} | as_json(document))
        return
    say(_verdict(document, at))
    _say_all(as_lines(document, now))


def _policy(wanted: dict[str, Any]) -> AttestationPolicy:
    named = {index: wanted.pop(f"pcr{index}") for index in range(PCR_COUNT)}
    pcrs = {index: value for index, value in named.items() if value is not None}
    try:
        return AttestationPolicy(pcrs=pcrs, **wanted)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None


def _roots(paths: Iterable[str]) -> tuple[x509.Certificate, ...]:
    found = [root for path in paths for root in _read_root(path)]
    return tuple(found) or AWS_NITRO_ROOTS


def _read_root(path: str) -> tuple[x509.Certificate, ...]:
    try:
        return parse_roots(read_limited(path))
    except ConfigError as problem:
        raise click.UsageError(f"{path}: {problem}") from None


def _verdict(document: AttestationDocument, at: dt.datetime | At | None) -> str:
    whose = "AWS's root" if document.chain[0] in AWS_NITRO_ROOTS else "the root given"
    if at is None:
        return f"VERIFIED under {whose}"
    when = "its own timestamp" if at is At.DOCUMENT_TIMESTAMP else at.isoformat()
    return f"VERIFIED under {whose} as of {when}, which may be long ago"


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)

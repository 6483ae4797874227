"""``trionitro nsm``: the security module, from a shell."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from typing import Any, TypeVar

import attrs
import click

from trionitro._cli._nsm_emulate import emulate
from trionitro._cli._options import FILE, HEX, nsm_device_for, nsm_option
from trionitro._cli._output import say, say_bytes, say_json, write_file
from trionitro._cli._run import run_async
from trionitro._exceptions import ProtocolError
from trionitro.nsm import (
    MAX_ATTESTED_SIZE,
    PCR_COUNT,
    ZERO_PCR,
    Nsm,
    NsmError,
    NsmUnavailableError,
    Pcr,
    pcr_condition,
    pcr_meaning,
)

__all__ = ["nsm"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

_INDEX = click.IntRange(0, PCR_COUNT - 1)


@click.group()
def nsm() -> None:
    """Talk to the Nitro Security Module of this enclave, or emulate one."""


nsm.add_command(emulate)


def _device_options(command: F) -> F:
    json_option = click.option(
        "--json", "as_json", is_flag=True, help="Print a JSON object."
    )
    return nsm_option(json_option(command))


@nsm.command()
@_device_options
def describe(nsm: str | None, as_json: bool) -> None:
    """Show who the module is, and which PCRs are locked."""
    answer = _ask(nsm, Nsm.describe)
    version = f"{answer.version_major}.{answer.version_minor}.{answer.version_patch}"
    if as_json:
        say_json(
            {
                "module_id": answer.module_id,
                "version": version,
                "digest": answer.digest,
                "max_pcrs": answer.max_pcrs,
                "locked_pcrs": sorted(answer.locked_pcrs),
            }
        )
        return
    say(f"module id    {answer.module_id}")
    say(f"API version  {version}")
    say(f"PCRs         {answer.max_pcrs}, {answer.digest}")
    say(f"locked       {_ranges(answer.locked_pcrs) or 'none'}")


@nsm.command()
@click.argument("index", type=_INDEX, metavar="N")
@_device_options
def pcr(index: int, nsm: str | None, as_json: bool) -> None:
    """Show PCR N, and what it measures."""
    _show_pcr(_ask(nsm, Nsm.describe_pcr, index), as_json=as_json)


@nsm.command()
@click.argument("index", type=_INDEX, metavar="N")
@click.argument("data", type=HEX, metavar="HEX")
@_device_options
def extend(index: int, data: bytes, nsm: str | None, as_json: bool) -> None:
    """Extend PCR N with HEX: it becomes the SHA-384 of its value and that.

    PCRs 16 to 31 can be extended until they are locked.
    """

    async def extend_and_describe(module: Nsm) -> Pcr:
        await module.extend_pcr(index, data)
        return await module.describe_pcr(index)

    _show_pcr(_ask(nsm, extend_and_describe), as_json=as_json)


@nsm.command()
@click.argument("index", type=_INDEX, metavar="N")
@_device_options
def lock(index: int, nsm: str | None, as_json: bool) -> None:
    """Make PCR N read-only for as long as the enclave lives.

    From then on it is in attestation documents.
    """

    async def lock_and_describe(module: Nsm) -> Pcr:
        await module.lock_pcr(index)
        return await module.describe_pcr(index)

    _show_pcr(_ask(nsm, lock_and_describe), as_json=as_json)


@nsm.command("lock-range")
@click.argument("count", type=click.IntRange(0, PCR_COUNT), metavar="N")
@_device_options
def lock_range(count: int, nsm: str | None, as_json: bool) -> None:
    """Make the first N PCRs read-only, those that are already among them."""

    async def lock_and_describe(module: Nsm) -> frozenset[int]:
        await module.lock_pcrs(count)
        return (await module.describe()).locked_pcrs

    locked = _ask(nsm, lock_and_describe)
    if as_json:
        say_json({"locked_pcrs": sorted(locked)})
    else:
        say(f"locked       {_ranges(locked) or 'none'}")


@nsm.command()
@click.argument("size", type=click.IntRange(min=0), metavar="N")
@_device_options
def random(size: int, nsm: str | None, as_json: bool) -> None:
    """Get N random bytes: raw, or on a terminal in hexadecimal."""
    data = _ask(nsm, Nsm.random, size)
    if as_json:
        say_json({"random": data.hex()})
    else:
        say_bytes(data, as_text=data.hex())


@nsm.command()
@click.option("--user-data", type=HEX, metavar="HEX", help="Anything, to 1024 bytes.")
@click.option(
    "--nonce", type=HEX, metavar="HEX", help="What the verifier wants, to 1024 bytes."
)
@click.option(
    "--public-key",
    type=FILE,
    metavar="FILE",
    help="Taken as it is, to 1024 bytes; KMS wants a DER SubjectPublicKeyInfo.",
)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write it here.")
@_device_options
def attest(
    public_key: str | None,
    output: str | None,
    nsm: str | None,
    as_json: bool,
    **fields: bytes | None,
) -> None:
    """Get an attestation document: raw, or on a terminal in base64."""
    if public_key is not None:
        fields["public_key"] = _read_key(public_key)
    document = _ask(nsm, lambda module: module.attest(**fields))
    text = base64.b64encode(document).decode()
    if output is not None:
        write_file(output, document)
    if as_json:
        say_json({"document": text})
    elif output is None:
        say_bytes(document, as_text=text)


def _ask(choice: str | None, question: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Ask the module that is chosen, and turn what goes wrong into one line."""
    module = Nsm(nsm_device_for(choice))
    try:
        return run_async(
            question, module, *args, expected=(NsmError, NsmUnavailableError)
        )
    except OSError as error:
        raise click.ClickException(error.strerror or str(error)) from None
    except ProtocolError as problem:
        raise click.ClickException(
            f"the security module's answer makes no sense: {problem}; is it one?"
        ) from None
    except ValueError as problem:  # what is too long
        raise click.UsageError(str(problem)) from None


def _read_key(path: str) -> bytes:
    try:
        with click.open_file(path, "rb") as file:
            key: bytes = file.read(MAX_ATTESTED_SIZE + 1)
    except OSError as error:
        raise click.UsageError(f"can't read {path}: {error.strerror}") from None
    if len(key) > MAX_ATTESTED_SIZE:
        raise click.UsageError(
            f"{path} has more than {MAX_ATTESTED_SIZE} bytes: give a public key alone"
        )
    return key


def _show_pcr(pcr: Pcr, *, as_json: bool) -> None:
    meaning = pcr_meaning(pcr.index)
    if as_json:
        named = attrs.asdict(pcr) | {"value": pcr.value.hex(), "measures": meaning}
        say_json(named)
        return
    say(f"PCR{pcr.index:<9} {pcr.value.hex()}")
    say(f"measures     {meaning}{_what_zeros_mean(pcr)}")
    say(f"locked       {'yes' if pcr.locked else 'no'}")
    say(f"condition    {pcr_condition(pcr.index)}")


def _what_zeros_mean(pcr: Pcr) -> str:
    if pcr.value != ZERO_PCR:
        return ""
    if pcr.index <= 2:
        return "; all zeros: this enclave runs in debug mode"
    return "; all zeros: there was nothing to measure"


def _ranges(indices: Iterable[int]) -> str:
    """Write numbers as people do: 0-15, 17."""
    runs = groupby(enumerate(sorted(indices)), key=lambda pair: pair[1] - pair[0])
    ends = [[index for _, index in run] for _, run in runs]
    return ", ".join(
        f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in ends
    )

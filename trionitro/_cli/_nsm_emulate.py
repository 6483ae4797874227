"""``trionitro nsm emulate``: a security module for development and tests."""

from __future__ import annotations

import functools
import mmap
import signal
from pathlib import Path
from typing import Any, Final

import attrs
import click
import structlog
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trionitro._cli._clock import clock_ahead, clock_option
from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import FILE, HEX, Parsed, log_options
from trionitro._cli._output import write_file
from trionitro._cli._run import run_async
from trionitro._exceptions import CannotStartError, ConfigError
from trionitro.nsm import (
    ImageMeasurements,
    measure_certificate,
    measure_image_untrusted,
    parse_unix_path,
)
from trionitro.testing import (
    AttestationIssuer,
    BootMeasurements,
    MapForm,
    NsmEmulator,
    serve_nsm,
)

__all__ = ["emulate"]

_log = structlog.get_logger("trionitro.nsm")

_INSTANCE: Final = BootMeasurements().instance_id


def _place(text: str) -> str:
    try:
        return parse_unix_path(text)
    except ConfigError as problem:
        raise ConfigError(
            f"{text!r} is no place to listen: {problem}; write for example"
            " unix:/tmp/nsm.sock"
        ) from None


@click.command()
@click.option(
    "--listen",
    "path",
    type=Parsed("place", _place),
    required=True,
    metavar="unix:PATH",
    help="Where programs find it, with TRIONITRO_NSM=unix:PATH.",
)
@click.option(
    "--root-out",
    type=FILE,
    metavar="FILE",
    help="Write the root certificate here, for those who are to trust it.",
)
@click.option(
    "--image",
    type=FILE,
    metavar="EIF",
    help="Measure this image for PCR0, 1, 2 and 8.",
)
@click.option("--pcr0", type=HEX, metavar="HEX", help="The whole image.")
@click.option("--pcr1", type=HEX, metavar="HEX", help="Kernel and boot ramdisk.")
@click.option("--pcr2", type=HEX, metavar="HEX", help="Application.")
@click.option("--pcr8", type=HEX, metavar="HEX", help="Signing certificate.")
@click.option(
    "--certificate",
    type=FILE,
    metavar="PEM",
    help="Measure this signing certificate for PCR8.",
)
@click.option("--role-arn", metavar="ARN", help="Measure this IAM role for PCR3.")
@click.option(
    "--instance-id",
    metavar="ID",
    default=_INSTANCE,
    show_default=True,
    help="Measure this parent for PCR4.",
)
@click.option(
    "--module-id", metavar="ID", help="Say to be this.  [default: made from the parent]"
)
@click.option(
    "--debug-mode", is_flag=True, help="Have zeros for PCR0, 1, 2 and 8, as AWS has."
)
@click.option(
    "--region",
    metavar="REGION",
    default="us-east-1",
    show_default=True,
    help="Be there, as its certificates say.",
)
@click.option(
    "--map-form",
    type=click.Choice([form.value for form in MapForm]),
    default=MapForm.INDEFINITE.value,
    show_default=True,
    help="How documents are encoded: as AWS did until May 2025, or does since.",
)
@clock_option
@log_options
def emulate(
    path: str,
    root_out: str | None,
    log_format: LogFormat,
    verbosity: int,
    **settings: Any,
) -> None:
    """Be a security module, for programs on this machine.

    It answers as AWS's does, and signs attestation documents under a root of its own.
    Nothing that it says proves anything: it is for development and tests.
    """
    set_up_logging(log_format, verbosity=verbosity)
    try:
        emulator = _make_emulator(**settings)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    if root_out is not None:
        write_file(root_out, emulator.root_pem)
    run_async(functools.partial(_serve_until_stopped, emulator, path))


async def _serve_until_stopped(emulator: NsmEmulator, path: str) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(serve_nsm, emulator, path)
            except OSError as error:
                raise CannotStartError(error.strerror) from None
            _log.info("listening", endpoint=f"unix:{path}", module=emulator.module_id)
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()
    _log.info("stopped")


def _make_emulator(
    *,
    instance_id: str,
    module_id: str | None,
    region: str,
    map_form: str,
    clock_offset: int,
    **measured: Any,
) -> NsmEmulator:
    boot = _boot_measurements(instance_id=instance_id, **measured)
    issuer = AttestationIssuer(
        region=region, map_form=MapForm(map_form), clock=clock_ahead(clock_offset)
    )
    if module_id is None:
        return NsmEmulator(boot, issuer=issuer)
    return NsmEmulator(boot, issuer=issuer, module_id=module_id)


def _boot_measurements(
    *, image: str | None, certificate: str | None, **given: Any
) -> BootMeasurements:
    """Put together what is given; the more special wins."""
    measured: dict[str, Any] = {}
    if image is not None:
        measured |= attrs.asdict(_measure_file(image))
    if certificate is not None:
        measured["pcr8"] = measure_certificate(_read_certificate(certificate))
    measured |= {name: value for name, value in given.items() if value is not None}
    try:
        return BootMeasurements(**measured)
    except ValueError as problem:
        raise ConfigError(f"--{problem}: give 96 hexadecimal digits") from None


def _measure_file(path: str) -> ImageMeasurements:
    try:
        image = _map(path)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"can't read {path}: {_reason(problem)}") from None
    try:
        return measure_image_untrusted(image)
    except ConfigError as problem:
        raise ConfigError(f"{path} is {problem}") from None


def _map(path: str) -> memoryview:
    """Map a file into memory: an image is as large as what the enclave has in it."""
    with Path(path).open("rb") as file:
        # Python unmaps it when nobody looks at it any more.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _read_certificate(path: str) -> bytes:
    try:
        pem = Path(path).read_bytes()
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} has no certificate in PEM in it") from None


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)

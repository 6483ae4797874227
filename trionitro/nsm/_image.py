"""What a hypervisor will measure in an enclave's image file (EIF).

The format is that of aws/aws-nitro-enclaves-image-format (``src/defs/mod.rs``), all
of it big-endian: a header of 548 bytes, then sections one behind the other, each with
a header of its own of 12 bytes. This module does no I/O.

"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NoReturn

import attrs

from trionitro._cbor import decode_cbor_untrusted, expect_kind
from trionitro._exceptions import ConfigError, ProtocolError
from trionitro.nsm._pcrs import ZERO_PCR, extend, measure_certificate

__all__ = ["ImageMeasurements", "measure_image_untrusted"]

#: Magic, version, flags, memory, processors, reserved, number of sections; 32 offsets
#: and 32 sizes of sections; unused, and the checksum.
_HEADER: Final = struct.Struct("!4sHHQQHH32Q32QII")
_CHECKSUM_SIZE: Final = 4

#: Type, flags, size.
_SECTION: Final = struct.Struct("!HHQ")

_MAGIC: Final = b".eif"
_VERSIONS: Final = (2, 3, 4)
_MAX_SECTIONS: Final = 32
_MAX_SIGNATURE_SIZE: Final = 32768


class _Kind(IntEnum):
    """What a section is."""

    KERNEL = 1
    COMMAND_LINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


@attrs.frozen(kw_only=True)
class ImageMeasurements:
    """The PCRs that an image determines, 48 bytes each.

    Attributes:
      pcr0: of all of it.
      pcr1: of kernel, command line and the first ramdisk.
      pcr2: of the other ramdisks.
      pcr8: of the certificate that it was signed with; zero if it wasn't.

    """

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes
    pcr8: bytes


def measure_image_untrusted(data: bytes | memoryview) -> ImageMeasurements:
    """Compute the PCRs of an enclave that runs this image.

    A signature is not verified: that its certificate is measured is all that a
    hypervisor promises.

    Args:
      data: the whole file; it may be mapped into memory.

    Raises:
      ConfigError: if it is not an image of an enclave; the message says why.

    """
    sections = list(_sections(memoryview(data)))
    _check_kinds([kind for kind, _ in sections])
    boot: list[memoryview] = []
    application: list[memoryview] = []
    signer = ZERO_PCR
    ramdisks = 0
    for kind, content in sections:
        match kind:
            case _Kind.KERNEL | _Kind.COMMAND_LINE:
                boot.append(content)
            case _Kind.RAMDISK:
                (application if ramdisks else boot).append(content)
                ramdisks += 1
            case _Kind.SIGNATURE:
                signer = _measure_signer(bytes(content))
    measured = [content for kind, content in sections if kind <= _Kind.RAMDISK]
    return ImageMeasurements(
        pcr0=_measure(measured),
        pcr1=_measure(boot),
        pcr2=_measure(application),
        pcr8=signer,
    )


def _sections(data: memoryview) -> Iterator[tuple[_Kind, memoryview]]:
    """Yield each section's kind and content, as they are in the file."""
    if len(data) < _HEADER.size:
        _fail(f"it has {len(data)} bytes, and the header alone has {_HEADER.size}")
    magic, version, _, _, _, _, count, *table, _, checksum = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        _fail(f"it begins with {magic!r}, not {_MAGIC!r}")
    if version not in _VERSIONS:
        _fail(f"its version is {version}, and 2 to 4 are known")
    if not 2 <= count <= _MAX_SECTIONS:
        _fail(f"it has {count} sections, must have 2 to {_MAX_SECTIONS}")
    position = _HEADER.size
    actual = zlib.crc32(data[: _HEADER.size - _CHECKSUM_SIZE])
    for number in range(count):
        kind, end = _section_at(data, position)
        size = end - position - _SECTION.size
        if (position, size) != (table[number], table[_MAX_SECTIONS + number]):
            _fail(f"section {number} is not where, or not as long as, its header says")
        actual = zlib.crc32(data[position:end], actual)
        yield kind, data[position + _SECTION.size : end]
        position = end
    if position != len(data):
        _fail(f"{len(data) - position} bytes follow its last section")
    if actual != checksum:
        _fail("its checksum is wrong: it was changed, or not copied whole")


def _section_at(data: memoryview, position: int) -> tuple[_Kind, int]:
    """Read a section's header: what it is, and where it ends."""
    if position + _SECTION.size > len(data):
        _fail(f"it ends after {len(data)} bytes, before its last section")
    number, _, size = _SECTION.unpack_from(data, position)
    end = position + _SECTION.size + size
    if end > len(data):
        _fail(f"it ends after {len(data)} bytes, in the middle of a section")
    try:
        return _Kind(number), end
    except ValueError:
        _fail(f"it has a section of the unknown type {number}")


def _check_kinds(kinds: list[_Kind]) -> None:
    for kind in (_Kind.KERNEL, _Kind.COMMAND_LINE):
        if kinds.count(kind) != 1:
            _fail(f"it has {kinds.count(kind)} {kind.name} sections, must have 1")
    if kinds.count(_Kind.SIGNATURE) > 1:
        _fail("it is signed more than once")
    if _Kind.RAMDISK in kinds[: kinds.index(_Kind.KERNEL)]:
        _fail("a ramdisk is before the kernel")


def _measure(parts: Iterable[memoryview]) -> bytes:
    digest = hashlib.sha384()
    for part in parts:
        digest.update(part)
    return extend(ZERO_PCR, digest.digest())


def _measure_signer(section: bytes) -> bytes:
    """Find the certificate in a signature section, and measure it.

    The section is CBOR: an array of maps, in which bytes are arrays of integers. Of
    the array only the first element counts.

    """
    # A tenth of the time in which a boot starts, and a boot measures no image.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
    )

    if len(section) > _MAX_SIGNATURE_SIZE:
        _fail(f"its signature has {len(section)} bytes, must have 32768 at most")
    try:
        signatures = expect_kind(decode_cbor_untrusted(section), list, "the section")
        signature = expect_kind(next(iter(signatures), None), dict, "its element")
        pem = expect_kind(signature.get("signing_certificate"), list, "the certificate")
        certificate = x509.load_pem_x509_certificate(bytes(pem))
    except (ProtocolError, ValueError, TypeError) as problem:
        _fail(f"its signature can't be read: {problem}")
    return measure_certificate(certificate.public_bytes(Encoding.DER))


def _fail(what: str) -> NoReturn:
    raise ConfigError(f"no image of an enclave (EIF): {what}")

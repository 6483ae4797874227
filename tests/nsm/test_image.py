"""The measurements of image files."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vectors
from trionitro import ConfigError
from trionitro.nsm import ZERO_PCR, measure_image_untrusted
from trionitro.nsm._image import _HEADER, _SECTION

KERNEL, COMMAND_LINE, RAMDISK, SIGNATURE, METADATA = range(1, 6)

PLAIN = (
    (KERNEL, b"kernel"),
    (COMMAND_LINE, b"quiet"),
    (METADATA, b"{}"),
    (RAMDISK, b"init"),
    (RAMDISK, b"application"),
)


def make_image(*sections: tuple[int, bytes], **header: int) -> bytes:
    """Make an image of these sections, of which ``header`` may say something else."""
    offsets, sizes = [0] * 32, [0] * 32
    body, position = b"", _HEADER.size
    for number, (kind, content) in enumerate(sections):
        offsets[number], sizes[number] = position, len(content)
        piece = _SECTION.pack(kind, 0, len(content)) + content
        body += piece
        position += len(piece)
    count = header.get("count", len(sections))
    version = header.get("version", 4)
    fields = (b".eif", version, 0, 2**30, 2, 0, count, *offsets, *sizes, 0)
    start = _HEADER.pack(*fields, 0)[:-4]
    checksum = zlib.crc32(start + body) ^ header.get("flip", 0)
    return start + checksum.to_bytes(4, "big") + body


def signed(section: object) -> bytes:
    return make_image(*PLAIN, (SIGNATURE, cbor2.dumps(section)))


@pytest.mark.parametrize(
    "path", vectors("eif/*.eif") or [None], ids=lambda path: path and path.stem
)
def test_an_image_has_the_measurements_that_aws_would_give(path: Path | None) -> None:
    if path is None:
        pytest.skip("no vectors")
    expected = json.loads(path.with_suffix(".json").read_text())["measurements"]

    measured = attrs.asdict(measure_image_untrusted(path.read_bytes()))

    absent = {"pcr8": ZERO_PCR.hex()}
    assert {name: value.hex() for name, value in measured.items()} == absent | {
        name.lower(): value for name, value in expected.items()
    }


def test_the_order_in_the_file_counts() -> None:
    kernel, command_line, *rest = PLAIN

    one = measure_image_untrusted(make_image(kernel, command_line, *rest))
    other = measure_image_untrusted(make_image(command_line, kernel, *rest))

    assert one.pcr0 != other.pcr0
    assert one.pcr1 != other.pcr1
    assert one.pcr2 == other.pcr2


def test_metadata_is_not_measured() -> None:
    without = [section for section in PLAIN if section[0] != METADATA]

    assert measure_image_untrusted(make_image(*PLAIN)) == measure_image_untrusted(
        make_image(*without)
    )


NOT_AN_IMAGE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it has 0 bytes"),
    "another file": (b"\x7fELF" + bytes(600), r"it begins with b'\\x7fELF'"),
    "too old": (make_image(*PLAIN, version=1), "its version is 1"),
    "too new": (make_image(*PLAIN, version=5), "its version is 5"),
    "nothing in it": (make_image(*PLAIN, count=1), "it has 1 sections"),
    "too much in it": (make_image(*PLAIN, count=33), "it has 33 sections"),
    "cut": (make_image(*PLAIN)[:-1], "in the middle of a section"),
    "cut earlier": (make_image(*PLAIN)[:-12], "before its last section"),
    "longer": (make_image(*PLAIN) + b"x", "1 bytes follow"),
    "changed": (make_image(*PLAIN, flip=1), "its checksum is wrong"),
    "another kind": (make_image(*PLAIN, (6, b"")), "unknown type 6"),
    "no kernel": (make_image(*PLAIN[1:]), "0 KERNEL sections"),
    "two kernels": (make_image(PLAIN[0], *PLAIN), "2 KERNEL sections"),
    "no command line": (make_image(PLAIN[0], PLAIN[3]), "0 COMMAND_LINE sections"),
    "ramdisk first": (make_image(PLAIN[3], *PLAIN), "a ramdisk is before the kernel"),
    "signed twice": (
        make_image(*PLAIN, (SIGNATURE, b""), (SIGNATURE, b"")),
        "signed more than once",
    ),
    "signature of nothing": (signed([]), "can't be read"),
    "signature too long": (signed(bytes(32768)), "must have 32768 at most"),
    "signature of text": (signed([{"signing_certificate": "PEM"}]), "can't be read"),
    "signature of large numbers": (
        signed([{"signing_certificate": [300]}]),
        "can't be read",
    ),
    "signature without certificate": (
        signed([{"signing_certificate": list(b"no PEM")}]),
        "can't be read",
    ),
}


@pytest.mark.parametrize(("data", "words"), NOT_AN_IMAGE.values(), ids=NOT_AN_IMAGE)
def test_what_is_no_image_is_explained(data: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        measure_image_untrusted(data)

    assert str(refusal.value).startswith("no image of an enclave (EIF): ")


def test_what_the_header_says_of_a_section_must_hold() -> None:
    lying = bytearray(make_image(*PLAIN))
    lying[0x1C + 7] += 1  # the first section's offset

    with pytest.raises(ConfigError, match="section 0 is not where"):
        measure_image_untrusted(bytes(lying))


@given(st.data())
def test_a_changed_image_raises_nothing_but_config_error(data: st.DataObject) -> None:
    image = bytearray(make_image(*PLAIN))
    place = data.draw(st.integers(0, len(image) - 1))
    image[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ConfigError):
        measure_image_untrusted(bytes(image))


@given(st.binary(max_size=100), st.booleans())
def test_arbitrary_signatures_raise_nothing_but_config_error(
    section: bytes, wrapped: bool
) -> None:
    content: Any = (
        cbor2.dumps([{"signing_certificate": list(section)}]) if wrapped else section
    )

    with pytest.raises(ConfigError):
        measure_image_untrusted(make_image(*PLAIN, (SIGNATURE, content)))

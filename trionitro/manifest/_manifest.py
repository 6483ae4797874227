"""Reading a manifest: ``nitro.toml``, one file for both halves.

::

    [enclave]
    name = "signer"
    cid = 16
    command = ["python", "-m", "signer"]

    [[egress]]                        # enclave → outside
    host = "kms.us-west-1.amazonaws.com"
    port = 443

    [[ingress]]                       # outside → enclave
    listen = "0.0.0.0:8443"           # on the parent
    port = 8443                       # in the enclave

    [[volume]]
    export = "/srv/signer"            # on the parent, NFSv4
    mount = "/mnt/pv"                 # in the enclave

The keys of a table are the attributes of its record in
:mod:`trionitro.manifest._tables`.

"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_origin

import attrs
import cattrs

from trionitro._endpoints import (
    TcpEndpoint,
    UnixEndpoint,
    VsockEndpoint,
    check_target,
    parse_endpoint,
)
from trionitro._exceptions import ConfigError
from trionitro._structuring import (
    describe,
    make_converter,
    parse_toml,
    read_text,
    record_hook,
    structure,
)
from trionitro.manifest._tables import Enclave, Ingress, Manifest, Sandbox, Volume

__all__ = ["parse_manifest", "read_manifest", "read_manifest_text"]

_REMEDY: Final = "write an [enclave] table with name, cid and command"


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a file.

    Raises:
      ConfigError: if it can't be read, or says anything that makes no sense.

    """
    return parse_manifest(read_manifest_text(path), source=os.fspath(path))


def read_manifest_text(path: str | os.PathLike[str]) -> str:
    """Read the text of a file.

    Raises:
      ConfigError: if it can't be read.

    """
    return read_text(path, remedy=_REMEDY)


def parse_manifest(text: str, *, source: str) -> Manifest:
    """Read the text of a file.

    Args:
      text: TOML.
      source: what to call it in errors. The path of an image is relative to the
          directory that this is in.

    Raises:
      ConfigError: for the first thing that makes no sense.

    """
    manifest = structure(
        parse_toml(text, source=source, remedy=_REMEDY),
        Manifest,
        source=source,
        converter=_CONVERTER,
    )
    if manifest.image is None:
        return manifest
    eif = str(Path(source).parent / manifest.image.eif)
    return attrs.evolve(manifest, image=attrs.evolve(manifest.image, eif=eif))


def _structure_listen(value: Any, _: Any) -> TcpEndpoint | UnixEndpoint:
    """Read where the parent listens, with ``tcp://`` or without."""
    if not isinstance(value, str):
        raise ConfigError(
            f"was {describe(value)}, must be a string such as '0.0.0.0:8443'"
        )
    endpoint = parse_endpoint(value if "://" in value else f"tcp://{value}")
    if isinstance(endpoint, VsockEndpoint):
        raise ConfigError(
            f"was {describe(value)}, must be a TCP or unix endpoint: between the halves"
            " it is vsock anyway"
        )
    return endpoint


def _structure_server(value: Any, _: Any) -> TcpEndpoint:
    endpoint = _structure_listen(value, _)
    check_target(endpoint)
    if isinstance(endpoint, UnixEndpoint):
        raise ConfigError(f"was {describe(value)}, must be a TCP endpoint")
    return endpoint


def _structure_texts(value: Any, _: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"was {describe(value)}, must be a table of strings")
    for key, text in value.items():
        if not isinstance(text, str):
            raise ConfigError(f"was {describe(text)} for {key!r}, must be a string")
    return value


def _is_one_of_words(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _structure_word(value: Any, _: Any) -> str:
    """Read one of a few words; the record's validator knows them."""
    if not isinstance(value, str):
        raise ConfigError(f"was {describe(value)}, must be a string")
    return value


def _manifest_converter() -> cattrs.Converter:
    converter = make_converter()
    converter.register_structure_hook_func(_is_one_of_words, _structure_word)
    for record, hooks in (
        (Enclave, {"environment": _structure_texts}),
        (Ingress, {"listen": _structure_listen}),
        (Volume, {"server": _structure_server}),
        (Sandbox, {"measurements": _structure_texts}),
    ):
        converter.register_structure_hook(
            record, record_hook(record, converter, **hooks)
        )
    return converter


_CONVERTER: Final = _manifest_converter()

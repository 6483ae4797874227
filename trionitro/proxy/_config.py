"""The file that tells a proxy what to do: TOML, one table per route.

::

    allowlist = "vsock-proxy.yaml"     # relative to this file
    metrics = "tcp://127.0.0.1:9000"
    grace = 10
    vsock = "kernel"

    [[route]]
    listen = "vsock://:8000"
    forward = "tcp://kms.us-east-1.amazonaws.com:443"
    allow_cids = [16, "local"]

The keys of a route are the attributes of :class:`~trionitro.proxy._route.Route`.

"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NewType

import attrs
import cattrs

from trionitro._endpoints import Endpoint, parse_cid, parse_endpoint
from trionitro._exceptions import ConfigError
from trionitro._structuring import (
    describe,
    make_converter,
    parse_toml,
    read_text,
    record_hook,
    structure,
    structure_integer,
)
from trionitro.proxy._route import DEFAULT_GRACE, Family, ProxyConfig, Route

__all__ = ["ProxyFile", "parse_config", "read_config"]

_REMEDY: Final = "write a [[route]] table with listen and forward for each route"

_Cid = NewType("_Cid", int)


@attrs.frozen
class ProxyFile:
    """What a file says.

    Attributes:
      config: what the proxy does.
      vsock: how vsock addresses become streams, still as text; None if the file
          doesn't say.

    """

    config: ProxyConfig
    vsock: str | None


@attrs.frozen(kw_only=True)
class _Document:
    """The file as it is written: ``route`` is singular there."""

    route: tuple[Route, ...] = ()
    allowlist: str | None = None
    metrics: Endpoint | None = None
    grace: float = DEFAULT_GRACE
    vsock: str | None = None


def read_config(path: str | os.PathLike[str]) -> ProxyFile:
    """Read a file.

    Raises:
      ConfigError: if it can't be read, or says anything that makes no sense.

    """
    return parse_config(read_text(path, remedy=_REMEDY), source=os.fspath(path))


def parse_config(text: str, *, source: str) -> ProxyFile:
    """Read the text of a file.

    Args:
      text: TOML.
      source: what to call it in errors. Paths in the text are relative to the
          directory that this is in.

    Raises:
      ConfigError: for the first thing that makes no sense.

    """
    document = structure(
        parse_toml(text, source=source, remedy=_REMEDY),
        _Document,
        source=source,
        converter=_CONVERTER,
    )
    if not document.route:
        raise ConfigError(f"{source}: there is no route: {_REMEDY}")
    allowlist = document.allowlist
    if allowlist is not None:
        allowlist = str(Path(source).parent / allowlist)
    try:
        config = ProxyConfig(
            routes=document.route,
            allowlist=allowlist,
            metrics=document.metrics,
            grace=document.grace,
        )
    except ConfigError as problem:
        raise ConfigError(f"{source}: {problem}") from None
    return ProxyFile(config, document.vsock)


def _structure_endpoint(value: Any, _: Any) -> Endpoint:
    if not isinstance(value, str):
        raise ConfigError(
            f"was {describe(value)}, must be an endpoint: write for example"
            " 'tcp://127.0.0.2:443'"
        )
    return parse_endpoint(value)


def _structure_cid(value: Any, _: Any) -> int:
    if isinstance(value, str):
        return parse_cid(value)
    return parse_cid(str(structure_integer(value)))


def _structure_family(value: Any, _: Any) -> Family:
    match structure_integer(value):
        case 4:
            return 4
        case 6:
            return 6
    raise ConfigError(f"was {describe(value)}, must be 4 or 6: leave it out for both")


def _structure_max_connections(value: Any, _: Any) -> float:
    if structure_integer(value) < 1:
        raise ConfigError(
            f"was {describe(value)}, must be 1 or more: leave it out for no limit"
        )
    return float(value)


def _structure_path(value: Any, _: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"was {describe(value)}, must be the path of a file")
    return value


def _config_converter() -> cattrs.Converter:
    converter = make_converter()
    converter.register_structure_hook(Endpoint, _structure_endpoint)
    converter.register_structure_hook(_Cid, _structure_cid)

    def structure_cids(value: Any, _: Any) -> frozenset[int]:
        return frozenset(converter.structure(value, list[_Cid]))

    converter.register_structure_hook(
        Route,
        record_hook(
            Route,
            converter,
            allow_cids=structure_cids,
            family=_structure_family,
            max_connections=_structure_max_connections,
        ),
    )
    converter.register_structure_hook(
        _Document,
        record_hook(
            _Document,
            converter,
            metrics=_structure_endpoint,
            allowlist=_structure_path,
        ),
    )
    return converter


_CONVERTER: Final = _config_converter()

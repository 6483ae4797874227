"""Which vsock a program uses, as text on its command line or in its environment.

::

    kernel                        the kernel's vsock, which is the default
    local:DIR[?cid=N]             unix sockets in a directory; own CID 3 or N
    firecracker:PATH[?cid=N]      the host's side of a guest, whose CID is N

N is a number, or a name that :data:`trionitro._endpoints.CID_NAMES` has.

"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from trionitro._endpoints import parse_cid
from trionitro._exceptions import ConfigError
from trionitro.abc import VsockNetwork
from trionitro.vsock._firecracker import FirecrackerVsock
from trionitro.vsock._kernel import KernelVsock
from trionitro.vsock._local import LocalVsock

__all__ = ["VSOCK_VARIABLE", "network_from", "parse_network"]

#: The environment variable that counts where there is no ``--vsock``.
VSOCK_VARIABLE: Final = "TRIONITRO_VSOCK"

_ON_PATHS: Final[Mapping[str, tuple[Callable[..., VsockNetwork], str]]] = {
    "local": (LocalVsock, "local:/tmp/vsock?cid=16"),
    "firecracker": (FirecrackerVsock, "firecracker:/run/vm/v.sock"),
}


def network_from(option: str | None, environ: Mapping[str, str]) -> VsockNetwork:
    """Find out which network to use.

    Args:
      option: what ``--vsock`` says, or None if it wasn't given.
      environ: ``TRIONITRO_VSOCK`` in it counts without the option; unset or empty,
          the network is the kernel's.

    Raises:
      ConfigError: as :func:`parse_network` does, with the place the text came from.

    """
    if option is not None:
        return _parse_from("--vsock", option)
    return _parse_from(VSOCK_VARIABLE, environ.get(VSOCK_VARIABLE) or "kernel")


def parse_network(text: str) -> VsockNetwork:
    """Read which network to use.

    Raises:
      ConfigError: with the text, the part of it that is wrong, and an example.

    """
    if text == "kernel":
        return KernelVsock()
    kind, _, rest = text.partition(":")
    if kind not in _ON_PATHS:
        raise ConfigError(
            f"{text!r} is no vsock network: it is neither kernel, nor local:DIR, nor"
            " firecracker:PATH; write for example local:/tmp/vsock?cid=16"
        )
    network, example = _ON_PATHS[kind]
    try:
        path, options = _split(rest)
        return network(path, **options)
    except ConfigError as problem:
        raise ConfigError(
            f"{text!r} is no vsock network: {problem}; write for example {example}"
        ) from None


def _parse_from(place: str, text: str) -> VsockNetwork:
    try:
        return parse_network(text)
    except ConfigError as problem:
        raise ConfigError(f"{place}: {problem}") from None


def _split(rest: str) -> tuple[str, dict[str, int]]:
    path, question_mark, option = rest.rpartition("?")
    if not question_mark or "/" in option:  # then it belongs to the path
        path, question_mark = rest, ""
    if not path:
        raise ConfigError("the path is missing")
    if "\0" in path:
        raise ConfigError("the path has a NUL byte in it")
    if not question_mark:
        return path, {}
    name, _, value = option.partition("=")
    if name != "cid":
        raise ConfigError(f"after the path there may be ?cid=N, not {'?' + option!r}")
    return path, {"cid": parse_cid(value)}

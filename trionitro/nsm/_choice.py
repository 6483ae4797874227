"""Which security module a program uses, as text in its arguments or environment.

::

    /dev/nsm         the kernel's device, which is the default
    unix:PATH        one that listens on a unix socket

"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trionitro._exceptions import ConfigError
from trionitro.abc import NsmDevice
from trionitro.nsm._device import NSM_PATH, KernelNsm
from trionitro.nsm._unix_device import UnixNsm

__all__ = ["NSM_VARIABLE", "nsm_device_from", "parse_nsm_device", "parse_unix_path"]

#: The environment variable that counts where there is no ``--nsm``.
NSM_VARIABLE: Final = "TRIONITRO_NSM"

_EXAMPLE: Final = "unix:/tmp/nsm.sock"


def nsm_device_from(option: str | None, environ: Mapping[str, str]) -> NsmDevice:
    """Find out which security module to use.

    Args:
      option: what ``--nsm`` says, or None if it wasn't given.
      environ: ``TRIONITRO_NSM`` in it counts without the option; unset or empty, it
          is ``/dev/nsm``.

    Raises:
      ConfigError: as :func:`parse_nsm_device` does, with the place the text came
          from.

    """
    if option is not None:
        return _parse_from("--nsm", option)
    return _parse_from(NSM_VARIABLE, environ.get(NSM_VARIABLE) or NSM_PATH)


def parse_nsm_device(text: str) -> NsmDevice:
    """Read which security module to use.

    Raises:
      ConfigError: with the text, the part of it that is wrong, and an example.

    """
    try:
        if text.startswith("/"):
            return KernelNsm(_checked(text))
        return UnixNsm(parse_unix_path(text))
    except ConfigError as problem:
        raise ConfigError(
            f"{text!r} is no security module: {problem}; write for example {_EXAMPLE}"
        ) from None


def parse_unix_path(text: str) -> str:
    """Read the PATH of ``unix:PATH``.

    Raises:
      ConfigError: with what is wrong with it.

    """
    kind, colon, path = text.partition(":")
    if kind != "unix" or not colon:
        raise ConfigError("it is neither a device such as /dev/nsm, nor unix:PATH")
    if not path:
        raise ConfigError("the path is missing")
    return _checked(path)


def _checked(path: str) -> str:
    if "\0" in path:
        raise ConfigError("the path has a NUL byte in it")
    return path


def _parse_from(place: str, text: str) -> NsmDevice:
    try:
        return parse_nsm_device(text)
    except ConfigError as problem:
        raise ConfigError(f"{place}: {problem}") from None

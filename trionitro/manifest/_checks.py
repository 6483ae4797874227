"""What the values of a manifest must be, each check by itself.

They are attrs validators: whoever makes a record in Python is told the same as
whoever writes TOML. A message begins with the attribute's name, which
:mod:`trionitro._structuring` puts the path before.

"""

from __future__ import annotations

import ipaddress
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import attrs

from trionitro._endpoints import CID_NAMES, parse_host
from trionitro._exceptions import ConfigError
from trionitro._structuring import quote
from trionitro.abc import VMADDR_ANY

__all__ = [
    "HEARTBEAT_PORT",
    "is_absolute_path",
    "is_cid",
    "is_command",
    "is_container_image",
    "is_enclave_name",
    "is_environment",
    "is_host",
    "is_loopback_address",
    "is_mount_options",
    "is_mount_point",
    "is_number_from",
    "is_one_of",
    "is_parent_cid",
    "is_path",
    "is_port",
    "is_positive",
    "is_set_of_measurements",
    "is_set_of_names",
    "is_user",
    "is_vsock_port",
]

#: Where nitro-cli waits for the first byte of an enclave that it starts, on the
#: parent's CID.
HEARTBEAT_PORT: Final = 9000

#: Lower ones need CAP_NET_BIND_SERVICE.
_FIRST_UNPRIVILEGED: Final = 1024

#: 0, 1 and 2 are the hypervisor's, the machine's own and the host's, 3 the parent's.
_FIRST_CID: Final = 4

#: A PCR is a SHA-384 digest.
_PCR_SIZE: Final = 48
_PCRS: Final = 32

#: What is a file name, a unit's name and a word of a command line at the same time.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}(:[A-Za-z0-9_.-]{1,32})?")

#: What a registry takes: names, a tag, a digest.
_CONTAINER_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,254}")

#: NFS's own options. A comma would make two of one, a blank ends the list.
_MOUNT_OPTION: Final = re.compile(r"[A-Za-z0-9_]+(=[A-Za-z0-9_.:/-]+)?")

#: POSIX leaves it at "no ="; what a shell can't set is a mistake here.
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: What a volume over them would take from the enclave, the boot included.
_NEEDED: Final = frozenset({"/", "/dev", "/proc", "/sys"})

_Attribute: TypeAlias = "attrs.Attribute[Any]"


def is_enclave_name(_: object, attribute: _Attribute, value: str) -> None:
    """Check what an enclave is called."""
    if not _NAME.fullmatch(value):
        raise ConfigError(
            f"{attribute.name} must be 1 to 63 letters, digits, dots, underscores and"
            f" hyphens, and begin with a letter or digit; was {quote(value)}"
        )


def is_cid(_: object, attribute: _Attribute, value: int) -> None:
    """Check the CID of an enclave, or of a machine that is its own parent."""
    local = CID_NAMES["local"]
    if value != local and not _FIRST_CID <= value < VMADDR_ANY:
        raise ConfigError(
            f"{attribute.name} must be from {_FIRST_CID} to {VMADDR_ANY - 1}, or"
            f" {local} where both halves are on one machine, was {value}: the other"
            " low ones are the hypervisor's and the parent's"
        )


def is_port(_: object, attribute: _Attribute, value: int) -> None:
    """Check a TCP port."""
    if not 1 <= value <= 65535:
        raise ConfigError(f"{attribute.name} must be from 1 to 65535, was {value}")


def is_vsock_port(_: object, attribute: _Attribute, value: int | None) -> None:
    """Check a vsock port that is given; None follows from the plan."""
    if value is None:
        return
    if not _FIRST_UNPRIVILEGED <= value < VMADDR_ANY:
        raise ConfigError(
            f"{attribute.name} must be from {_FIRST_UNPRIVILEGED} to {VMADDR_ANY - 1},"
            f" was {value}: the lower ones are privileged"
        )
    if value == HEARTBEAT_PORT:
        raise ConfigError(
            f"{attribute.name} must not be {HEARTBEAT_PORT}: there nitro-cli waits for"
            " the heartbeat of an enclave that it starts"
        )


def is_parent_cid(_: object, attribute: _Attribute, value: int) -> None:
    """Check the CID of a parent, which may be any that can be connected to."""
    if not 1 <= value < VMADDR_ANY:
        raise ConfigError(
            f"{attribute.name} must be from 1 to {VMADDR_ANY - 1}, was {value}"
        )


def is_number_from(lowest: int) -> Any:
    """Make a check for numbers, whole or not, of ``lowest`` or more."""

    def check(_: object, attribute: _Attribute, value: float | None) -> None:
        if value is not None and not value >= lowest:
            raise ConfigError(f"{attribute.name} must be {lowest} or more, was {value}")

    return check


def is_positive(_: object, attribute: _Attribute, value: float | None) -> None:
    """Check a number of seconds that may not be none."""
    if value is not None and not 0 < value < math.inf:
        raise ConfigError(
            f"{attribute.name} must be a number of seconds above 0, was {value}"
        )


def is_one_of(*known: str) -> Any:
    """Make a check for one of the words that are ``known``."""

    def check(_: object, attribute: _Attribute, value: str) -> None:
        if value not in known:
            raise ConfigError(
                f"{attribute.name} must be one of {', '.join(map(repr, known))}; was"
                f" {quote(value)}"
            )

    return check


def is_host(_: object, attribute: _Attribute, value: str) -> None:
    """Check the name or address of a destination."""
    _check_host(attribute.name, value)
    if _is_localhost(value):
        raise ConfigError(
            f"{attribute.name} must not be {value!r}, which is the enclave itself in"
            ' the enclave: for a service on the parent, write host = "127.0.0.1" and'
            ' give it names = ["…"]'
        )


def is_set_of_names(_: object, attribute: _Attribute, value: tuple[str, ...]) -> None:
    """Check names for the hosts file."""
    for name in value:
        _check_host(attribute.name, name)
        if _is_localhost(name) or _is_address(name):
            raise ConfigError(
                f"{attribute.name} must be names of the destination's own, was"
                f" {quote(name)}"
            )


def is_loopback_address(_: object, attribute: _Attribute, value: str | None) -> None:
    """Check where in the enclave a destination is given a place."""
    if value is None:
        return
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        address = None
    if address is None or not address.is_loopback or str(address) == "127.0.0.1":
        raise ConfigError(
            f"{attribute.name} must be a loopback address from 127.0.0.2 on, was"
            f" {quote(value)}"
        )


def is_command(_: object, attribute: _Attribute, value: tuple[str, ...]) -> None:
    """Check a program and its arguments."""
    if not value or not value[0]:
        raise ConfigError(
            f'{attribute.name} must name a program: write ["python", "-m", "app"]'
        )
    for word in value:
        _check_text(attribute.name, word)


def is_environment(_: object, attribute: _Attribute, value: Mapping[str, str]) -> None:
    """Check environment variables. Their values may be secret."""
    for name, text in value.items():
        if not _VARIABLE.fullmatch(name):
            raise ConfigError(
                f"{attribute.name} must have names of letters, digits and underscores,"
                f" had {quote(name)}"
            )
        _check_text(f"{attribute.name} {name}", text, shown=False)


def is_user(_: object, attribute: _Attribute, value: str | None) -> None:
    """Check a user by name or number, with a group behind a colon or without."""
    if value is not None and not _USER.fullmatch(value):
        raise ConfigError(
            f"{attribute.name} must be a user, or user:group, by name or number; was"
            f" {quote(value)}"
        )


def is_path(_: object, attribute: _Attribute, value: str) -> None:
    """Check the path of a file."""
    if not value:
        raise ConfigError(f"{attribute.name} must be the path of a file, was ''")
    _check_text(attribute.name, value)


def is_container_image(_: object, attribute: _Attribute, value: str | None) -> None:
    """Check the name of a container image."""
    if value is not None and not _CONTAINER_IMAGE.fullmatch(value):
        raise ConfigError(
            f"{attribute.name} must be a container image such as"
            f" 'registry.example/app:1', was {quote(value)}"
        )


def is_absolute_path(_: object, attribute: _Attribute, value: str) -> None:
    """Check a path in its shortest form."""
    _check_text(attribute.name, value)
    if not value.startswith("/") or posixpath.normpath(value) != value:
        raise ConfigError(
            f"{attribute.name} must be an absolute path without '.', '..' or a slash"
            f" too many, was {quote(value)}"
        )


def is_mount_point(instance: object, attribute: _Attribute, value: str) -> None:
    """Check where a volume may appear."""
    is_absolute_path(instance, attribute, value)
    if value in _NEEDED:
        raise ConfigError(
            f"{attribute.name} must not be {value!r}, which the enclave needs itself"
        )


def is_mount_options(_: object, attribute: _Attribute, value: tuple[str, ...]) -> None:
    """Check mount options, one an element."""
    for option in value:
        if not _MOUNT_OPTION.fullmatch(option):
            raise ConfigError(
                f"{attribute.name} must be one mount option an element, such as"
                f" 'noatime' or 'timeo=600'; was {quote(option)}"
            )


def is_set_of_measurements(
    _: object, attribute: _Attribute, value: Mapping[str, str]
) -> None:
    """Check PCRs: numbers, and SHA-384 digests in hex."""
    for index, digest in value.items():
        if not re.fullmatch("[0-9]|[1-9][0-9]", index) or int(index) >= _PCRS:
            raise ConfigError(
                f"{attribute.name} must be by PCR from 0 to {_PCRS - 1}, had"
                f" {quote(index)}"
            )
        if not re.fullmatch(f"[0-9a-fA-F]{{{2 * _PCR_SIZE}}}", digest):
            raise ConfigError(
                f"{attribute.name} must be {_PCR_SIZE} bytes in hex, for {index} was"
                f" {quote(digest)}"
            )


def _check_host(name: str, value: str) -> None:
    try:
        parse_host(value)
    except ConfigError as problem:
        raise ConfigError(f"{name} must be a name or an address: {problem}") from None


def _is_localhost(value: str) -> bool:
    labels = value.lower().removesuffix(".").split(".")
    return labels[-1] == "localhost"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _check_text(name: str, value: str, *, shown: bool = True) -> None:
    """Check a text that the kernel ends with a NUL, and that files hold as UTF-8."""
    what = f", was {quote(value)}" if shown else ""
    if "\0" in value:
        raise ConfigError(f"{name} must not have a NUL character in it{what}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name} must be valid Unicode{what}") from None

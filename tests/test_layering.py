"""Imports point downwards only, and what does no I/O imports no Trio."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import trionitro

#: What may be imported, lowest first: a module imports from its own layer and from
#: those before it. A package stands for all that is in it, and a name written out
#: in full goes before its package. ``trionitro/__init__.py`` explains the order.
LAYERS: Final = (
    (
        *("_cbor", "_exceptions", "_file_limit", "_framing", "_structuring"),
        *("_systemd", "_transfer", "abc"),
    ),
    ("_endpoints",),
    (
        *("_channel", "_http_server", "_multiplexer", "_relay", "_reset"),
        *("_socket_stream", "_unix"),
    ),
    ("_listen",),
    ("vsock",),
    ("_control",),
    ("proxy",),
    ("nsm",),
    ("attestation",),
    ("kms",),
    ("manifest",),
    ("enclave", "parent"),
    ("doctor",),
    ("",),  # the public face
    ("testing", "sandbox"),
    ("vm",),
    ("_cli", "__main__", "proxy.__main__"),
)

#: The only modules that print, and that say how the process ends.
TALKERS: Final = ("_cli", "__main__", "proxy.__main__")

#: Who may look behind whose public face: a fake checks addresses, and says what is
#: wrong with them, in the very words of what it stands for; and it speaks the
#: protocol from the other end.
FRIENDS: Final = frozenset(
    {("testing", "kms"), ("testing", "nsm"), ("testing", "vsock")}
)

#: Protocols and records: bytes and text in, bytes and text out.
SANS_IO: Final = frozenset(
    {
        "_cbor",
        "_control._messages",
        "_endpoints",
        "_exceptions",
        "_framing",
        "_structuring",
        "_transfer",
        "attestation._certificates",
        "attestation._chain",
        "attestation._chain_errors",
        "attestation._cose",
        "attestation._document",
        "attestation._errors",
        "attestation._policy",
        "attestation._policy_errors",
        "attestation._times",
        "attestation._verified",
        "attestation._verify",
        "doctor._enclave",
        "doctor._facts",
        "doctor._findings",
        "doctor._kind",
        "doctor._machine",
        "doctor._names",
        "doctor._needs",
        "doctor._parent",
        "kms._answers",
        "kms._arn",
        "kms._ber",
        "kms._clock",
        "kms._credentials",
        "kms._denial",
        "kms._endpoints",
        "kms._envelope",
        "kms._key_policy",
        "kms._policy",
        "kms._policy_decision",
        "kms._policy_operators",
        "kms._recipient_keys",
        "kms._records",
        "kms._retry",
        "kms._sealed_format",
        "kms._sigv4",
        "kms._urls",
        "nsm._errors",
        "nsm._image",
        "nsm._messages",
        "nsm._pcrs",
        "manifest._checks",
        "manifest._claims",
        "manifest._destinations",
        "manifest._digest",
        "manifest._links",
        "manifest._manifest",
        "manifest._plan",
        "manifest._planner",
        "manifest._quoting",
        "manifest._socat",
        "manifest._tables",
        "manifest._together",
        "nsm._wire",
        "proxy._addresses",
        "proxy._allowlist",
        "proxy._allowlist_file",
        "proxy._config",
        "proxy._drop_in",
        "proxy._route",
        "proxy._rules",
        "vsock._connect",
        "vsock._vhost_user._ancillary",
        "vsock._vhost_user._barrier",
        "vsock._vhost_user._connection",
        "vsock._vhost_user._device",
        "vsock._vhost_user._memory",
        "vsock._vhost_user._messages",
        "vsock._vhost_user._packets",
        "vsock._vhost_user._receive_buffer",
        "vsock._vhost_user._rings",
        "vsock._vhost_user._virtqueue",
    }
)

PACKAGE: Final = Path(trionitro.__file__).parent


def name_of(path: Path) -> str:
    """Name a module as ``LAYERS`` does, without the leading "trionitro."."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").rstrip(".")


MODULES: Final = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    """Parse a module of trionitro."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def every_import(module: str) -> Iterator[str]:
    """Yield the full name of all that ``module`` imports, wherever it does so."""
    for node in ast.walk(tree_of(module)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(level=0, module=str(source)):
                yield from (f"{source}.{alias.name}" for alias in node.names)
            case ast.ImportFrom():
                raise AssertionError(f"{module} has a relative import")


def own_imports(module: str) -> Iterator[str]:
    """Yield the modules of trionitro that ``module`` imports, or imports from."""
    for name in every_import(module):
        package, _, inner = name.partition(".")
        if package == "trionitro":
            yield inner if inner in MODULES else inner.rpartition(".")[0]


def is_in(module: str, package: str) -> bool:
    """Tell whether ``module`` is ``package``, or in it; all are in the empty one."""
    return not package or module == package or module.startswith(f"{package}.")


def top_of(module: str) -> str:
    """Return the package, or the module, directly below trionitro."""
    return module.partition(".")[0]


def layer_of(module: str) -> int:
    """Return where ``module`` stands in ``LAYERS``."""
    places = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    fitting = [name for name in places if name and is_in(module, name)]
    if module and not fitting:
        raise AssertionError(
            f"trionitro.{module} has no layer yet: add it to LAYERS in {__file__}, and"
            " to the list in trionitro/__init__.py"
        )
    return places[max(fitting, key=len, default="")]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    upwards = {
        imported
        for imported in own_imports(module)
        if layer_of(imported) > layer_of(module)
    }

    assert not upwards, f"trionitro.{module} imports from above: {upwards}"


@pytest.mark.parametrize("module", MODULES)
def test_private_modules_are_imported_within_their_package_only(module: str) -> None:
    foreign = {
        imported
        for imported in own_imports(module)
        if imported.rpartition(".")[2].startswith("_")
        if not is_in(module, imported.rpartition(".")[0])
        if (top_of(module), top_of(imported)) not in FRIENDS
    }

    assert not foreign, f"trionitro.{module} goes behind the public face of {foreign}"


@pytest.mark.parametrize("module", sorted(SANS_IO & MODULES.keys()))
def test_what_does_no_io_imports_no_trio(module: str) -> None:
    trio = {name for name in every_import(module) if name.split(".")[0] == "trio"}

    assert not trio


@pytest.mark.parametrize("module", MODULES)
def test_only_the_commands_print_or_exit(module: str) -> None:
    if any(is_in(module, talker) for talker in TALKERS):
        return

    said = {
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Name | ast.Attribute)
        if ast.unparse(node) in {"print", "exit", "sys.exit", "os._exit", "SystemExit"}
    }

    assert not said, f"trionitro.{module} prints or exits"


def test_no_name_is_in_two_layers() -> None:
    names = [name for layer in LAYERS for name in layer]

    assert len(names) == len(set(names))

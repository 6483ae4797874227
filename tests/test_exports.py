"""The public face: all of it is there, of our own making, and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import trionitro

MODULES = [
    "trionitro",
    *(found.name for found in pkgutil.walk_packages(trionitro.__path__, "trionitro.")),
]


def is_public(module: str) -> bool:
    """Tell whether a program may import ``module``."""
    return not any(part.startswith("_") for part in module.split("."))


def exports_of(module: str) -> list[str]:
    """List what a public module gives away."""
    namespace = vars(importlib.import_module(module))
    if "__all__" in namespace:
        return list(namespace["__all__"])
    return [
        name
        for name, value in namespace.items()
        if not name.startswith("_") and not inspect.ismodule(value)
        if name != "annotations"  # of ``from __future__ import annotations``
    ]


#: Those that are imported when they are wanted, and so are in no namespace before.
LATE = [
    ("trionitro.parent", "BrokerConfig"),
    ("trionitro.parent", "CredentialBroker"),
    ("trionitro.parent", "run_credential_broker"),
    ("trionitro.vsock", "VhostUserSwitch"),
    ("trionitro.vsock", "VhostUserVsock"),
]

EXPORTS = [
    *(
        (module, name)
        for module in MODULES
        if is_public(module)
        for name in exports_of(module)
    ),
    *LATE,
]


def undocumented_members(cls: type) -> list[str]:
    """List the public methods and properties that nobody explains."""
    return [
        name
        for name, member in vars(cls).items()
        if not name.startswith("_")
        if inspect.isroutine(member) or isinstance(member, property)
        if not inspect.getdoc(getattr(cls, name))
    ]


def test_the_namespaces_that_programs_rely_on_are_there() -> None:
    expected = {"trionitro", "trionitro.abc", "trionitro.testing"}

    assert expected <= {module for module, _ in EXPORTS}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported_and_opens_with_its_charter(module: str) -> None:
    assert importlib.import_module(module).__doc__


@pytest.mark.parametrize(("module", "name"), EXPORTS)
def test_every_export_is_there_and_documented(module: str, name: str) -> None:
    exported = getattr(importlib.import_module(module), name)
    if not inspect.isclass(exported) and not inspect.isfunction(exported):
        return  # a constant, or an alias of types: a comment explains it

    assert exported.__doc__
    assert exported.__module__.startswith("trionitro."), "imported by accident"
    if inspect.isclass(exported):
        assert not undocumented_members(exported)

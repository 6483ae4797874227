"""What the documentation and the example say about manifests is so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from trionitro.manifest import (
    Control,
    Credentials,
    Egress,
    Enclave,
    Image,
    Ingress,
    Kubernetes,
    Logs,
    Sandbox,
    Volume,
    read_plan,
)

ROOT = Path(__file__).parents[2]

TABLES: list[type[Any]] = [
    *(Enclave, Egress, Ingress, Volume, Credentials),
    *(Logs, Control, Image, Kubernetes, Sandbox),
]


def keys() -> Iterator[str]:
    """Yield every key of a manifest, with its table."""
    for table in TABLES:
        for key in attrs.fields_dict(table):
            yield f"{table.__name__.lower()}.{key}"


def documented(page: str) -> set[str]:
    """Read the keys out of the page's tables."""
    found: set[str] = set()
    table = ""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 4:
            continue
        words = cells[1].replace("`", "").replace(",", "").split()
        if words and words[0].startswith("["):
            table, words = words[0].strip("[]"), words[1:]
        found.update(f"{table}.{word}" for word in words)
    return found


def test_every_key_is_in_the_documentation_s_tables() -> None:
    page = (ROOT / "docs" / "manifest.md").read_text()

    assert set(keys()) <= documented(page)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_explained_where_it_is_defined(table: type[Any]) -> None:
    assert table.__doc__ is not None
    for key in attrs.fields_dict(table):
        assert f"  {key}: " in table.__doc__


def test_the_example_has_something_of_everything_the_design_asks_for() -> None:
    plan = read_plan(ROOT / "examples" / "nitro.toml")

    assert [link.place for link in plan.links] == [
        "egress[0]",
        "egress[1]",
        "volume[0]",
        "ingress[0]",
        "control",
        "logs",
        "credentials",
    ]
    assert [line.names for line in plan.hosts] == [
        ("kms.us-west-1.amazonaws.com",),
        ("db.internal",),
    ]

"""The guest's manifest is the user's, but for what had to be changed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ConfigError
from trionitro.manifest import parse_plan
from trionitro.vm._manifest import read_vm_plan, write_toml

TEXT = """
    [enclave]
    name = "test"
    cid = 16
    command = ["python", "-m", "app"]
    restart = "always"
    environment = { WORDS = 'a "quoted" one' }
    [[egress]]
    host = "a.example"
    port = 443
    idle_timeout = 1.5
"""

# tomllib reads no lone surrogates, and no "\r\n" in a key.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | NUMBERS | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS, VALUES))
def test_what_is_written_reads_as_what_was_read(tables: dict[str, Any]) -> None:
    assert tomllib.loads(write_toml(tables)) == tables


def write(directory: Path, text: str = TEXT) -> str:
    path = directory / "nitro.toml"
    path.write_text(text)
    return str(path)


def test_both_halves_have_the_same_manifest(tmp_path: Path) -> None:
    plan, text = read_vm_plan(write(tmp_path), ["sh", "-c", "exit 3"])

    assert parse_plan(text, source="/job/nitro.toml").digest == plan.digest
    assert plan.manifest.enclave.command == ("sh", "-c", "exit 3")
    assert plan.manifest.enclave.restart == "never"
    assert plan.manifest.enclave.environment["WORDS"] == 'a "quoted" one'


def test_without_a_command_the_manifest_s_own_runs(tmp_path: Path) -> None:
    plan, _ = read_vm_plan(write(tmp_path))

    assert plan.manifest.enclave.command == ("python", "-m", "app")
    assert plan.manifest.enclave.restart == "always"


def test_it_runs_among_its_files_unless_the_manifest_says_where(tmp_path: Path) -> None:
    plan, _ = read_vm_plan(write(tmp_path))
    assert plan.manifest.enclave.directory == "/app"

    said = TEXT.replace("cid = 16", 'cid = 16\ndirectory = "/srv"')
    plan, _ = read_vm_plan(write(tmp_path, said))
    assert plan.manifest.enclave.directory == "/srv"


def test_a_mistake_is_told_as_the_user_wrote_it(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT.replace("cid = 16", "cid = 2"))

    with pytest.raises(ConfigError, match=f"{path}.*cid"):
        read_vm_plan(path)


def test_a_command_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="command"):
        read_vm_plan(write(tmp_path), [""])


def test_the_example_is_one() -> None:
    example = Path(__file__).parents[2] / "examples" / "vm"

    plan, _ = read_vm_plan(str(example / "nitro.toml"))

    assert plan.manifest.sandbox.kms_emulator
    assert example.joinpath(plan.manifest.enclave.command[-1]).exists()

"""Requirements of the application's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from trionitro import ConfigError
from trionitro.vm import read_requirements
from trionitro.vm._package import own_requirements


def test_requirements_are_one_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("# why\nhttpx>=0.27  # this one\n\nboto3[crt]\n")

    assert read_requirements(str(path)) == ("httpx>=0.27", "boto3[crt]")


@pytest.mark.parametrize("line", ["-e .", "--index-url https://x", "a @ https://x"])
def test_options_and_addresses_are_a_mistake(tmp_path: Path, line: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"httpx\n{line}\n")

    with pytest.raises(ConfigError, match=f"{path}:2: "):
        read_requirements(str(path))


def test_no_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/none"):
        read_requirements(str(tmp_path / "none"))


def test_a_guest_gets_what_this_package_requires() -> None:
    assert any(line.startswith("trio>=") for line in own_requirements())

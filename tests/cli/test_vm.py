"""``trionitro vm``: what can be wrong before there is any virtual machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_mistakes import check_one_line, run

MANIFEST = """
    [enclave]
    name = "test"
    cid = 16
    command = ["true"]
"""


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("[enclave]", [], ["nitro.toml", "name"]),
        (MANIFEST, ["--", ""], ["command"]),
        (f"{MANIFEST}\n[sandbax]", [], ["sandbax", "sandbox"]),
    ],
)
def test_a_mistake_in_the_manifest_exits_2(
    tmp_path: Path, text: str, arguments: list[str], words: list[str]
) -> None:
    manifest = tmp_path / "nitro.toml"
    manifest.write_text(text)

    code, stderr = run("trionitro", "vm", "run", str(manifest), *arguments)

    check_one_line(stderr, words)
    assert code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--files", "/no/such"], ["'/no/such'", "DIRECTORY:PLACE"]),
        (["--files", "/tmp:app"], ["'app'", "/app"]),
        (["--requirements", "/no/such.txt"], ["/no/such.txt"]),
        (["--memory", "1"], ["--memory", "512"]),
        (["--cpus", "0"], ["--cpus"]),
        (["--boot-timeout", "soon"], ["--boot-timeout", "'soon'"]),
    ],
    ids=" ".join,
)
def test_a_wrong_option_exits_2(
    tmp_path: Path, options: list[str], words: list[str]
) -> None:
    manifest = tmp_path / "nitro.toml"
    manifest.write_text(MANIFEST)

    code, stderr = run("trionitro", "vm", "run", *options, str(manifest))

    check_one_line(stderr, words)
    assert code == 2


def test_requirements_that_can_not_be_had_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("-e .\n")

    code, stderr = run("trionitro", "vm", "build", "--requirements", str(path))

    check_one_line(stderr, [f"{path}:1", "'-e .'"])
    assert code == 2


def test_a_signer_without_a_key_signs_nothing(tmp_path: Path) -> None:
    socket = tmp_path / "nsm.sock"

    code, stderr = run("trionitro", "vm-nsm", str(tmp_path), str(socket))

    check_one_line(stderr, [str(tmp_path)])
    assert code == 1
    assert not socket.exists()

"""``trionitro doctor``, as a process on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from tests.manifest.manifests import ENCLAVE, ingress
from trionitro.manifest import read_plan

KINDS = {"parent", "enclave", "vm", "machine"}


@attrs.frozen
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def doctor(*arguments: str, vsock: Path, nsm: str = "") -> Done:
    """Run it, with a vsock that is a directory."""
    environment = {**os.environ, "TRIONITRO_NSM": nsm}
    done = subprocess.run(
        [sys.executable, "-m", "trionitro", "doctor", *arguments]
        + (["--vsock", f"local:{vsock}"] if "--vsock" not in arguments else []),
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
        env=environment,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_text_begins_with_what_this_is_and_ends_with_a_count(
    tmp_path: Path,
) -> None:
    done = doctor(vsock=tmp_path)

    first, *_, last = done.stdout.splitlines()
    assert first.startswith("This is a")
    assert "problem" in last
    assert "kernel" in done.stdout
    assert done.stderr == ""


def test_the_exit_code_is_that_of_the_worst_finding(tmp_path: Path) -> None:
    done = doctor("--json", vsock=tmp_path)

    report = json.loads(done.stdout)
    problems = [each for each in report["findings"] if each["status"] == "problem"]
    assert report["kind"] in KINDS
    assert report["healthy"] == (not problems)
    assert done.returncode == (1 if problems else 0)


def test_the_keys_of_json_are_those_of_the_documentation(tmp_path: Path) -> None:
    report = json.loads(doctor("--json", vsock=tmp_path).stdout)

    assert list(report) == ["kind", "reason", "healthy", "digest", "findings"]
    for finding in report["findings"]:
        assert list(finding) == ["check", "status", "found", "remedy"]
        assert finding["status"] in {"ok", "warning", "problem", "unknown"}


def test_a_manifest_shows_its_digest_and_what_it_needs(tmp_path: Path) -> None:
    manifest = tmp_path / "nitro.toml"
    manifest.write_text(ENCLAVE + ingress("127.0.0.1:0"))

    done = doctor(str(manifest), "--json", vsock=tmp_path / "v")

    report = json.loads(done.stdout)
    assert report["digest"] == read_plan(manifest).digest.hex()
    (ports,) = (each for each in report["findings"] if each["check"] == "ports")
    assert ports["status"] == "ok"
    assert not (tmp_path / "v").exists()


def test_a_module_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    done = doctor(vsock=tmp_path, nsm=f"unix:{tmp_path}/nsm.sock")

    assert done.returncode == 1
    assert "problem  nsm" in done.stdout
    assert "→ " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["/no/such.toml"], "/no/such.toml"),
        (["--nsm", "pigeon"], "'pigeon'"),
        (["--vsock", "pigeon"], "'pigeon'"),
        (["--jsom"], "--json"),
    ],
)
def test_wrong_arguments_exit_2_with_one_line(
    tmp_path: Path, arguments: list[str], word: str
) -> None:
    done = doctor(*arguments, vsock=tmp_path)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert word in done.stderr
    assert done.stdout == ""

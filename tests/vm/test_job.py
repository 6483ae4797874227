"""What the guest runs is a shell script, and has no secrets in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trionitro.manifest import Plan, parse_plan
from trionitro.vm._job import job_script, write_job

EMULATED = """
    [[egress]]
    host = "kms.us-west-1.amazonaws.com"
    port = 443
    [credentials]
    [sandbox]
    kms_emulator = true
"""


def plan_of(more: str = "") -> Plan:
    text = """
        [enclave]
        name = "te-st"
        cid = 16
        command = ["true"]
        environment = { PASSWORD = "hush" }
    """
    return parse_plan(text + more, source="nitro.toml")


@pytest.mark.parametrize("more", ["", EMULATED])
def test_it_is_a_script_that_a_shell_can_read(tmp_path: Path, more: str) -> None:
    script = job_script(plan_of(more), settings=["--log-format", "json", "-v"])
    write_job(tmp_path, script, "manifest")

    done = subprocess.run(["sh", "-n", tmp_path / "run"], check=False)

    assert done.returncode == 0
    assert (tmp_path / "run").stat().st_mode & 0o111
    assert "nsm" in (tmp_path / "modules").read_text()
    assert (tmp_path / "nitro.toml").read_text() == "manifest"


def test_it_becomes_the_enclave_s_half_as_in_production() -> None:
    last = job_script(plan_of(), settings=["-v"]).splitlines()[-1]

    assert last.startswith("exec env -i ")
    assert last.endswith(
        " python3 -m trionitro enclave --nsm /dev/nsm -v /job/nitro.toml"
    )


def test_only_where_kms_is_emulated_are_there_signatures_of_an_emulator() -> None:
    assert "vm-nsm" not in job_script(plan_of(), settings=[])
    assert "TRIONITRO_NSM" not in job_script(plan_of(), settings=[])

    script = job_script(plan_of(EMULATED), settings=[])
    assert "vm-nsm /job/attestation /run/nsm.sock" in script
    assert "TRIONITRO_NSM=unix:/run/nsm.sock" in script
    assert "AWS_CA_BUNDLE=/etc/trionitro/ca.pem" in script
    # The boot itself has the kernel's.
    assert "enclave --nsm /dev/nsm" in script


def test_what_the_manifest_has_for_the_application_is_not_in_it() -> None:
    assert "hush" not in job_script(plan_of(EMULATED), settings=[])

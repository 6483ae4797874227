"""The files that follow from a plan, read by the tools that they are for."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifest.manifests import ENCLAVE, WHOLE, egress, volume
from trionitro.manifest import File, parse_plan, render_files
from trionitro.proxy import Allowlist

HOSTILE = """
$(reboot) `reboot` '"; reboot; # %n ${HOME} \\
END_OF_HOSTS
---
"""

#: Everything that a manifest leaves free, at its worst.
HOSTILE_MANIFEST = f"""
[enclave]
name = "no"
cid = 16
command = ["a b", {json.dumps(HOSTILE)}, "-n", ""]
environment = {{ VALUE = {json.dumps(HOSTILE)} }}
directory = {json.dumps("/dir" + HOSTILE.replace("/", ""))}

[[ingress]]
listen = {json.dumps("unix:///run/" + HOSTILE.replace(chr(10), " "))}
port = 80

[[volume]]
export = {json.dumps("/export" + HOSTILE.replace("/", ""))}
mount = {json.dumps("/mount" + HOSTILE.replace("/", ""))}
"""

PATH = "/etc/nitro enclaves/50% $off.toml"

MANIFESTS = {"smallest": ENCLAVE, "whole": WHOLE, "hostile": HOSTILE_MANIFEST}


def files_of(text: str) -> dict[str, File]:
    """Render the files of a manifest, by their names."""
    plan = parse_plan(text, source=PATH)
    return {file.name: file for file in render_files(plan, manifest=text, path=PATH)}


@pytest.fixture(params=MANIFESTS)
def files(request: pytest.FixtureRequest) -> dict[str, File]:
    """The files of each manifest."""
    return files_of(MANIFESTS[request.param])


def need(tool: str) -> str:
    """Return where a tool is, or skip the test."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} isn't installed")
    return found


def test_every_file_of_the_design_is_there() -> None:
    assert files_of(WHOLE).keys() == {
        "nitro.toml",
        "hosts",
        "vsock-proxy.yaml",
        "exports",
        "trionitro-signer.service",
        "Dockerfile",
        "Dockerfile.parent",
        "socat-parent.sh",
        "socat-enclave.sh",
        "kubernetes.yaml",
        "kernel.config",
    }


def test_a_file_s_text_is_in_no_repr(files: dict[str, File]) -> None:
    assert "reboot" not in repr(files)


def test_the_allowlist_is_one(files: dict[str, File]) -> None:
    text = files["vsock-proxy.yaml"].text

    rules = Allowlist.parse(text).rules

    planned = parse_plan(files["nitro.toml"].text, source=PATH).allowlist.rules
    assert rules == planned


def test_the_hosts_file_has_the_plan_s_names() -> None:
    lines = [
        line.split()
        for line in files_of(WHOLE)["hosts"].text.splitlines()
        if line and not line.startswith("#")
    ]

    assert lines == [
        ["127.0.0.1", "localhost"],
        ["::1", "localhost"],
        ["127.0.0.2", "kms.us-west-1.amazonaws.com"],
        ["127.0.0.3", "db.internal", "db"],
    ]


@pytest.mark.parametrize("script", ["socat-parent.sh", "socat-enclave.sh"])
def test_the_scripts_are_shell(files: dict[str, File], script: str) -> None:
    assert files[script].is_program
    done = subprocess.run(
        ["sh", "-n"],
        input=files[script].text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def run_with_fakes(script: str, directory: Path) -> list[str]:
    """Run a script with programs that only say what they were called with."""
    bin_directory = directory / "bin"
    bin_directory.mkdir()
    said = directory / "said"
    for name in ("ip", "socat", "mount", "mkdir", "chroot", "a b", "python"):
        fake = bin_directory / name
        fake.write_text(
            '#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "${word##*/bin/}";'
            f' done >"{said}.$$"\nprintf "%s\\0" "VALUE=$VALUE" >>"{said}.$$"\n'
        )
        fake.chmod(0o700)
    script = script.replace("/etc/hosts", str(directory / "hosts"))
    subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{bin_directory}:/usr/bin:/bin", "VALUE": ""},
        cwd=directory,
        check=True,
        timeout=20,
    )
    return sorted(file.read_text() for file in directory.glob("said.*"))


def test_the_enclave_s_script_says_to_each_tool_just_what_the_manifest_says(
    tmp_path: Path,
) -> None:
    (tmp_path / ("dir" + HOSTILE.replace("/", ""))).mkdir()
    script = files_of(HOSTILE_MANIFEST)["socat-enclave.sh"].text
    # The directory is absolute, and this one isn't the root.
    script = script.replace("cd -- '/dir", f"cd -- '{tmp_path}/dir")

    calls = [call.split("\0")[:-1] for call in run_with_fakes(script, tmp_path)]

    (application,) = [call for call in calls if call[0] == "a b"]
    assert application == ["a b", HOSTILE, "-n", "", f"VALUE={HOSTILE}"]
    (mount,) = [call for call in calls if call[0] == "mount"]
    assert mount[1:5] == ["-t", "nfs4", "-o", "rw,port=2049"]
    assert mount[5] == "127.1.0.1:/export" + HOSTILE.replace("/", "")
    assert mount[6] == "/mount" + HOSTILE.replace("/", "")
    assert {call[0] for call in calls} == {"a b", "ip", "mkdir", "mount", "socat"}


def test_the_socat_commands_are_the_plan_s_routes() -> None:
    files = files_of(WHOLE)
    parent = re.findall("^socat (.*) &$", files["socat-parent.sh"].text, re.MULTILINE)
    enclave = re.findall("^socat (.*) &$", files["socat-enclave.sh"].text, re.MULTILINE)

    assert parent[0] == (
        "VSOCK-LISTEN:1608000,fork,keepalive"
        " TCP:kms.us-west-1.amazonaws.com:443,keepalive"
    )
    assert parent[3].startswith("VSOCK-LISTEN:1608003,fork,max-children=10,keepalive")
    assert parent[-1] == (
        "UNIX-LISTEN:/run/signer.sock,fork,unlink-early"
        " VSOCK-CONNECT:16:1612001,keepalive"
    )
    assert enclave[0] == (
        "TCP4-LISTEN:443,bind=127.0.0.2,fork,reuseaddr,keepalive"
        " VSOCK-CONNECT:3:1608000,keepalive"
    )
    assert len(parent) == len(enclave) == 7


def test_the_exports_are_one_line_for_each_directory() -> None:
    text = files_of(WHOLE)["exports"].text

    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "/srv/signer 127.0.0.1/32(rw,insecure,no_subtree_check,sync)",
        r"/srv/shared\040files 127.0.0.1/32(ro,insecure,no_subtree_check,sync)",
    ]


def test_another_machine_s_exports_leave_its_name_for_the_parent_open() -> None:
    text = files_of(ENCLAVE + volume("/mnt", server="nfs.example:2049"))["exports"].text

    assert "/srv PARENT(rw," in text


def test_the_unit_is_one(files: dict[str, File], tmp_path: Path) -> None:
    systemd_analyze = need("systemd-analyze")
    (name,) = [name for name in files if name.endswith(".service")]
    unit = tmp_path / name
    unit.write_text(files[name].text)

    done = subprocess.run(
        [systemd_analyze, "--man=no", "verify", str(unit)],
        capture_output=True,
        text=True,
        env={"SYSTEMD_LOG_LEVEL": "warning"},
        check=False,
    )

    about_it = [line for line in done.stderr.splitlines() if name in line]
    assert about_it == []
    assert done.returncode == 0, done.stderr


def test_the_unit_starts_the_parent_with_the_manifest_s_path() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(files_of(WHOLE)["trionitro-signer.service"].text)

    assert unit["Service"]["ExecStart"] == (
        "/usr/bin/env trionitro parent --log-format json"
        ' "/etc/nitro enclaves/50%% $$off.toml"'
    )
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert "nfs-server.service" in unit["Unit"]["After"]


def test_the_kubernetes_manifests_fit_the_schemas(files: dict[str, File]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    text = files["kubernetes.yaml"].text
    documents = list(yaml.safe_load_all(text))

    for document in documents:
        kubernetes_validate.validate(document, "1.30", strict=True)

    secret = documents[0]
    assert secret["stringData"] == {"nitro.toml": files["nitro.toml"].text}


def test_kubernetes_runs_as_many_enclaves_on_as_many_parents() -> None:
    text = files_of(WHOLE + "[kubernetes]\nreplicas = 5")["kubernetes.yaml"].text
    documents: dict[str, Any] = {
        document["kind"]: document for document in yaml.safe_load_all(text)
    }

    spec = documents["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (apart,) = pod["affinity"]["podAntiAffinity"].values()
    assert spec["replicas"] == 5
    assert apart[0]["topologyKey"] == "kubernetes.io/hostname"
    assert pod["nodeSelector"] == {"aws-nitro-enclaves-k8s-dp": "enabled"}
    assert container["resources"]["limits"]["aws.ec2.nitro/nitro_enclaves"] == "1"
    assert container["resources"]["limits"]["hugepages-2Mi"] == "1026Mi"
    assert documents["Service"]["spec"]["ports"] == [
        {"name": "port-8443", "port": 8443}
    ]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.parent"])
def test_the_dockerfiles_are_some(
    files: dict[str, File], name: str, tmp_path: Path
) -> None:
    dockerfile_parse = pytest.importorskip("dockerfile_parse")
    file = tmp_path / "Dockerfile"
    file.write_text(files[name].text)

    steps = dockerfile_parse.DockerfileParser(str(file)).structure

    instructions = [
        step["instruction"] for step in steps if step["instruction"] != "COMMENT"
    ]
    assert instructions[0] == "FROM"
    assert instructions[-1] == "ENTRYPOINT"
    assert set(instructions) == {"FROM", "RUN", "COPY", "ENTRYPOINT"}
    command = json.loads(steps[-1]["value"])
    assert command[:2] == ["trionitro", {"Dockerfile": "enclave"}.get(name, "parent")]
    assert command[-1] == "/etc/trionitro/nitro.toml"


def test_the_kernel_s_configuration_is_options(files: dict[str, File]) -> None:
    lines = files["kernel.config"].text.splitlines()

    assert all(re.fullmatch("|#.*|CONFIG_[A-Z0-9_]+=[ym]", line) for line in lines)
    assert ("CONFIG_NFS_V4=y" in lines) == ("exports" in files)


def test_a_manifest_that_reaches_nothing_has_files_too() -> None:
    files = files_of(ENCLAVE)

    assert "exports" not in files
    assert Allowlist.parse(files["vsock-proxy.yaml"].text).rules == ()
    assert len(list(yaml.safe_load_all(files["kubernetes.yaml"].text))) == 2


def test_an_egress_alone_needs_no_nfs() -> None:
    unit = files_of(ENCLAVE + egress("a"))["trionitro-signer.service"].text

    assert "nfs" not in unit

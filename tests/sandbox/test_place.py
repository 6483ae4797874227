"""What an enclave's half finds in a sandbox, and what it doesn't."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from trionitro.manifest import Plan, parse_plan
from trionitro.sandbox import Place

MANIFEST = """
    [enclave]
    name = "test"
    cid = 17
    command = ["true"]
    [[egress]]
    host = "a.example"
    port = 443
"""

EMULATED = MANIFEST + "[credentials]\n[sandbox]\nkms_emulator = true"


def plan_of(text: str) -> Plan:
    return parse_plan(text, source="nitro.toml")


def test_its_hosts_file_has_the_plan_s_names_and_localhost(tmp_path: Path) -> None:
    place = Place(tmp_path)

    place.write_files(plan_of(MANIFEST))

    lines = (place.files / "hosts").read_text().splitlines()
    assert lines == [
        "127.0.0.2\ta.example",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost",
    ]


def test_nobody_else_is_asked_for_names(tmp_path: Path) -> None:
    place = Place(tmp_path)

    place.write_files(plan_of(MANIFEST))

    assert "nameserver" not in (place.files / "resolv.conf").read_text()
    switch = place.files / "nsswitch.conf"
    if switch.exists():
        assert "\nhosts: files\n" in "\n" + switch.read_text()


def test_an_emulated_kms_is_trusted_beside_the_machine_s_authorities(
    tmp_path: Path,
) -> None:
    place, authority = Place(tmp_path), trustme.CA()

    place.write_trust(authority.cert_pem.bytes())

    trusted = ssl.create_default_context(cafile=place.trust)
    ours = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    assert set(trusted.get_ca_certs(binary_form=True)) == {ours, *system}


@pytest.mark.parametrize(
    "name",
    ["https_proxy", "NO_PROXY", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL"],
)
def test_what_would_lead_elsewhere_is_left_out(tmp_path: Path, name: str) -> None:
    found = Place(tmp_path).environment(plan_of(MANIFEST), {name: "x", "HOME": "/h"})

    assert name not in found
    assert found["HOME"] == "/h"


def test_the_environment_leads_to_the_emulators(tmp_path: Path) -> None:
    place = Place(tmp_path)

    without = place.environment(plan_of(MANIFEST), {"AWS_REGION": "eu-west-1"})
    emulated = place.environment(plan_of(EMULATED), {})

    assert without["TRIONITRO_VSOCK"] == f"local:{tmp_path}/vsock?cid=17"
    assert without["TRIONITRO_NSM"] == f"unix:{tmp_path}/nsm.sock"
    assert without["AWS_REGION"] == "eu-west-1"
    assert "AWS_CA_BUNDLE" not in without
    assert emulated["AWS_CA_BUNDLE"] == emulated["SSL_CERT_FILE"] == str(place.trust)

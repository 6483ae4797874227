"""The emulated KMS of a sandbox: where it stands, and what it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trionitro._endpoints import TcpEndpoint, UnixEndpoint
from trionitro._exceptions import ConfigError
from trionitro.manifest import Plan, parse_plan
from trionitro.sandbox._kms_stand_in import KmsStandIn

ENCLAVE = "[enclave]\nname = 'test'\ncid = 16\ncommand = ['true']\n"
KMS = "[[egress]]\nhost = 'kms.eu-west-1.amazonaws.com'\nport = 443\n"
FIPS = "[[egress]]\nhost = 'kms-fips.eu-west-1.amazonaws.com'\nport = 443\n"
ELSEWHERE = "[[egress]]\nhost = 'kms.us-east-1.amazonaws.com'\nport = 443\n"
OTHER = "[[egress]]\nhost = 'example.com'\nport = 443\n"
CREDENTIALS = "[credentials]\n"


def plan_of(text: str) -> Plan:
    return parse_plan(text, source="nitro.toml")


def stand_in(text: str, directory: Path, keys: str | None = None) -> KmsStandIn:
    return KmsStandIn.make(
        plan_of(ENCLAVE + text),
        directory=directory,
        roots=(),
        pcr0=b"\1" * 48,
        keys=keys,
    )


def test_only_the_routes_to_kms_lead_to_it(tmp_path: Path) -> None:
    kms = stand_in(KMS + OTHER + FIPS + CREDENTIALS, tmp_path)

    plan = kms.redirected

    targets = [route.forward for route in plan.parent_routes]
    emulated = UnixEndpoint(f"{tmp_path}/kms.sock")
    assert targets == [emulated, TcpEndpoint("example.com", 443), emulated]
    assert plan.digest == kms.plan.digest
    assert kms.emulator.region == "eu-west-1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (KMS, "[credentials]"),
        (OTHER + CREDENTIALS, "leads to 0"),
        (KMS + ELSEWHERE + CREDENTIALS, "leads to 2"),
    ],
)
def test_a_manifest_without_a_place_for_it_is_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        stand_in(text, tmp_path)

    assert "kms_emulator" in str(caught.value)
    assert words in str(caught.value)


def test_it_may_start_with_keys_of_a_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{"aliases": ["alias/mine"]}]}))

    kms = stand_in(KMS + CREDENTIALS, tmp_path, str(keys))

    with pytest.raises(ConfigError, match="alias/mine"):
        kms.emulator.add_key(aliases=["alias/mine"])
    kms.emulator.add_key(aliases=["alias/test"])  # there is none of its own then

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.testing.kms.worlds import ADMIN, ROLE, World, key_policy
from trionitro._exceptions import ConfigError
from trionitro.kms import Credentials
from trionitro.testing import load_kms_access_keys, load_kms_keys


def pem(key: Any) -> str:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return data.decode()


def written(directory: Path, value: Any) -> str:
    path = directory / "file.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


async def test_keys_of_a_file_can_be_used(world: World, tmp_path: Path) -> None:
    keys = [
        {
            "id": "1234abcd",
            "aliases": ["alias/app"],
            "policy": key_policy(),
            "key": base64.b64encode(bytes(32)).decode(),
        },
        {
            "key": pem(ec.generate_private_key(ec.SECP256K1())),
            "usage": "SIGN_VERIFY",
            "description": "signs",
        },
        {},
    ]

    load_kms_keys(world.kms, written(tmp_path, {"keys": keys}))

    listed = (await world.ask("ListKeys"))["Keys"]
    found = await world.ask("DescribeKey", KeyId="alias/app")
    pair = await world.ask("DescribeKey", KeyId=listed[1]["KeyId"])
    assert len(listed) == 3
    assert found["KeyMetadata"]["KeyId"] == "1234abcd"
    assert pair["KeyMetadata"]["KeySpec"] == "ECC_SECG_P256K1"
    assert pair["KeyMetadata"]["Description"] == "signs"


async def test_access_keys_of_a_file_sign(world: World, tmp_path: Path) -> None:
    entry = {
        "principal": ROLE,
        "access_key_id": "ASIAEXAMPLE",
        "secret_access_key": "secret",
        "session_token": "token",
        "expires_at": "2026-03-01T13:00:00Z",
    }

    load_kms_access_keys(world.kms, written(tmp_path, {"access_keys": [entry]}))

    by = Credentials(
        access_key_id="ASIAEXAMPLE", secret_access_key="secret", session_token="token"
    )
    await world.ask("ListKeys", by=by)
    assert world.kms.events[-1].caller == ROLE


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", ["not JSON"]),
        ([], ["must be a table"]),
        ({"key": []}, ["'key'", "'keys'"]),
        ({"keys": [{"ID": "x"}]}, ["keys[0]", "'ID'"]),
        ({"keys": [{"id": 5}]}, ["keys[0].id", "string"]),
        ({"keys": [{}, {"id": "no key!"}]}, ["keys[1]", "'no key!'"]),
        ({"keys": [{"aliases": ["app"]}]}, ["keys[0]", "'app'"]),
        ({"keys": [{"policy": {"Statement": []}}]}, ["keys[0]", "Statement"]),
        ({"keys": [{"policy": "x"}]}, ["keys[0]", "policy", "not JSON"]),
        ({"keys": [{"key": "c2hvcnQ="}]}, ["keys[0]", "32 bytes"]),
        ({"keys": [{"key": "SECRETMARKER!"}]}, ["keys[0]", "base64"]),
        ({"keys": [{"key": "-----BEGIN PRIVATE KEY-----\nx"}]}, ["PEM"]),
        ({"keys": [{"key": pem(dsa.generate_private_key(1024))}]}, ["kind"]),
        ({"keys": [{"key": pem(ec.generate_private_key(ec.SECP256R1()))}]}, ["Usage"]),
    ],
)
def test_what_is_wrong_with_keys_is_told_without_them(
    world: World, tmp_path: Path, value: Any, words: list[str]
) -> None:
    path = written(tmp_path, value)

    with pytest.raises(ConfigError) as caught:
        load_kms_keys(world.kms, path)

    message = str(caught.value)
    assert "SECRETMARKER" not in message
    for word in (path, *words):
        assert word in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"principal": "me"}, ["'me'"]),
        ({"secret_access_key": "SECRETMARKER with spaces"}, ["secret_access_key"]),
        ({"expires_at": "soon"}, ["expires_at", "'soon'"]),
        ({"expires_at": "2026-03-01T12:00:00"}, ["expires_at"]),
        ({"identity_policy": {}}, ["identity policy", "Statement"]),
        ({"session": "x"}, ["'session'", "'session_token'"]),
    ],
)
def test_what_is_wrong_with_access_keys_is_told_without_them(
    world: World, tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    entry = {
        "principal": ADMIN,
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": "SECRETMARKER",
        **change,
    }

    with pytest.raises(ConfigError) as caught:
        load_kms_access_keys(world.kms, written(tmp_path, {"access_keys": [entry]}))

    message = str(caught.value)
    assert "SECRETMARKER" not in message
    for word in ("access_keys[0]", *words):
        assert word in message


def test_a_file_that_isn_t_there(world: World) -> None:
    with pytest.raises(ConfigError, match="/no/such"):
        load_kms_keys(world.kms, "/no/such.json")

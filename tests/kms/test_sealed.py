from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from tests.kms.fake_kms import World, error, fake_world
from trionitro import ConfigError
from trionitro.kms import (
    KmsError,
    NoSuchSecretError,
    RollbackError,
    SealedError,
    SealedStore,
)


@asynccontextmanager
async def a_store(
    directory: Path, identity: str = "signer"
) -> AsyncIterator[tuple[SealedStore, World]]:
    async with fake_world() as world:
        yield (
            SealedStore(
                directory=directory, kms=world.client, key_id="k", identity=identity
            ),
            world,
        )


async def make() -> bytes:
    return b"made"


async def test_a_secret_comes_back_and_is_not_in_the_file(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, _):
        await store.put("token", b"the secret", counter=3)
        secret = await store.get("token", at_least=3)

    assert (secret.value, secret.counter, secret.created) == (b"the secret", 3, False)
    assert b"the secret" not in (tmp_path / "token.sealed").read_bytes()
    assert "the secret" not in repr(secret)


async def test_name_and_identity_are_in_the_encryption_context(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, world):
        await store.put("token", b"x")

    assert json.loads(world.served.requests[0].body)["EncryptionContext"] == {
        "trionitro:purpose": "sealed file",
        "trionitro:name": "token",
        "trionitro:identity": "signer",
    }


async def test_each_writing_has_a_data_key_of_its_own(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, world):
        await store.put("a", b"x")
        await store.put("a", b"x")

        assert len(world.kms.stored) == 2


async def test_the_parent_can_t_swap_two_files(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, _):
        await store.put("hot", b"1")
        await store.put("cold", b"2")
        shutil.copy(tmp_path / "hot.sealed", tmp_path / "cold.sealed")

        with pytest.raises(SealedError, match=r"cold\.sealed.*not ours"):
            await store.get("cold")


async def test_another_identity_can_t_open_it(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, world):
        await store.put("a", b"1")
        other = SealedStore(
            directory=tmp_path, kms=world.client, key_id="k", identity="other"
        )

        with pytest.raises(SealedError):
            await other.get("a")


async def test_an_old_file_is_noticed_by_its_counter(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, _):
        await store.put("a", b"old", counter=1)
        old = (tmp_path / "a.sealed").read_bytes()
        await store.put("a", b"new", counter=2)
        (tmp_path / "a.sealed").write_bytes(old)

        with pytest.raises(RollbackError, match=r"counter is 1, and 2"):
            await store.get("a", at_least=2)
        assert (await store.get("a")).value == b"old"  # which nothing here can tell


@pytest.mark.parametrize("data", [b"", b"nonsense", b"x" * 2_000_000])
async def test_a_hostile_file_is_an_error_and_never_replaced(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "a.sealed").write_bytes(data)
    async with a_store(tmp_path) as (store, _):
        with pytest.raises(SealedError, match="not ours"):
            await store.get("a")
        with pytest.raises(SealedError, match="not ours"):
            await store.get_or_create("a", make)

    assert (tmp_path / "a.sealed").read_bytes() == data


async def test_a_refusal_of_kms_is_not_taken_for_a_bad_file(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, world):
        await store.put("a", b"1")
        world.kms.answers.append(error("AccessDeniedException", "not authorized"))

        with pytest.raises(KmsError, match="AccessDenied"):
            await store.get("a")


async def test_a_secret_is_made_once_and_then_opened(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, _):
        first = await store.get_or_create("a", make, at_least=5)
        second = await store.get_or_create("a", make, at_least=5)

    assert (first.value, first.created, first.counter) == (b"made", True, 5)
    assert (second.value, second.created, second.counter) == (b"made", False, 5)


async def test_of_several_makers_one_wins_and_all_get_the_same(tmp_path: Path) -> None:
    made = iter(range(100))

    async def number() -> bytes:
        await trio.lowlevel.checkpoint()
        return b"%d" % next(made)

    async with a_store(tmp_path) as (store, world):
        # Stores of their own stand for processes of their own: they share no lock.
        stores = [store] + [
            SealedStore(
                directory=tmp_path, kms=world.client, key_id="k", identity="signer"
            )
            for _ in range(3)
        ]
        got = set()
        created = []

        async def use(store: SealedStore) -> None:
            secret = await store.get_or_create("a", number)
            got.add(secret.value)
            created.append(secret.created)

        async with trio.open_nursery() as nursery:
            for each in stores * 2:
                nursery.start_soon(use, each)

    assert len(got) == 1
    assert sum(created) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.sealed"]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("ECC_SECG_P256K1", ec.EllipticCurvePrivateKey),
        ("ECC_NIST_P384", ec.EllipticCurvePrivateKey),
        ("ECC_NIST_EDWARDS25519", ed25519.Ed25519PrivateKey),
        ("RSA_2048", rsa.RSAPrivateKey),
    ],
)
async def test_keys_are_made_by_kms_and_kept(
    tmp_path: Path, spec: str, kind: type
) -> None:
    async with a_store(tmp_path) as (store, _):
        made = await store.get_or_create_key("signing", spec)
        kept = await store.get_or_create_key("signing", spec)

    assert isinstance(load_der_private_key(made.value, None), kind)
    assert kept.value == made.value
    assert (made.created, kept.created) == (True, False)


async def test_a_secret_that_isn_t_there_is_named(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, _):
        with pytest.raises(NoSuchSecretError, match="'token'"):
            await store.get("token")


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", ".a", "a" * 101, "é"])
async def test_names_can_t_lead_elsewhere(tmp_path: Path, name: str) -> None:
    async with a_store(tmp_path) as (store, _):
        with pytest.raises(ConfigError, match="can't name a secret"):
            await store.get(name)


async def test_what_can_t_be_sealed_is_refused(tmp_path: Path) -> None:
    async with a_store(tmp_path) as (store, _):
        with pytest.raises(ConfigError, match="1048576"):
            await store.put("a", bytes(2**20 + 1))
        with pytest.raises(ConfigError, match="counter"):
            await store.put("a", b"", counter=-1)
        with pytest.raises(ConfigError, match="identity"):
            SealedStore(directory=tmp_path, kms=store.kms, key_id="k", identity="")

from __future__ import annotations

import base64
import datetime as dt
import gc
import json
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import load_der_private_key
from trio.testing import MockClock

from tests.kms.envelopes import envelope
from tests.kms.fake_kms import (
    CREDENTIALS,
    HOST,
    KEY_ARN,
    FakeKms,
    World,
    error,
    fake_world,
)
from tests.kms.servers import serving_on, trusting_tls
from tests.kms.test_refreshing import Source
from trionitro import ConfigError, ProtocolError, UnixEndpoint
from trionitro._http_server import HttpResponse
from trionitro.attestation import decode_attestation_untrusted
from trionitro.kms import (
    Credentials,
    CredentialsUnavailableError,
    EndpointBackend,
    KmsClient,
    KmsError,
    RefreshingCredentials,
    VsockBackend,
)
from trionitro.testing import MemoryVsock, cancel_at_every_step

CONTEXT = {"purpose": "test"}


def documents(world: World) -> list[bytes]:
    return [
        base64.b64decode(json.loads(request.body)["Recipient"]["AttestationDocument"])
        for request in world.served.requests
        if b"Recipient" in request.body
    ]


async def test_what_was_encrypted_is_decrypted_for_the_enclave() -> None:
    async with fake_world() as world:
        encrypted = await world.client.encrypt(
            "k", b"secret", encryption_context=CONTEXT
        )
        decrypted = await world.client.decrypt(
            encrypted.ciphertext, key_id="k", encryption_context=CONTEXT
        )

    assert decrypted.plaintext == b"secret"
    assert decrypted.key_id == KEY_ARN
    assert "secret" not in repr(decrypted)
    members = json.loads(world.served.requests[1].body)
    assert members["KeyId"] == "k"
    assert members["EncryptionContext"] == CONTEXT
    assert "GrantTokens" not in members


async def test_a_data_key_is_as_long_as_asked_for_and_decrypts_again() -> None:
    async with fake_world() as world:
        key = await world.client.generate_data_key("k", number_of_bytes=64)
        again = await world.client.decrypt(key.ciphertext)

    assert len(key.plaintext) == 64
    assert again.plaintext == key.plaintext


@pytest.mark.parametrize("spec", ["ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"])
async def test_a_key_pair_is_a_private_key_in_pkcs8(spec: str) -> None:
    async with fake_world() as world:
        pair = await world.client.generate_data_key_pair("k", spec)

    assert load_der_private_key(pair.private_key, None) is not None
    assert pair.spec == spec


async def test_random_bytes_and_shared_secrets_come_encrypted_too() -> None:
    async with fake_world() as world:
        assert len(await world.client.generate_random(32)) == 32
        secret = await world.client.derive_shared_secret("k", b"public key")

    assert secret.secret == b"shared secret"


async def test_the_plain_operations() -> None:
    async with fake_world() as world:
        made = await world.client.create_key(
            policy='{"a": 1}', description="for tests", tags={"team": "signing"}
        )
        described = await world.client.describe_key(made.key_id)
        policy = await world.client.get_key_policy(made.key_id)
        await world.client.put_key_policy(
            made.key_id, "{}", bypass_policy_lockout_safety_check=True
        )

    assert made.arn == described.arn == KEY_ARN
    assert made.description == "for tests"
    assert policy == '{"a": 1}'
    assert world.kms.policy == "{}"
    create, *_, put = (json.loads(request.body) for request in world.served.requests)
    assert create["Tags"] == [{"TagKey": "team", "TagValue": "signing"}]
    assert "BypassPolicyLockoutSafetyCheck" not in create
    assert put["BypassPolicyLockoutSafetyCheck"] is True


async def test_each_request_has_a_document_of_its_own_and_the_same_key() -> None:
    async with fake_world() as world:
        await world.client.generate_random(1)
        await world.client.generate_random(1)

    first, second = documents(world)
    assert first != second
    keys = {decode_attestation_untrusted(each).public_key for each in (first, second)}
    assert len(keys) == 1


async def test_two_clients_have_two_keys() -> None:
    keys = set()
    for _ in range(2):
        async with fake_world() as world:
            await world.client.generate_random(1)
        keys.add(decode_attestation_untrusted(documents(world)[0]).public_key)

    assert len(keys) == 2


async def test_larger_recipient_keys_work() -> None:
    async with fake_world(recipient_key_size=3072) as world:
        assert await world.client.generate_random(3)

    public_key = decode_attestation_untrusted(documents(world)[0]).public_key
    assert public_key is not None
    assert len(public_key) == 422


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"Plaintext": "c2VjcmV0"}, "without CiphertextForRecipient"),
        ({"Plaintext": "c2VjcmV0", "CiphertextForRecipient": None}, "without"),
        ({"CiphertextForRecipient": "not base64"}, "base64"),
        ({"CiphertextForRecipient": "AAAA"}, "BER"),
        (
            {"CiphertextForRecipient": base64.b64encode(envelope()).decode()},
            "this key doesn't open",
        ),
    ],
)
async def test_an_answer_that_is_not_for_the_enclave_is_never_taken(
    members: dict[str, str], word: str
) -> None:
    async with fake_world() as world:
        world.kms.answers.append(HttpResponse(body=json.dumps(members).encode()))

        with pytest.raises(ProtocolError, match=word):
            await world.client.generate_random(6)


async def test_an_answer_of_another_length_is_not_taken() -> None:
    async with fake_world() as world:
        world.kms.lengthen = 1

        with pytest.raises(ProtocolError, match="7 bytes, where 6"):
            await world.client.generate_random(6)


async def test_a_client_without_an_nsm_attests_nothing() -> None:
    async with fake_world(nsm=None) as world:
        with pytest.raises(ConfigError, match="no nsm"):
            await world.client.decrypt(b"ciphertext")

    assert not world.served.requests


async def test_a_denial_shows_what_was_attested() -> None:
    async with fake_world() as world:
        world.kms.answers.append(error("AccessDeniedException", "not authorized"))

        with pytest.raises(KmsError) as caught:
            await world.client.decrypt(b"ciphertext")

    attested = decode_attestation_untrusted(documents(world)[0]).pcrs
    assert caught.value.pcrs == attested
    assert f"PCR0={attested[0].hex()}" in str(caught.value)
    assert caught.value.request_id == "request-17"


async def test_another_refusal_shows_no_pcrs() -> None:
    async with fake_world() as world:
        world.kms.answers.append(error("DisabledException", "it is disabled"))

        with pytest.raises(KmsError) as caught:
            await world.client.decrypt(b"ciphertext")

    assert str(caught.value) == "DisabledException: it is disabled (request request-17)"


@pytest.mark.parametrize(
    "failure",
    [
        error("ThrottlingException", "slow down"),
        error("KMSInternalException", "sorry", status=500),
        HttpResponse(status=503, body=b"<html>"),
    ],
    ids=lambda failure: str(failure.status),
)
async def test_what_may_pass_is_tried_three_times(
    failure: HttpResponse, autojump_clock: MockClock
) -> None:
    async with fake_world() as world:
        world.kms.answers.extend([failure, failure])
        await world.client.encrypt("k", b"x")
    async with fake_world() as hopeless:
        hopeless.kms.answers.extend([failure] * 3)
        with pytest.raises(KmsError):
            await hopeless.client.encrypt("k", b"x")

    assert len(world.served.requests) == len(hopeless.served.requests) == 3


async def test_a_refusal_is_not_tried_again() -> None:
    async with fake_world() as world:
        world.kms.answers.append(error("AccessDeniedException", "no"))
        with pytest.raises(KmsError):
            await world.client.generate_random(1)

    assert len(world.served.requests) == 1


async def test_nobody_listening_is_tried_three_times_and_then_an_os_error(
    autojump_clock: MockClock,
) -> None:
    backend = VsockBackend(MemoryVsock().at(16), 3, 8000)
    client = KmsClient(
        region="eu-west-1",
        credentials=Credentials(access_key_id="AKIA", secret_access_key="s"),
        network_backend=backend,
        tls=trusting_tls(),
    )
    async with client:
        with pytest.raises(ConnectionError, match=f"no connection to {HOST}"):
            await client.encrypt("k", b"x")


async def test_a_server_with_another_name_is_no_kms(autojump_clock: MockClock) -> None:
    async with fake_world(endpoint="https://kms.evil.example.com") as world:
        with pytest.raises(ConnectionError, match=r"kms\.evil\.example\.com"):
            await world.client.encrypt("k", b"secret")

    assert not world.served.requests


async def test_the_clock_is_corrected_once_by_the_date_of_the_answer() -> None:
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    complaint = partial(
        error,
        "InvalidSignatureException",
        "Signature expired: 2025… is now earlier than …",
        date=format_datetime(ahead, usegmt=True),
    )
    async with fake_world() as world:
        world.kms.answers.append(complaint)
        await world.client.generate_random(1)
        await world.client.generate_random(1)

    dates = [request.headers["x-amz-date"] for request in world.served.requests]
    assert len(dates) == 3
    assert dates[1][:11] == dates[2][:11] == ahead.strftime("%Y%m%dT%H")


@pytest.mark.parametrize("hours", [0, 1])
async def test_a_signature_that_stays_wrong_is_an_error(hours: int) -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    complaint = error(
        "InvalidSignatureException",
        "Signature not yet current: …",
        date=format_datetime(date, usegmt=True),
    )
    async with fake_world() as world:
        world.kms.answers.extend([complaint, complaint])

        with pytest.raises(KmsError, match="not yet current"):
            await world.client.generate_random(1)

    assert len(world.served.requests) == 1 + hours


async def test_200_at_once_share_a_few_connections_and_one_refresh() -> None:
    source = Source()
    async with fake_world(
        credentials=RefreshingCredentials(source), max_connections=4
    ) as world:
        encrypted = await world.client.encrypt("k", b"secret")
        results = []

        async def decrypt() -> None:
            results.append(await world.client.decrypt(encrypted.ciphertext))

        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(decrypt)

    assert [result.plaintext for result in results] == [b"secret"] * 200
    assert world.served.connections <= 4
    assert source.asked == 1
    assert len(set(documents(world))) == 200


async def test_credentials_that_can_t_be_had_are_an_error() -> None:
    async with fake_world(credentials=Source(failing=True)) as world:
        with pytest.raises(CredentialsUnavailableError):
            await world.client.encrypt("k", b"x")


def test_a_call_can_be_cancelled_anywhere_and_leaves_no_socket_open(
    tmp_path: Path,
) -> None:
    """A socket that nobody closes would be a ResourceWarning, and that an error."""

    async def scenario() -> None:
        kms = FakeKms()
        endpoint = UnixEndpoint(str(tmp_path / "kms.sock"))
        async with (
            serving_on(endpoint, kms.respond, tls=HOST),
            KmsClient(
                region="eu-west-1",
                credentials=CREDENTIALS,
                network_backend=EndpointBackend(endpoint, MemoryVsock()),
                tls=trusting_tls(),
            ) as client,
        ):
            await client.encrypt("k", b"x")

    cancel_at_every_step(scenario)
    gc.collect()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"region": "nowhere"}, "nowhere"),
        ({"endpoint": "http://kms.example.com"}, "https"),
        ({"endpoint": "https://kms.example.com/path"}, "endpoint"),
        ({"endpoint": "kms.example.com"}, "URL"),
        ({"recipient_key_size": 1024}, "2048"),
    ],
)
async def test_what_can_t_be_is_refused_at_once(
    settings: dict[str, object], word: str
) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=word), flatten_subgroups=True
    ):
        async with fake_world(**settings):
            pass


def test_http_goes_to_loopback() -> None:
    client = KmsClient(
        region="eu-west-1",
        credentials=Credentials(access_key_id="AKIA", secret_access_key="s"),
        endpoint="http://127.0.0.1:4566/",
    )

    assert client.endpoint == "http://127.0.0.1:4566"

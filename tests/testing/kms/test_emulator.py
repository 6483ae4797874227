"""The emulator as programs meet it: over TLS, with boto3, and with our own client."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import boto3
import pytest
import trio
from botocore.config import Config
from botocore.exceptions import ClientError
from trio.testing import MockClock

from tests.testing.kms.worlds import (
    DEBUG,
    GOOD,
    NOW,
    OTHER,
    ROLE,
    Clock,
    World,
    key_policy,
    make_world,
)
from trionitro._exceptions import ConfigError
from trionitro.kms import KmsError, explain_denial
from trionitro.kms._credentials import Credentials
from trionitro.testing import (
    EnvelopeShape,
    KmsEmulator,
    MemoryVsock,
    cancel_at_every_step,
)


@attrs.frozen
class Sent:
    """What the client attested."""

    pcrs: Mapping[int, bytes]


@pytest.fixture(name="real_time")
def _real_time() -> World:
    """boto3 signs with the machine's own clock."""
    return make_world(Clock(dt.datetime.now(dt.UTC)))


def boto3_client(
    endpoint: str, ca_file: Path, credentials: Credentials, **config: Any
) -> Any:
    """Make an ordinary client of AWS's."""
    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=endpoint,
        verify=str(ca_file),
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


async def with_boto3(
    world: World,
    directory: Path,
    use: Callable[[Any], None],
    *,
    by: Credentials | None = None,
) -> None:
    """Call ``use`` with a client, in a thread, while the emulator serves."""
    (directory / "ca.pem").write_bytes(world.kms.ca_pem)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    endpoint = f"https://localhost:{listeners[0].socket.getsockname()[1]}"

    def in_thread() -> None:
        client = boto3_client(endpoint, directory / "ca.pem", by or world.admin)
        try:
            use(client)
        finally:
            client.close()

    async with trio.open_nursery() as nursery:
        await nursery.start(world.kms.serve_https, listeners)
        await trio.to_thread.run_sync(in_thread)
        nursery.cancel_scope.cancel()


def code_of(call: Callable[[], object]) -> str:
    """Return the code of the error that a call of boto3 raises."""
    with pytest.raises(ClientError) as caught:
        call()
    code: str = caught.value.response["Error"]["Code"]
    return code


async def test_boto3_encrypts_decrypts_and_makes_data_keys(
    real_time: World, tmp_path: Path
) -> None:
    def use(kms: Any) -> None:
        key = kms.create_key(Description="boto3's")["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName="alias/app", TargetKeyId=key)
        context = {"app": "signer"}
        sealed = kms.encrypt(
            KeyId="alias/app", Plaintext=b"secret", EncryptionContext=context
        )
        opened = kms.decrypt(
            CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context
        )
        data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
        again = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])

        assert opened["Plaintext"] == b"secret"
        assert opened["KeyId"] == key
        assert again["Plaintext"] == data_key["Plaintext"]
        assert len(kms.generate_random(NumberOfBytes=5)["Plaintext"]) == 5

    await with_boto3(real_time, tmp_path, use)


async def test_boto3_administers_keys(real_time: World, tmp_path: Path) -> None:
    def use(kms: Any) -> None:
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        key_id = key["KeyMetadata"]["KeyId"]
        algorithm = {"KeyId": key_id, "SigningAlgorithm": "ECDSA_SHA_256"}
        signature = kms.sign(**algorithm, Message=b"hello")["Signature"]
        verified = kms.verify(**algorithm, Message=b"hello", Signature=signature)
        policy = kms.get_key_policy(KeyId=key_id)["Policy"]
        kms.put_key_policy(KeyId=key_id, Policy=policy)
        kms.disable_key(KeyId=key_id)
        due = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        pages = kms.get_paginator("list_keys").paginate(
            PaginationConfig={"PageSize": 1}
        )

        assert key["KeyMetadata"]["CreationDate"].tzinfo is not None
        assert verified["SignatureValid"]
        assert due["DeletionDate"] > key["KeyMetadata"]["CreationDate"]
        assert [each["KeyId"] for page in pages for each in page["Keys"]] == [key_id]
        assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == (
            "PendingDeletion"
        )

    await with_boto3(real_time, tmp_path, use)


async def test_boto3_sees_aws_s_error_codes(real_time: World, tmp_path: Path) -> None:
    key = real_time.kms.add_key(key_policy())

    def use(kms: Any) -> None:
        assert code_of(lambda: kms.describe_key(KeyId=key)) == "AccessDeniedException"
        with pytest.raises(kms.exceptions.NotFoundException):
            kms.describe_key(KeyId="alias/none")
        with pytest.raises(kms.exceptions.InvalidCiphertextException):
            kms.decrypt(CiphertextBlob=b"nonsense")
        assert code_of(lambda: kms.generate_random(NumberOfBytes=2000)) == (
            "ValidationException"
        )

    await with_boto3(real_time, tmp_path, use, by=real_time.enclave)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("late", "InvalidSignatureException"),
        ("unknown", "UnrecognizedClientException"),
        ("expired", "ExpiredTokenException"),
    ],
)
async def test_boto3_sees_why_its_signature_is_refused(
    real_time: World, tmp_path: Path, change: str, code: str
) -> None:
    by = real_time.kms.issue_credentials(ROLE, lifetime=dt.timedelta(seconds=9))
    if change == "unknown":
        by = Credentials(access_key_id="AKIAX", secret_access_key="x")
    ahead = {"late": dt.timedelta(minutes=6), "expired": dt.timedelta(seconds=10)}
    real_time.clock.time += ahead.get(change, dt.timedelta())

    def use(kms: Any) -> None:
        assert code_of(kms.list_keys) == code

    await with_boto3(real_time, tmp_path, use, by=by)


async def test_the_right_image_gets_the_secret(world: World) -> None:
    key = world.kms.add_key(key_policy())
    async with world.client(credentials=world.admin) as admin:
        sealed = await admin.encrypt(key, b"secret")
    async with world.client() as client:
        opened = await client.decrypt(sealed.ciphertext)

    assert opened.plaintext == b"secret"
    recipient = world.kms.events[-1].recipient
    assert recipient is not None
    assert recipient.pcrs[0] == GOOD.pcr0


@pytest.mark.parametrize(
    ("boot", "words"), [(OTHER, OTHER.pcr0.hex()), (DEBUG, "debug mode")]
)
async def test_another_image_is_refused_and_the_reason_can_be_told(
    world: World, boot: Any, words: str
) -> None:
    key = world.kms.add_key(key_policy())
    async with world.client(boot) as client:
        with pytest.raises(KmsError) as caught:
            await client.generate_data_key(key)

    assert caught.value.code == "AccessDeniedException"
    lines = explain_denial(
        key_policy(), Sent(caught.value.pcrs), action="kms:GenerateDataKey"
    )
    assert any(words in line for line in lines)


async def test_all_attested_operations_work_in_every_shape(world: World) -> None:
    key = world.kms.add_key(key_policy())
    async with world.client() as client:
        for _ in EnvelopeShape:
            data_key = await client.generate_data_key(key)
            opened = await client.decrypt(data_key.ciphertext, key_id=key)
            pair = await client.generate_data_key_pair(key, "ECC_SECG_P256K1")
            private = await client.decrypt(pair.private_key_ciphertext)

            assert opened.plaintext == data_key.plaintext
            assert private.plaintext == pair.private_key
            assert len(await client.generate_random(1000)) == 1000


async def test_a_client_whose_clock_is_wrong_is_told_the_time() -> None:
    """It sees KMS's Date, and asks once more."""
    world = make_world(Clock(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=6)))
    async with world.client(credentials=world.admin) as client:
        made = await client.create_key()

    codes = [event.code for event in world.kms.events]
    assert codes == ["InvalidSignatureException", None]
    assert made.state == "Enabled"


async def test_throttling_is_tried_again(autojump_clock: MockClock) -> None:
    world = make_world(Clock(dt.datetime.now(dt.UTC)))
    world.kms.fail_next("ThrottlingException", "Rate exceeded", times=2)
    async with world.client(credentials=world.admin) as client:
        await client.create_key()

    assert [event.code for event in world.kms.events] == [
        *("ThrottlingException", "ThrottlingException"),
        None,
    ]


async def test_it_serves_without_tls_where_that_is_asked_for(world: World) -> None:
    parent = MemoryVsock()
    async with trio.open_nursery() as nursery:
        listener = await parent.open_listener(80)
        await nursery.start(world.kms.serve_http, [listener])
        async with await parent.at(16).open_stream(3, 80) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await stream.receive_some()
        nursery.cancel_scope.cancel()

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"UnknownOperationException" in answer


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"material": b"short"}, "32 bytes"),
        ({"usage": "SIGN_VERIFY"}, "KeyUsage SIGN_VERIFY"),
        ({"aliases": ["app"]}, "'app'"),
        ({"policy": {}}, "Statement"),
    ],
)
def test_a_key_that_can_t_be_added(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        KmsEmulator().add_key(**arguments)


def test_credentials_are_somebody_s() -> None:
    with pytest.raises(ConfigError, match="'me' is no principal"):
        KmsEmulator(clock=Clock(NOW)).issue_credentials("me")


async def test_a_client_that_never_shakes_hands_is_dropped(
    autojump_clock: MockClock,
) -> None:
    parent = MemoryVsock()
    async with trio.open_nursery() as nursery:
        listener = await parent.open_listener(443)
        await nursery.start(make_world().kms.serve_https, [listener])
        async with await parent.at(16).open_stream(3, 443) as stream:
            assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()

    assert trio.current_time() > 5


async def test_too_long_a_request_is_refused_before_it_is_read(world: World) -> None:
    parent = MemoryVsock()

    async def send(stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
                + bytes(2**21),
            )

    async with trio.open_nursery() as nursery:
        listener = await parent.open_listener(80)
        await nursery.start(world.kms.serve_http, [listener])
        async with (
            await parent.at(16).open_stream(3, 80) as stream,
            trio.open_nursery() as sending,
        ):
            sending.start_soon(send, stream)
            answer = await stream.receive_some()
            sending.cancel_scope.cancel()
        nursery.cancel_scope.cancel()

    assert answer.startswith(b"HTTP/1.1 413")


def test_cancelled_anywhere_it_leaves_no_listener_open() -> None:
    kms = KmsEmulator()

    async def serve_and_ask() -> None:
        parent = MemoryVsock()
        listener = await parent.open_listener(443)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(kms.serve_https, [listener])
                stream = trio.SSLStream(
                    await parent.at(16).open_stream(3, 443),
                    kms.client_tls(),
                    server_hostname="localhost",
                    https_compatible=True,
                )
                async with stream:
                    await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 400")
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True), pytest.raises(trio.ClosedResourceError):
                await listener.accept()

    assert cancel_at_every_step(serve_and_ask) > 5

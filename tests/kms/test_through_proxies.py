"""KMS as an enclave reaches it: TLS end to end through both halves of the proxy.

boto3 is as it comes, and gets its credentials from the parent's broker.

"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import boto3
import pytest
import trio
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.testing.kms.worlds import GOOD, ROLE, Clock, World, key_policy, make_world
from trionitro._endpoints import TcpEndpoint, VsockEndpoint, parse_endpoint
from trionitro.kms import (
    CredentialProvider,
    Credentials,
    EndpointBackend,
    KmsClient,
    RefreshingCredentials,
    VsockBackend,
)
from trionitro.nsm import Nsm
from trionitro.parent import CredentialBroker
from trionitro.proxy import NO_ALLOWLIST, Proxy, ProxyConfig, Route, Surroundings
from trionitro.testing import KmsEmulator
from trionitro.vsock import LocalVsock

KMS, BROKER = 8000, 8002


@attrs.define
class Issuer(CredentialProvider):
    """Stands for IMDS: new credentials, good for an hour, whenever it is asked."""

    kms: KmsEmulator
    issued: int = 0

    async def get(self) -> Credentials:
        """Issue some."""
        await trio.lowlevel.checkpoint()
        self.issued += 1
        return self.kms.issue_credentials(ROLE, lifetime=dt.timedelta(hours=1))


@attrs.frozen
class Enclave:
    """What an application in an enclave has.

    Attributes:
      world: the emulated KMS, and who has keys there.
      issuer: whose credentials the broker gives out.
      network: the enclave's own vsock.
      kms: the entrance of the route to KMS.
      credentials: the URL of the broker, through a route as well.

    """

    world: World
    issuer: Issuer
    network: LocalVsock
    kms: TcpEndpoint
    credentials: str


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Enclave]:
    """Run KMS, the broker, and both halves of the proxy."""
    world = make_world(Clock(dt.datetime.now(dt.UTC)))
    issuer = Issuer(world.kms)
    parent, enclave = LocalVsock(directory), LocalVsock(directory, cid=16)
    (directory / "ca.pem").write_bytes(world.kms.ca_pem)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(world.kms.serve_https, listeners)
        outside = TcpEndpoint("127.0.0.1", listeners[0].socket.getsockname()[1])
        broker = CredentialBroker(RefreshingCredentials(issuer), frozenset({16}))
        nursery.start_soon(broker.serve, [await parent.open_listener(BROKER)])
        await nursery.start(
            Proxy(Surroundings(parent, NO_ALLOWLIST)).serve,
            ProxyConfig(
                routes=(Route(listen=VsockEndpoint(None, KMS), forward=outside),)
            ),
        )
        local = parse_endpoint("tcp://127.0.0.1:0")
        kms, credentials = await nursery.start(
            Proxy(Surroundings(enclave, NO_ALLOWLIST)).serve,
            ProxyConfig(
                routes=tuple(
                    Route(listen=local, forward=VsockEndpoint(3, port))
                    for port in (KMS, BROKER)
                )
            ),
        )
        url = f"http://{credentials.host}:{credentials.port}/credentials"
        yield Enclave(world, issuer, enclave, kms, url)
        nursery.cancel_scope.cancel()


async def with_boto3(
    enclave: Enclave, directory: Path, use: Callable[[Any], None]
) -> None:
    """Call ``use`` with a client that was told nothing but where to go."""

    def in_thread() -> None:
        client = boto3.session.Session().client(
            "kms",
            region_name="us-east-1",
            endpoint_url=f"https://localhost:{enclave.kms.port}",
            verify=str(directory / "ca.pem"),
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            use(client)
        finally:
            client.close()

    await trio.to_thread.run_sync(in_thread)


@pytest.fixture(name="no_credentials")
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


async def test_boto3_works_with_the_broker_s_credentials(
    no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = no_credentials
    async with running(directory) as enclave:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", enclave.credentials)
        key = enclave.world.kms.add_key()
        locked = enclave.world.kms.add_key(key_policy())

        def use(kms: Any) -> None:
            sealed = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
            data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
            again = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])
            assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"secret"
            assert again["Plaintext"] == data_key["Plaintext"]
            with pytest.raises(ClientError, match="AccessDenied"):
                kms.generate_data_key(KeyId=locked, KeySpec="AES_256")

        await with_boto3(enclave, directory, use)

    assert enclave.issuer.issued == 1
    assert {event.caller for event in enclave.world.kms.events} == {ROLE}


async def test_our_client_gets_what_only_its_image_may_have(tmp_path: Path) -> None:
    async with running(tmp_path) as enclave:
        key = enclave.world.kms.add_key(key_policy())
        async with KmsClient(
            region="us-east-1",
            credentials=await enclave.issuer.get(),
            nsm=Nsm(enclave.world.nsm()),
            network_backend=VsockBackend(enclave.network, 3, KMS),
            tls=enclave.world.kms.client_tls(),
        ) as client:
            data_key = await client.generate_data_key(key)
            opened = await client.decrypt(data_key.ciphertext)

    assert opened.plaintext == data_key.plaintext
    recipient = enclave.world.kms.events[-1].recipient
    assert recipient is not None
    assert recipient.pcrs[0] == GOOD.pcr0


async def test_two_hundred_decrypts_at_once_over_few_connections(
    tmp_path: Path,
) -> None:
    """All are right, and the credentials are fetched once."""
    async with running(tmp_path) as enclave:
        kms = enclave.world.kms
        key = kms.add_key(key_policy())
        fetching = Issuer(kms)
        async with KmsClient(
            region="us-east-1",
            credentials=RefreshingCredentials(fetching),
            nsm=Nsm(enclave.world.nsm()),
            network_backend=EndpointBackend(enclave.kms, enclave.network),
            tls=kms.client_tls(),
            max_connections=4,
        ) as client:
            data_key = await client.generate_data_key(key)
            right: list[bool] = []

            async def decrypt() -> None:
                opened = await client.decrypt(data_key.ciphertext)
                right.append(opened.plaintext == data_key.plaintext)

            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(decrypt)

    assert right == [True] * 200
    assert fetching.issued == 1

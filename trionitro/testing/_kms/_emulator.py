"""The emulated KMS, as tests and the command use it."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn, final

import attrs
import trio
import trio.abc
import trustme
from cryptography import x509

from trionitro._exceptions import ConfigError
from trionitro._http_server import answer_http
from trionitro.kms._credentials import Credentials
from trionitro.kms._policy import parse_policy
from trionitro.kms._policy_decision import Caller
from trionitro.testing._kms._envelopes import EnvelopeShape
from trionitro.testing._kms._events import KmsEvent
from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._keys import KeyStore, default_policy
from trionitro.testing._kms._principals import ALLOW_ALL, AccessKey
from trionitro.testing._kms._service import KmsService, Transport
from trionitro.testing._kms._specs import Material, check_usage, spec_of

__all__ = ["KmsEmulator"]

#: Of the emulated account.
_ACCOUNT: Final = "111122223333"

#: How old an attestation document may be. What KMS thinks is not published.
_MAX_DOCUMENT_AGE: Final = dt.timedelta(minutes=5)

#: How many requests are remembered.
_MAX_EVENTS: Final = 1000

#: Dual-stack endpoints have a suffix of their own.
_SUFFIXES: Final = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "amazonaws.eu")

_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@final
@attrs.frozen(eq=False, kw_only=True)
class KmsEmulator:
    """AWS KMS in your own process, with keys that live as long as this object.

    It checks what KMS checks: signatures and their time, key policies and the
    account's own, attestation documents. Nothing in it is for production: its keys
    are in memory, and whoever can read that has them.

    Attributes:
      region: that it is in; signatures must be for this one.
      account: 12 digits, whose keys these are.
      partition: ``aws``, ``aws-cn``, ``aws-us-gov`` …
      clock: tells the time, with its zone.
      attestation_roots: whose attestation documents are believed. Without any, none
          are: give :data:`~trionitro.attestation.AWS_NITRO_ROOTS` for real ones, or
          an emulator's own.
      max_document_age: how old a document may be.
      envelope_shapes: how CiphertextForRecipient is written, in turn: KMS has been
          seen to use more than one.
      host_names: other names for the certificate, beside KMS's own and localhost.

    """

    region: str = "us-east-1"
    account: str = _ACCOUNT
    partition: str = "aws"
    clock: Callable[[], dt.datetime] = _now
    attestation_roots: Sequence[x509.Certificate] = ()
    max_document_age: dt.timedelta = _MAX_DOCUMENT_AGE
    envelope_shapes: Sequence[EnvelopeShape] = tuple(EnvelopeShape)
    host_names: Sequence[str] = ()
    _authority: trustme.CA = attrs.field(init=False, factory=trustme.CA)
    _service: KmsService = attrs.field(init=False)

    @_service.default
    def _make_service(self) -> KmsService:
        store = KeyStore(
            partition=self.partition,
            region=self.region,
            account=self.account,
            clock=self.clock,
        )
        return KmsService(
            store=store,
            attestation_roots=self.attestation_roots,
            max_document_age=self.max_document_age,
            shapes=itertools.cycle(self.envelope_shapes),
            events=deque(maxlen=_MAX_EVENTS),
        )

    @property
    def ca_pem(self) -> bytes:
        """The certificate that clients must trust."""
        return self._authority.cert_pem.bytes()

    @property
    def events(self) -> Sequence[KmsEvent]:
        """The last thousand requests, newest last."""
        return tuple(self._service.events)

    def client_tls(self) -> ssl.SSLContext:
        """Make a TLS context for a client that trusts this KMS and nobody else."""
        return ssl.create_default_context(cadata=self.ca_pem.decode())

    def issue_credentials(
        self,
        principal: str,
        *,
        lifetime: dt.timedelta | None = None,
        identity_policy: Mapping[str, Any] | None = None,
    ) -> Credentials:
        """Make an access key.

        Args:
          principal: the ARN of a user, a role, or a session of one.
          lifetime: of temporary credentials with a session token; without it, they
              have none and are good for ever.
          identity_policy: what IAM lets the principal do; everything, if not given.

        Raises:
          ConfigError: if the ARN or the policy is none.

        """
        credentials = Credentials(
            access_key_id=f"AKIA{secrets.token_hex(8).upper()}",
            secret_access_key=secrets.token_urlsafe(30),
        )
        if lifetime is not None:
            credentials = attrs.evolve(
                credentials,
                access_key_id=f"ASIA{secrets.token_hex(8).upper()}",
                session_token=secrets.token_urlsafe(60),
                expires_at=self.clock() + lifetime,
            )
        self.admit(credentials, principal, identity_policy=identity_policy)
        return credentials

    def admit(
        self,
        credentials: Credentials,
        principal: str,
        *,
        identity_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Have ``credentials`` be those of ``principal``.

        Args:
          credentials: from somewhere else.
          principal: as for :meth:`issue_credentials`.
          identity_policy: likewise.

        Raises:
          ConfigError: if the ARN or the policy is none.

        """
        self._service.access_keys[credentials.access_key_id] = AccessKey(
            credentials=credentials,
            caller=Caller(principal),
            identity_policy=parse_policy(
                ALLOW_ALL if identity_policy is None else identity_policy,
                source=f"the identity policy of {principal}",
            ),
        )

    def add_key(
        self,
        policy: str | Mapping[str, Any] | None = None,
        *,
        aliases: Iterable[str] = (),
        key_id: str | None = None,
        material: Material | None = None,
        usage: str | None = None,
        description: str = "",
    ) -> str:
        """Add a key, and return its ARN.

        Args:
          policy: the key policy, also as JSON; if not given, the account's IAM
              policies decide.
          aliases: ``alias/NAME``, each.
          key_id: its id; a new UUID if not given.
          material: 32 bytes of an AES key, or a private RSA or EC key; a new AES key
              if not given.
          usage: what it is for, such as ``SIGN_VERIFY``; must be given for a pair.
          description: for people.

        Raises:
          ConfigError: if that is no key, no policy, or no alias, or is taken.

        """
        if material is None:
            material = secrets.token_bytes(32)
        spec = spec_of(material)
        if policy is None:
            policy = default_policy(self.partition, self.account)
        text = policy if isinstance(policy, str) else json.dumps(policy, indent=2)
        parse_policy(text, source="the key policy")
        try:
            usage = check_usage(spec, usage)
        except KmsFault as fault:
            raise ConfigError(fault.message) from None
        store = self._service.store
        key = store.add(
            material,
            policy=text,
            usage=usage,
            spec=spec,
            description=description,
            key_id=key_id,
        )
        for alias in aliases:
            store.name(key, alias)
        return key.arn

    def fail_next(
        self, code: str, message: str = "", *, status: int = 400, times: int = 1
    ) -> None:
        """Answer the next requests with an error, whatever they are.

        Args:
          code: such as ``ThrottlingException``.
          message: its text.
          status: of the HTTP response; KMS's own failures have 500 or 503.
          times: how many requests.

        """
        fault = KmsFault(code, message, status)
        self._service.pending_faults.extend([fault] * times)

    async def serve_https(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Serve KMS's protocol over TLS until cancelled.

        Args:
          listeners: of any kind; closed at the end.
          task_status: told when connections are accepted.

        """
        names = [*self._service_names(), *_LOCAL_NAMES, *self.host_names]
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(*names).configure_cert(tls)
        await self._serve(
            [trio.SSLListener(each, tls, https_compatible=True) for each in listeners],
            Transport.HTTPS,
            task_status,
        )

    async def serve_http(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Serve KMS's protocol without TLS, as KMS itself never does.

        Args:
          listeners: of any kind; closed at the end.
          task_status: told when connections are accepted.

        """
        await self._serve(listeners, Transport.HTTP, task_status)

    async def _serve(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        transport: Transport,
        task_status: trio.TaskStatus[None],
    ) -> NoReturn:
        respond = partial(self._service.respond, transport=transport)

        async def answer(stream: trio.abc.Stream) -> None:
            await answer_http(stream, respond)

        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, answer, listeners)
            task_status.started()
        raise AssertionError("it serves for ever")

    def _service_names(self) -> Iterable[str]:
        for service, suffix in itertools.product(("kms", "kms-fips"), _SUFFIXES):
            yield f"{service}.{self.region}.{suffix}"

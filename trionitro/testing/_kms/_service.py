"""From an HTTP request to an answer: KMS's JSON 1.1 protocol."""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import enum
import itertools
import json
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import structlog
from cryptography import x509

from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.testing._kms import _administration, _encryption, _pairs
from trionitro.testing._kms._authentication import authenticate
from trionitro.testing._kms._calls import Call
from trionitro.testing._kms._envelopes import EnvelopeShape
from trionitro.testing._kms._events import KmsEvent
from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._inputs import INPUTS
from trionitro.testing._kms._keys import KeyStore
from trionitro.testing._kms._members import read_input
from trionitro.testing._kms._principals import AccessKey, AccessKeys
from trionitro.testing._kms._recipients import Recipient, admit_recipient

__all__ = ["KmsService", "Transport"]


class Transport(enum.Enum):
    """What a request came on."""

    HTTP = "http"
    HTTPS = "https"


_log = structlog.get_logger("trionitro.kms")

_CONTENT_TYPE: Final = "application/x-amz-json-1.1"

#: What KMS is called in its protocol.
_TARGET: Final = "TrentService"

_OPERATIONS: Final[Mapping[str, Callable[[Call], Awaitable[dict[str, Any]]]]] = {
    "Encrypt": _encryption.encrypt,
    "Decrypt": _encryption.decrypt,
    "ReEncrypt": _encryption.re_encrypt,
    "GenerateDataKey": _encryption.generate_data_key,
    "GenerateDataKeyWithoutPlaintext": _encryption.generate_data_key_without_plaintext,
    "GenerateDataKeyPair": _pairs.generate_data_key_pair,
    "GenerateDataKeyPairWithoutPlaintext": (
        _pairs.generate_data_key_pair_without_plaintext
    ),
    "GenerateRandom": _encryption.generate_random,
    "DeriveSharedSecret": _pairs.derive_shared_secret,
    "Sign": _pairs.sign,
    "Verify": _pairs.verify,
    "GetPublicKey": _pairs.get_public_key,
    "CreateKey": _administration.create_key,
    "DescribeKey": _administration.describe_key,
    "ListKeys": _administration.list_keys,
    "GetKeyPolicy": _administration.get_key_policy,
    "PutKeyPolicy": _administration.put_key_policy,
    "EnableKey": _administration.enable_key,
    "DisableKey": _administration.disable_key,
    "ScheduleKeyDeletion": _administration.schedule_key_deletion,
    "CancelKeyDeletion": _administration.cancel_key_deletion,
    "CreateAlias": _administration.create_alias,
    "DeleteAlias": _administration.delete_alias,
    "ListAliases": _administration.list_aliases,
}


@attrs.define(eq=False, kw_only=True)
class KmsService:
    """What answers, whatever the request came on.

    Attributes:
      store: the keys; its clock is the service's.
      access_keys: who may sign.
      attestation_roots: whose documents are believed.
      max_document_age: how old one may be.
      shapes: how envelopes are written, the next one first.
      pending_faults: errors to answer with, once each, before anything is looked at.
      events: what was asked, newest last.

    """

    store: KeyStore
    access_keys: AccessKeys = attrs.field(factory=dict, repr=False)
    attestation_roots: Sequence[x509.Certificate] = ()
    max_document_age: dt.timedelta
    shapes: Iterator[EnvelopeShape] = attrs.field(
        factory=lambda: itertools.cycle(EnvelopeShape)
    )
    pending_faults: deque[KmsFault] = attrs.field(factory=deque)
    events: deque[KmsEvent]

    async def respond(
        self, request: HttpRequest, *, transport: Transport
    ) -> HttpResponse:
        """Answer one request; it never raises what is the client's fault."""
        event = KmsEvent(request_id=str(uuid.uuid4()))
        try:
            if self.pending_faults:
                raise self.pending_faults.popleft()
            answer, status = await self._answer(request, event, transport), 200
        except KmsFault as fault:
            answer, status = fault.to_json(), fault.status
            event.code, event.message, event.why = fault.code, fault.message, fault.why
            _log.info("refused", **_told(event))
        self.events.append(event)
        return HttpResponse(
            status=status,
            content_type=_CONTENT_TYPE,
            headers={
                "x-amzn-RequestId": event.request_id,
                "Date": email.utils.format_datetime(self._now(), usegmt=True),
                "Cache-Control": "no-cache, no-store, must-revalidate, private",
            },
            body=json.dumps(answer, default=_blob).encode(),
        )

    async def _answer(
        self, request: HttpRequest, event: KmsEvent, transport: Transport
    ) -> dict[str, Any]:
        prefix, _, operation = request.headers.get("x-amz-target", "").rpartition(".")
        if prefix != _TARGET or operation not in _OPERATIONS:
            raise KmsFault("UnknownOperationException")
        event.operation = operation
        access_key = authenticate(
            request, self.access_keys, region=self.store.region, now=self._now()
        )
        event.caller = access_key.caller.arn
        call = self._call(request, operation, access_key, transport)
        if call.recipient is not None:
            event.recipient = call.recipient.document
        try:
            return await _OPERATIONS[operation](call)
        finally:
            event.key_arn = call.key_arn

    def _call(
        self,
        request: HttpRequest,
        operation: str,
        access_key: AccessKey,
        transport: Transport,
    ) -> Call:
        given = read_input(INPUTS[operation], _parse(request))
        return Call(
            operation=operation,
            input=given,
            caller=access_key.caller,
            identity_policy=access_key.identity_policy,
            store=self.store,
            recipient=self._recipient(given),
            shapes=self.shapes,
            keys={
                **self._common_keys(access_key, given),
                "aws:SecureTransport": str(transport is Transport.HTTPS).lower(),
            },
        )

    def _recipient(self, given: dict[str, Any]) -> Recipient | None:
        if "Recipient" not in given:
            return None
        return admit_recipient(
            given["Recipient"],
            roots=self.attestation_roots,
            now=self._now(),
            max_age=self.max_document_age,
        )

    def _common_keys(
        self, access_key: AccessKey, given: dict[str, Any]
    ) -> dict[str, str]:
        now = self._now().replace(microsecond=0)
        name = given.get("KeyId", "")
        alias = name[name.index("alias/") :] if "alias/" in name else None
        return {
            "aws:CurrentTime": now.isoformat().replace("+00:00", "Z"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:PrincipalAccount": access_key.caller.account,
            "aws:PrincipalArn": access_key.caller.principal_arn,
            "kms:CallerAccount": access_key.caller.account,
            **({} if alias is None else {"kms:RequestAlias": alias}),
        }

    def _now(self) -> dt.datetime:
        return self.store.clock().astimezone(dt.UTC)


def _told(event: KmsEvent) -> dict[str, object]:
    """Return what a log tells of a request that was refused."""
    told = attrs.asdict(event, filter=lambda _, value: bool(value), recurse=False)
    told.pop("recipient", None)
    return told


def _parse(request: HttpRequest) -> Any:
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError):
        raise KmsFault("SerializationException", "the body is not JSON") from None


def _blob(value: object) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()

"""Calling an operation of KMS: signed, sent, tried again, and its answer read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs
import httpcore
import structlog
import trio

from trionitro.kms._answers import (
    MAX_ANSWER,
    Answer,
    KmsError,
    parse_answer_untrusted,
)
from trionitro.kms._clock import SigningClock
from trionitro.kms._http import HttpAnswer, fetch
from trionitro.kms._providers import CredentialProvider
from trionitro.kms._retry import (
    MAX_ATTEMPTS,
    RetryQuota,
    backoff,
    is_throttling,
    is_transient,
)
from trionitro.kms._sigv4 import AwsRequest, sign_request

__all__ = ["KmsService"]

_log = structlog.get_logger("trionitro.kms")

#: How KMS begins to say that a signature's time is too far from its own.
_CLOCK_COMPLAINTS: Final = ("Signature expired", "Signature not yet current")


@attrs.frozen(kw_only=True, eq=False)
class KmsService:
    """One endpoint of KMS, and who calls it.

    Attributes:
      url: scheme, host and port.
      region: what is signed for.
      credentials: who signs.
      pool: whose connections are used, and used again.
      clock: the time that is signed.
      quota: what retries may cost, for all calls together.

    """

    url: str
    region: str
    credentials: CredentialProvider = attrs.field(repr=False)
    pool: httpcore.AsyncConnectionPool = attrs.field(repr=False)
    clock: SigningClock = attrs.field(factory=SigningClock, repr=False)
    quota: RetryQuota = attrs.field(factory=RetryQuota, repr=False)

    async def call(self, operation: str, members: Mapping[str, Any]) -> Answer:
        """Call ``operation`` until it is answered, or has failed for good.

        Args:
          operation: its name in the model.
          members: its input, blobs as base64.

        Raises:
          KmsError: if KMS refused it.
          OSError: if there was no connection, or it broke, at each attempt.
          ProtocolError: if the answer made no sense.
          CredentialsUnavailableError: if there is nobody to sign.

        Cancellation:
          KMS may have done what was asked.

        """
        body = json.dumps(members).encode()
        attempt = 1
        spent = 0
        while True:
            try:
                answer = await self._call_in_time(operation, body)
            except (KmsError, OSError) as problem:
                cost = self._price_of_retry(problem, attempt)
                if cost is None:
                    raise
                spent = cost
                await self._pause(operation, attempt, problem)
                attempt += 1
            else:
                self.quota.give_back(spent)
                return answer

    async def _call_in_time(self, operation: str, body: bytes) -> Answer:
        """Call once, or twice if the clock was wrong."""
        signed = self.clock.read()
        response = await self._send(operation, body)
        try:
            return _read(response)
        except KmsError as problem:
            if not problem.message.startswith(_CLOCK_COMPLAINTS):
                raise
            date = response.headers.get("date")
            if not self.clock.correct_untrusted(date, signed=signed):
                raise
            _log.warning("clock corrected", service_time=date, problem=problem.message)
        return _read(await self._send(operation, body))

    async def _send(self, operation: str, body: bytes) -> HttpAnswer:
        request = AwsRequest(
            method="POST",
            target="/",
            headers=(
                ("Host", self.url.partition("://")[2]),
                ("Content-Type", "application/x-amz-json-1.1"),
                ("X-Amz-Target", f"TrentService.{operation}"),
            ),
            body=body,
        )
        signed = sign_request(
            request,
            await self.credentials.get(),
            region=self.region,
            service="kms",
            at=self.clock.read(),
        )
        length = ("Content-Length", str(len(body)))
        return await fetch(
            self.pool,
            "POST",
            f"{self.url}/",
            headers=signed.with_headers(length).headers,
            content=body,
            max_body=MAX_ANSWER,
        )

    def _price_of_retry(self, problem: KmsError | OSError, attempt: int) -> int | None:
        """Return what another attempt cost the quota, or None if none is to be."""
        if attempt >= MAX_ATTEMPTS:
            return None
        if isinstance(problem, KmsError) and not (
            is_throttling(problem.code) or is_transient(problem.code, problem.status)
        ):
            return None
        return self.quota.take(throttled=_is_throttled(problem))

    async def _pause(
        self, operation: str, attempt: int, problem: KmsError | OSError
    ) -> None:
        seconds = backoff(attempt, throttled=_is_throttled(problem))
        _log.info(
            "trying again", operation=operation, attempt=attempt, problem=str(problem)
        )
        await trio.sleep(seconds)


def _is_throttled(problem: KmsError | OSError) -> bool:
    return isinstance(problem, KmsError) and is_throttling(problem.code)


def _read(answer: HttpAnswer) -> Answer:
    return parse_answer_untrusted(answer.status, answer.headers, answer.body)

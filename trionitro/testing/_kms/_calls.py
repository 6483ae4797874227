"""One call of an operation: its input, its caller, and what policies say about both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from trionitro.kms import explain_denial
from trionitro.kms._policy import Policy
from trionitro.kms._policy_decision import (
    AccessRequest,
    Caller,
    Effect,
    Verdict,
    judge,
    request_context,
)
from trionitro.kms._recipient_keys import recipient_keys
from trionitro.testing._kms._envelopes import EnvelopeShape, seal_envelope
from trionitro.testing._kms._faults import KmsFault, access_denied
from trionitro.testing._kms._keys import Key, KeyStore
from trionitro.testing._kms._recipients import Recipient

__all__ = ["Call"]

#: Condition keys beside those that every call has.
Keys = Mapping[str, str | Iterable[str]]


@attrs.define(eq=False, kw_only=True)
class Call:
    """A call that is authenticated, and whose input is within its limits.

    Attributes:
      operation: ``Decrypt``.
      input: the members by their names, read.
      caller: who calls.
      identity_policy: what the account lets him do.
      store: the keys.
      recipient: the enclave that the answer is for, or None.
      shapes: how envelopes are written, the next one first.
      keys: condition keys that every call has.
      key_arn: of the key that was asked for, once it is known.

    """

    operation: str
    input: dict[str, Any] = attrs.field(repr=False)
    caller: Caller
    identity_policy: Policy = attrs.field(repr=False)
    store: KeyStore = attrs.field(repr=False)
    recipient: Recipient | None = attrs.field(repr=False)
    shapes: Iterator[EnvelopeShape] = attrs.field(repr=False)
    keys: Keys = attrs.field(repr=False)
    key_arn: str | None = None

    def authorize(
        self, key: Key, keys: Keys | None = None, *, action: str | None = None
    ) -> None:
        """Check that the caller may do this with ``key``.

        Args:
          key: the key.
          keys: condition keys of this operation.
          action: where one operation needs the permission for several.

        Raises:
          KmsFault: if a policy denies it, or none allows it.

        """
        self.key_arn = key.arn
        aliases = [
            name for name, target in self.store.aliases.items() if target == key.key_id
        ]
        context = {
            "kms:KeySpec": key.spec,
            "kms:KeyUsage": key.usage,
            "kms:KeyOrigin": "AWS_KMS",
            "kms:MultiRegion": "false",
            **({"kms:ResourceAliases": aliases} if aliases else {}),
            **(keys or {}),
        }
        request = self._request(action or self.operation, key.arn, context)
        by_key = judge(key.policy, request)
        by_identity = judge(self.identity_policy, request)
        if by_key.effect in (Effect.DENIED, Effect.SILENT):
            self._refuse_by_key_policy(request, by_key, key.policy)
        self._refuse_denied(request, by_identity)
        foreign = self.caller.account != self.store.account
        if (
            foreign or by_key.effect is Effect.DELEGATED
        ) and by_identity.effect is not Effect.ALLOWED:
            self._refuse(request, "because no identity-based policy allows")

    def authorize_without_key(self, resource: str = "*") -> None:
        """Check that the caller may do this, where there is no key to ask.

        Raises:
          KmsFault: if the account doesn't let him.

        """
        request = self._request(self.operation, resource, {})
        verdict = judge(self.identity_policy, request)
        self._refuse_denied(request, verdict)
        if verdict.effect is not Effect.ALLOWED:
            self._refuse(request, "because no identity-based policy allows")

    def policy_request(self, action: str, key_arn: str) -> AccessRequest:
        """Return the request that this caller would make with another action."""
        return self._request(action, key_arn, {})

    def stop_if_dry(self) -> None:
        """End here, if the caller only wants to know whether he may.

        Raises:
          KmsFault: then.

        """
        if self.input.get("DryRun"):
            raise KmsFault(
                "DryRunOperationException",
                "The request would have succeeded, but the DryRun option is set.",
                412,
            )

    def reveal(self, member: str, plaintext: bytes) -> dict[str, bytes]:
        """Return ``plaintext`` as ``member``, or sealed if it is for an enclave."""
        if self.recipient is None:
            return {member: plaintext}
        sealed = seal_envelope(plaintext, self.recipient.key, next(self.shapes))
        return {"CiphertextForRecipient": sealed}

    def _request(self, action: str, resource: str, keys: Keys) -> AccessRequest:
        document = None if self.recipient is None else self.recipient.document
        return AccessRequest(
            action=f"kms:{action}",
            resource=resource,
            caller=self.caller,
            context=request_context({**self.keys, **keys, **recipient_keys(document)}),
        )

    def _refuse_by_key_policy(
        self, request: AccessRequest, verdict: Verdict, policy: Policy
    ) -> None:
        why = explain_denial(
            policy,
            None if self.recipient is None else self.recipient.document,
            action=request.action,
            caller=request.caller.arn,
            context=request.context,
        )
        reason = (
            "with an explicit deny in a resource-based policy"
            if verdict.effect is Effect.DENIED
            else "because no resource-based policy allows"
        )
        self._refuse(request, reason, why)

    def _refuse_denied(self, request: AccessRequest, verdict: Verdict) -> None:
        if verdict.effect is Effect.DENIED:
            self._refuse(request, "with an explicit deny in an identity-based policy")

    def _refuse(
        self, request: AccessRequest, reason: str, why: Iterable[str] = ()
    ) -> None:
        allows = f" the {request.action} action" if reason.endswith("allows") else ""
        raise access_denied(
            f"User: {self.caller.arn} is not authorized to perform: {request.action} on"
            f" resource: {request.resource} {reason}{allows}",
            why,
        )

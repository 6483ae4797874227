"""What was asked of KMS and what became of it, as CloudTrail would tell."""

from __future__ import annotations

import attrs

from trionitro.attestation import AttestationDocument

__all__ = ["KmsEvent"]


@attrs.define(eq=False, kw_only=True)
class KmsEvent:
    """One request.

    Attributes:
      request_id: what the client was told, too.
      operation: ``Decrypt``, or None if it was none of those that are known.
      caller: the ARN of who asked, or None if that was not proved.
      key_arn: of the key, or None if none was found.
      recipient: the attestation document that was sent and verified, or None.
      code: of the error that was answered, or None.
      message: the text of the error, or None.
      why: what in the key policy stood in the way, a line each, as
          :func:`.explain_denial` tells it. KMS itself tells nobody.

    """

    request_id: str
    operation: str | None = None
    caller: str | None = None
    key_arn: str | None = None
    recipient: AttestationDocument | None = attrs.field(default=None, repr=False)
    code: str | None = None
    message: str | None = None
    why: tuple[str, ...] = ()

"""Access keys: whose they are, until when, and what the account lets these do."""

from __future__ import annotations

from typing import Any, Final

import attrs

from trionitro.kms._policy import Policy, parse_policy
from trionitro.kms._policy_decision import Caller

__all__ = ["ALLOW_ALL", "AccessKey", "AccessKeys"]

#: An identity policy, as an administrator of KMS has it.
ALLOW_ALL: Final[dict[str, Any]] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
}


@attrs.frozen(kw_only=True)
class AccessKey:
    """What signs requests.

    Attributes:
      access_key_id: its name.
      secret_access_key: what it signs with.
      session_token: what must come with a temporary one, or None.
      expires: when it does, in seconds since 1970; None for never.
      caller: whose it is.
      identity_policy: what IAM says that the caller may do.

    """

    access_key_id: str
    secret_access_key: str = attrs.field(repr=False)
    session_token: str | None = attrs.field(default=None, repr=False)
    expires: float | None = None
    caller: Caller
    identity_policy: Policy = attrs.field(
        factory=lambda: parse_policy(ALLOW_ALL), repr=False
    )


#: By their ids.
AccessKeys = dict[str, AccessKey]

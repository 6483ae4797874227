"""Access keys: whose they are, and what the account lets these do."""

from __future__ import annotations

from typing import Any, Final

import attrs

from trionitro.kms._credentials import Credentials
from trionitro.kms._policy import Policy
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
      credentials: the key itself, and until when it is good.
      caller: whose it is.
      identity_policy: what IAM says that the caller may do.

    """

    credentials: Credentials
    caller: Caller
    identity_policy: Policy = attrs.field(repr=False)


#: By their ids.
AccessKeys = dict[str, AccessKey]

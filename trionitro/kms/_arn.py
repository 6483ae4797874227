"""ARNs of those who may do something with a key, in the form that policies take.

Who asks STS "who am I?" gets the ARN of a session, ``assumed-role/ROLE/SESSION``. In
a policy it would name that one session; what is meant is the role.

"""

from __future__ import annotations

import re
from typing import Final

import attrs

from trionitro._exceptions import ConfigError

__all__ = ["Principal", "parse_principal"]

_ARN: Final = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?P<service>iam|sts)::(?P<account>[0-9]{12})"
    r":(?P<resource>.+)",
    re.ASCII,
)

#: IAM's names, and the paths before them.
_IAM: Final = re.compile(
    r"root|(?:user|role)/(?:[\x21-\x7e]+/)*[\w+=,.@-]{1,64}", re.ASCII
)

_SESSION: Final = re.compile(
    r"assumed-role/(?P<role>[\w+=,.@-]{1,64})/[\w+=,.@-]{2,64}", re.ASCII
)

_EXAMPLE: Final = "arn:aws:iam::111122223333:role/signer"


@attrs.frozen
class Principal:
    """Who may do something.

    Attributes:
      arn: of an IAM role or user, or of an account's root.
      note: what to check about it, or None.

    """

    arn: str
    note: str | None = None

    @property
    def is_root(self) -> bool:
        """Whether it is an account: all whom its IAM policies allow it."""
        return self.arn.endswith(":root")


def parse_principal(text: str) -> Principal:
    """Read an ARN, and make the IAM role's of an STS session's.

    A role's *path* is not in the ARN of its sessions: for a role that has one, give
    the role's own ARN. The principal's note says so.

    Raises:
      ConfigError: if it is neither, with what to write instead; ``*`` among others,
          which would be everybody.

    """
    arn = _ARN.fullmatch(text)
    if arn is None:
        raise ConfigError(f"{text!r} is no ARN of IAM; write for example {_EXAMPLE}")
    if arn["service"] == "iam" and _IAM.fullmatch(arn["resource"]):
        return Principal(text)
    session = _SESSION.fullmatch(arn["resource"])
    if arn["service"] == "sts" and session is not None:
        role = f"arn:{arn['partition']}:iam::{arn['account']}:role/{session['role']}"
        return Principal(
            role,
            f"{text} was taken for the role {role}: a session's ARN doesn't have the"
            " role's path; if it has one, write the role's own ARN",
        )
    raise ConfigError(
        f"{text!r} names no role, user or root; write for example {_EXAMPLE}"
    )

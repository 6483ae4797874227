"""What policies say about a request: who asks for what, and what is decided.

Source: "Policy evaluation logic" of the IAM User Guide, and "Key policies" of the KMS
Developer Guide. An explicit Deny wins; without an Allow the answer is no. A statement
that names an *account* allows nothing by itself: it lets the account's own policies
do so.

"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from trionitro._exceptions import ConfigError
from trionitro._structuring import quote
from trionitro.kms._policy import Condition, Patterns, Policy, Principals, Statement
from trionitro.kms._policy_operators import matches_pattern

__all__ = [
    "AccessRequest",
    "Caller",
    "Context",
    "Effect",
    "Verdict",
    "condition_holds",
    "covers",
    "judge",
    "names_caller",
    "request_context",
]

_CALLER: Final = re.compile(
    r"arn:(?P<partition>aws[\w-]*):(?P<service>iam|sts)::(?P<account>\d{12}):"
    r"(?P<kind>root|user|role|assumed-role|federated-user)(/(?P<name>[\w+=,.@/-]+))?",
    re.ASCII,
)


@attrs.frozen
class Caller:
    """Who made a request.

    Attributes:
      arn: of a user, a role, a role's session (``assumed-role``), a federated user,
          or the account itself (``root``).

    Raises:
      ConfigError: if ``arn`` is none of these.

    """

    arn: str = attrs.field()

    @arn.validator
    def _check_arn(self, _: object, arn: str) -> None:
        if not _CALLER.fullmatch(arn):
            raise ConfigError(
                f"{quote(arn)} is no principal; write for example"
                " arn:aws:iam::111122223333:role/NAME"
            )

    @property
    def account(self) -> str:
        """The account's 12 digits."""
        return self._part("account")

    @property
    def principal_arn(self) -> str:
        """What ``aws:PrincipalArn`` is: for a session, its role."""
        if self._part("kind") != "assumed-role":
            return self.arn
        role = self._part("name").partition("/")[0]
        return f"arn:{self._part('partition')}:iam::{self.account}:role/{role}"

    def answers_to(self, name: str) -> bool:
        """Tell whether a policy that names ``name`` means this caller in person."""
        return name in (self.arn, self.principal_arn) or (
            # A session doesn't tell its role's path.
            self._part("kind") == "assumed-role"
            and re.sub(r":role/.*/", ":role/", name) == self.principal_arn
        )

    def belongs_to(self, name: str) -> bool:
        """Tell whether ``name`` is the caller's account."""
        return name in (
            self.account,
            f"arn:{self._part('partition')}:iam::{self.account}:root",
        )

    def _part(self, name: str) -> str:
        match = _CALLER.fullmatch(self.arn)
        assert match is not None
        return match[name] or ""


#: Condition keys in lower case, with their values.
Context = Mapping[str, tuple[str, ...]]


def request_context(keys: Mapping[str, str | Iterable[str]]) -> Context:
    """Make a context of condition keys, in which case does not matter."""
    return {
        key.lower(): (value,) if isinstance(value, str) else tuple(value)
        for key, value in keys.items()
    }


@attrs.frozen(kw_only=True)
class AccessRequest:
    """What is asked for.

    Attributes:
      action: ``kms:Decrypt``.
      resource: the key's ARN, or ``"*"`` where there is no key.
      caller: who asks.
      context: of :func:`request_context`.

    """

    action: str
    resource: str
    caller: Caller
    context: Context = attrs.field(factory=dict)


class Effect(enum.Enum):
    """What a policy says about a request."""

    #: A Deny matches.
    DENIED = "denied"

    #: An Allow matches that is about the caller.
    ALLOWED = "allowed"

    #: An Allow matches, but it is about the caller's account: the policies of the
    #: account decide.
    DELEGATED = "delegated"

    #: Nothing matches.
    SILENT = "silent"


@attrs.frozen
class Verdict:
    """What a policy says about a request, and where.

    Attributes:
      effect: what it says.
      statement: the first one that says so, or None if none says anything.

    """

    effect: Effect
    statement: Statement | None = None


def judge(policy: Policy, request: AccessRequest) -> Verdict:
    """Evaluate ``policy`` for ``request``."""
    found: dict[Effect, Statement] = {}
    for statement in policy.statements:
        if (effect := _says(statement, request)) is not None:
            found.setdefault(effect, statement)
    for effect in (Effect.DENIED, Effect.ALLOWED, Effect.DELEGATED):
        if effect in found:
            return Verdict(effect, found[effect])
    return Verdict(Effect.SILENT)


def _says(statement: Statement, request: AccessRequest) -> Effect | None:
    if not (
        covers(statement.actions, request.action, flags=re.IGNORECASE)
        and covers(statement.resources, request.resource)
    ):
        return None
    named = names_caller(statement.principals, request.caller)
    if named is None:
        return None
    for condition in statement.conditions:
        if not condition_holds(condition, request.context):
            return None
    return named if statement.allows else Effect.DENIED


def names_caller(principals: Principals | None, caller: Caller) -> Effect | None:
    """Tell how a statement names ``caller``: in person, by the account, or not."""
    if principals is None:
        return Effect.ALLOWED  # the policy belongs to the principal
    in_person = principals.everyone or any(map(caller.answers_to, principals.aws))
    by_account = any(map(caller.belongs_to, principals.aws))
    if principals.negated:
        return None if in_person or by_account else Effect.ALLOWED
    if in_person:
        return Effect.ALLOWED
    return Effect.DELEGATED if by_account else None


def condition_holds(condition: Condition, context: Context) -> bool:
    """Tell whether ``condition`` holds in ``context``."""
    return condition.operator.holds(
        context.get(condition.key.lower()), condition.values
    )


def covers(patterns: Patterns, value: str, *, flags: int = 0) -> bool:
    """Tell whether ``value`` is one of those that a statement lists."""
    found = any(
        matches_pattern(value, pattern, flags=flags) for pattern in patterns.patterns
    )
    return found is not patterns.negated

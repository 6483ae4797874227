"""Why a key policy refuses: condition by condition, in plain lines.

KMS says "not authorized" and no more. Whoever has the policy and the attestation
document that was sent can say which of the conditions didn't hold; but nothing here
decides anything, and an unverified document is as good as a verified one.

"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from trionitro._structuring import quote
from trionitro.kms._policy import Condition, Policy, Statement, parse_policy
from trionitro.kms._policy_decision import (
    Caller,
    Context,
    condition_holds,
    covers,
    names_caller,
    request_context,
)
from trionitro.kms._recipient_keys import (
    IMAGE_KEY,
    PREFIX,
    Measured,
    pcr_of,
    recipient_keys,
)

__all__ = ["explain_denial"]

_DEBUG: Final = (
    "the enclave runs in debug mode, where PCR0 to PCR2 are all zero: start it without"
    " --debug-mode"
)

_NO_RECIPIENT: Final = (
    "the request had no Recipient, so KMS saw no attestation document: ask with one"
)


def explain_denial(
    policy: Policy | str | bytes | Mapping[str, Any],
    document: Measured | None,
    *,
    action: str = "kms:Decrypt",
    caller: str | None = None,
    context: Mapping[str, str | Iterable[str]] | None = None,
) -> list[str]:
    """Say what in a key policy stands in the way of a request.

    Args:
      policy: the key's, parsed or as KMS returns it.
      document: the attestation document that was sent, verified or not; None for a
          request without a Recipient.
      action: what was asked for.
      caller: the ARN of who asked, if you know; otherwise nothing is said about
          principals that don't match.
      context: other condition keys of the request that you know, such as
          ``{"kms:EncryptionContext:app": "signer"}``.

    Returns:
      One line for each thing that is wrong, or that can't be told from here.

    Raises:
      ConfigError: if the policy can't be read, or ``caller`` is no ARN.

    """
    if not isinstance(policy, Policy):
        policy = parse_policy(policy)
    known = request_context({**(context or {}), **recipient_keys(document)})
    who = None if caller is None else Caller(caller)
    relevant = [
        each
        for each in policy.statements
        if covers(each.actions, action, flags=re.IGNORECASE)
    ]
    allowances = [each for each in relevant if each.allows]
    lines = [
        line
        for each in relevant
        if not each.allows
        for line in _explain_deny(each, known, who)
    ]
    if not allowances:
        lines.append(
            f"no statement allows {action}: the key policy must have one that does"
        )
    return [*lines, *_explain_allowances(allowances, known, document, who)]


def _explain_allowances(
    allowances: Iterable[Statement],
    known: Context,
    document: Measured | None,
    who: Caller | None,
) -> list[str]:
    """Explain those that are about the caller; if none is, say that."""
    named = [
        each
        for each in allowances
        if who is None or names_caller(each.principals, who) is not None
    ]
    if named or who is None:
        return [
            line for each in named for line in _explain_allow(each, known, document)
        ]
    return [
        f"{each.place} is not about {who.arn}: name it as a Principal"
        for each in allowances
    ]


def _explain_deny(
    statement: Statement, known: Context, who: Caller | None
) -> Iterator[str]:
    if who is not None and names_caller(statement.principals, who) is None:
        return
    unknown = [each for each in statement.conditions if not _is_known(each, known)]
    if all(
        condition_holds(each, known)
        for each in statement.conditions
        if each not in unknown
    ):
        reasons = [_state(each, known) for each in statement.conditions]
        because = f" because {', and '.join(reasons)}" if reasons else ""
        verb = "may deny it, and can't be judged from here," if unknown else "denies it"
        yield f"{statement.place} {verb}{because}"


def _explain_allow(
    statement: Statement, known: Context, document: Measured | None
) -> Iterator[str]:
    unknown = [each for each in statement.conditions if not _is_known(each, known)]
    failed = [
        each
        for each in statement.conditions
        if each not in unknown and not condition_holds(each, known)
    ]
    for each in failed:
        yield (
            f"{statement.place}: {_state(each, known)}, and {_wanted(each)}"
            f"{_hint(each, document)}"
        )
    for each in unknown:
        yield f"{statement.place}: {each.key} can't be told from here; {_wanted(each)}"
    if not failed and not unknown:
        yield (
            f"{statement.place} allows it: the reason is not in its conditions, but in"
            " who asks (Principal), in another policy, or in the key's state"
        )


def _is_known(condition: Condition, known: Context) -> bool:
    return condition.key.lower() in known or _is_about_recipient(condition)


def _state(condition: Condition, known: Context) -> str:
    values = known.get(condition.key.lower())
    if values is None:
        return f"{condition.key} is absent"
    return f"{condition.key} was {', '.join(values)}"


def _wanted(condition: Condition) -> str:
    operator, values = condition.operator, " or ".join(condition.values)
    if operator.base == "Null":
        absent = "true" in [value.lower() for value in condition.values]
        return "must be absent" if absent else "must be there"
    modal = "must not be" if operator.negated else "must be"
    return f"{modal} {values} ({operator.name})"


def _hint(condition: Condition, document: Measured | None) -> str:
    """Say what the usual cause is, where one is plain."""
    if not _is_about_recipient(condition):
        return ""
    cause = _NO_RECIPIENT if document is None else _likely_cause(condition, document)
    return f": {cause}" if cause else ""


def _likely_cause(condition: Condition, document: Measured) -> str | None:
    index = pcr_of(condition.key)
    if index is None:
        return f"{quote(condition.key)} is no condition key; write {IMAGE_KEY}"
    if index not in document.pcrs:
        return f"PCR{index} is not in the document, where it is once it is locked"
    if index <= 2 and not any(document.pcrs[index]):
        return _DEBUG
    if document.pcrs[index].hex() in [value.lower() for value in condition.values]:
        return "they differ in case only; write StringEqualsIgnoreCase"
    return None


def _is_about_recipient(condition: Condition) -> bool:
    # The bare prefix is no key, but people write it: it is absent for ever.
    return condition.key.lower().startswith(PREFIX.lower().rstrip(":"))

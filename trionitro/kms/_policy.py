"""IAM and key policies: the document, taken apart.

Source: "Grammar of the IAM JSON policy language" and "IAM JSON policy elements
reference" of the IAM User Guide. What is read here is judged in ``_policy_decision``;
nothing is read that could not be judged: an element, an operator or a variable that
this module doesn't know is an error, and never a condition that silently holds.

"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from trionitro._exceptions import ConfigError
from trionitro._structuring import describe, quote, unknown_key
from trionitro.kms._policy_operators import Operator, parse_operator

__all__ = [
    "MAX_POLICY_SIZE",
    "Condition",
    "Patterns",
    "Policy",
    "Principals",
    "Statement",
    "parse_policy",
]

#: Bytes of a key policy: the quota in the KMS Developer Guide.
MAX_POLICY_SIZE: Final = 32768

_VERSIONS: Final = ("2012-10-17", "2008-10-17")

_POLICY_KEYS: Final = ("Version", "Id", "Statement")

_STATEMENT_KEYS: Final = (
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
    *("Resource", "NotResource", "Condition"),
)

_PRINCIPAL_KINDS: Final = ("AWS", "Service", "Federated", "CanonicalUser")

_PRINCIPAL_ARN: Final = re.compile(
    r"arn:aws[\w-]*:(iam|sts)::(\d{12}:[\w+=,.@/-]+|aws:policy/[\w+=,.@/-]+)", re.ASCII
)
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)

#: What IAM leaves of a principal that was deleted: its unique id.
_DELETED: Final = re.compile(r"A[A-Z0-9]{15,127}")


@attrs.frozen
class Patterns:
    """What ``Action`` or ``Resource`` lists, or ``NotAction`` or ``NotResource``.

    Attributes:
      patterns: with ``*`` and ``?`` as wildcards.
      negated: whether it is all but these.

    """

    patterns: tuple[str, ...]
    negated: bool = False


@attrs.frozen
class Principals:
    """Who a statement is about.

    Attributes:
      everyone: whether it is ``"*"``.
      aws: accounts (12 digits) and ARNs; ``arn:aws:iam::ACCOUNT:root`` is the account.
      others: services, federated users and canonical users, as ``kind:name``.
      negated: whether it is all but these.

    """

    everyone: bool = False
    aws: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    negated: bool = False


@attrs.frozen(kw_only=True)
class Condition:
    """One key under one operator; all conditions of a statement must hold.

    Attributes:
      operator: how it is compared.
      key: the condition key as written; case does not matter in it.
      values: one of them must match.

    """

    operator: Operator
    key: str
    values: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Statement:
    """One statement.

    Attributes:
      place: where it stands, for people: ``Statement[1] 'Decrypt'``.
      allows: whether its effect is Allow; otherwise it is Deny.
      principals: None in a policy that belongs to a principal.
      actions: which operations.
      resources: which keys.
      conditions: in the order in which they are written.

    """

    place: str
    allows: bool
    principals: Principals | None
    actions: Patterns
    resources: Patterns
    conditions: tuple[Condition, ...] = ()


@attrs.frozen
class Policy:
    """A policy document.

    Attributes:
      statements: in the order in which they are written.

    """

    statements: tuple[Statement, ...]


def parse_policy(
    document: str | bytes | Mapping[str, Any], *, source: str = "policy"
) -> Policy:
    """Read a policy: JSON text, or what such a text says.

    Args:
      document: at most 32768 bytes, where it is a text.
      source: what to call it in errors.

    Raises:
      ConfigError: with the source and the place of the first thing that is wrong.

    """
    try:
        return _policy(_load(document))
    except ConfigError as problem:
        raise ConfigError(f"{source}: {problem}") from None


def _load(document: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(document, str | bytes):
        if len(document) > MAX_POLICY_SIZE:
            raise ConfigError(f"has more than {MAX_POLICY_SIZE} bytes; shorten it")
        try:
            document = json.loads(document, object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as problem:
            if isinstance(problem, ConfigError):
                raise
            raise ConfigError(f"is not JSON: {problem}") from None
    if not isinstance(document, Mapping):
        raise ConfigError(f"is {describe(document)}, must be an object")
    return document


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ConfigError(f"has the key {quote(name)} twice in one object")
    return members


def _policy(document: Mapping[str, Any]) -> Policy:
    _check_keys(document, _POLICY_KEYS, "")
    version = document.get("Version", _VERSIONS[1])
    if version not in _VERSIONS:
        raise ConfigError(
            f"Version: was {describe(version)}, must be {' or '.join(_VERSIONS)}"
        )
    if "Statement" not in document:
        raise ConfigError("the key 'Statement' is missing")
    statements = document["Statement"]
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise ConfigError(
            f"Statement: was {describe(statements)}, must be a list of one or more"
        )
    return Policy(
        tuple(_statement(each, index) for index, each in enumerate(statements))
    )


def _statement(document: Any, index: int) -> Statement:
    place = f"Statement[{index}]"
    if not isinstance(document, Mapping):
        raise ConfigError(f"{place}: was {describe(document)}, must be an object")
    if isinstance(sid := document.get("Sid", ""), str) and sid:
        place += f" {quote(sid)}"
    _check_keys(document, _STATEMENT_KEYS, f"{place}: ")
    effect = document.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise ConfigError(
            f"{place}: Effect: was {describe(effect)}, must be 'Allow' or 'Deny'"
        )
    conditions = document.get("Condition", {})
    return Statement(
        place=place,
        allows=effect == "Allow",
        principals=_principals(document, place),
        actions=_patterns(document, "Action", place),
        resources=_patterns(document, "Resource", place),
        conditions=tuple(_conditions(conditions, f"{place}: Condition")),
    )


def _either(document: Mapping[str, Any], name: str, place: str) -> str | None:
    """Return which of ``name`` and ``Notname`` is there."""
    given = [key for key in (name, f"Not{name}") if key in document]
    if len(given) == 2:
        raise ConfigError(f"{place}: {name} and Not{name} exclude each other")
    return given[0] if given else None


def _patterns(document: Mapping[str, Any], name: str, place: str) -> Patterns:
    key = _either(document, name, place)
    if key is None:
        raise ConfigError(f"{place}: the key {name!r} is missing")
    values = _texts(document[key], f"{place}: {key}")
    if name == "Action":
        for value in values:
            if value != "*" and ":" not in value:
                raise ConfigError(
                    f"{place}: {key}: {quote(value)} names no service; write"
                    f" kms:{value}"
                )
    return Patterns(values, negated=key != name)


def _principals(document: Mapping[str, Any], place: str) -> Principals | None:
    key = _either(document, "Principal", place)
    if key is None:
        return None
    place, value, negated = f"{place}: {key}", document[key], key != "Principal"
    if value == "*":
        return Principals(everyone=True, negated=negated)
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{place}: was {describe(value)}, must be '*' or an object such as"
            ' {"AWS": ARN}'
        )
    _check_keys(value, _PRINCIPAL_KINDS, f"{place}: ")
    aws = _texts(value["AWS"], f"{place}.AWS") if "AWS" in value else ()
    for name in aws:
        _check_principal(name, f"{place}.AWS")
    others = [
        f"{kind}:{name}"
        for kind in _PRINCIPAL_KINDS[1:]
        if kind in value
        for name in _texts(value[kind], f"{place}.{kind}")
    ]
    return Principals("*" in aws, aws, tuple(others), negated)


def _check_principal(name: str, place: str) -> None:
    known = (_ACCOUNT, _PRINCIPAL_ARN, _DELETED)
    if name == "*" or any(each.fullmatch(name) for each in known):
        return
    wildcard = "; no wildcard is allowed but '*' alone" if "*" in name else ""
    raise ConfigError(
        f"{place}: {quote(name)} is no account and no ARN such as"
        f" arn:aws:iam::111122223333:role/NAME{wildcard}"
    )


def _conditions(document: Any, place: str) -> Iterator[Condition]:
    if not isinstance(document, Mapping):
        raise ConfigError(f"{place}: was {describe(document)}, must be an object")
    for name, block in document.items():
        operator = parse_operator(name, place)
        if not isinstance(block, Mapping) or not block:
            raise ConfigError(
                f"{place}.{name}: was {describe(block)}, must be an object of keys"
            )
        for key, values in block.items():
            here = f"{place}.{name}.{key}"
            if ":" not in key:
                raise ConfigError(f"{here}: {quote(key)} is no condition key")
            texts = _texts(values, here, scalars=True)
            for text in texts:
                operator.check_value(text, here)
            yield Condition(operator=operator, key=key, values=texts)


def _texts(value: Any, place: str, *, scalars: bool = False) -> tuple[str, ...]:
    """Read one text or a list of them; of scalars, where these mean their text."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ConfigError(f"{place}: was empty, must have at least one value")
    return tuple(_text(each, place, scalars=scalars) for each in values)


def _text(value: Any, place: str, *, scalars: bool) -> str:
    if scalars and isinstance(value, bool):
        return str(value).lower()
    if scalars and isinstance(value, int | float):
        return json.dumps(value)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{place}: was {describe(value)}, must be a string")
    if "${" in value:
        raise ConfigError(
            f"{place}: {quote(value)} has a policy variable, which is not understood"
            " here; write what it stands for"
        )
    return value


def _check_keys(
    document: Mapping[str, Any], known: tuple[str, ...], place: str
) -> None:
    for key in document:
        if key not in known:
            raise ConfigError(f"{place}{unknown_key(key, known)}")

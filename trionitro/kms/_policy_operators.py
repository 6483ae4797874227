"""How conditions of policies compare: the operators, one by one.

Source: "IAM JSON policy elements: Condition operators" and "Multivalued context
keys" of the IAM User Guide. Of each operator that says ``Not`` there are three rules
that surprise: it holds when the key is absent, and when *none* of the values match;
with ``ForAnyValue:`` it doesn't hold when the key is absent.

"""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import math
import operator as op
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs

from trionitro._exceptions import ConfigError
from trionitro._structuring import quote, unknown_key

__all__ = ["Operator", "Quantifier", "matches_pattern", "parse_operator"]


class Quantifier(enum.Enum):
    """How the values of a request are taken together."""

    #: No prefix: made for keys of one value.
    NONE = ""

    #: ``ForAllValues:``, which holds for a key that is absent, too.
    ALL = "ForAllValues:"

    #: ``ForAnyValue:``, which doesn't.
    ANY = "ForAnyValue:"


@attrs.frozen
class _Comparison:
    """What an operator does with one value of the request and one of the policy.

    Attributes:
      matches: called with the request's and the policy's.
      negated: whether the operator holds where none match.
      read: turns the policy's value into what is compared; ValueError where it can't.

    """

    matches: Callable[[str, str], bool]
    negated: bool = False
    read: Callable[[str], object] = str


@attrs.frozen
class Operator:
    """A condition operator.

    Attributes:
      name: as written, ``ForAnyValue:StringLikeIfExists``.
      base: without prefix and suffix, ``StringLike``.
      quantifier: the prefix.
      if_exists: whether it holds where the key is absent.

    """

    name: str
    base: str
    quantifier: Quantifier = Quantifier.NONE
    if_exists: bool = False

    @property
    def negated(self) -> bool:
        """Whether it holds where no value matches."""
        return _COMPARISONS[self.base].negated

    def holds(self, actual: Sequence[str] | None, wanted: Sequence[str]) -> bool:
        """Tell whether the condition holds.

        Args:
          actual: the values in the request, or None if the key is absent.
          wanted: the values in the policy.

        """
        if self.base == "Null":
            return str(not actual).lower() in [value.lower() for value in wanted]
        if not actual:
            return self._holds_absent()
        fits = [self._value_fits(value, wanted) for value in actual]
        if self.quantifier is Quantifier.ALL:
            return all(fits)
        if self.quantifier is Quantifier.NONE and self.negated:
            return all(fits)
        return any(fits)

    def check_value(self, value: str, place: str) -> None:
        """Check that ``value`` is something that this operator can compare with.

        Raises:
          ConfigError: with the place, if it isn't.

        """
        try:
            _COMPARISONS[self.base].read(value)
        except ValueError:
            raise ConfigError(
                f"{place}: {quote(value)} is nothing that {self.base} compares with"
            ) from None

    def _holds_absent(self) -> bool:
        if self.if_exists or self.quantifier is Quantifier.ALL:
            return True
        return self.negated and self.quantifier is Quantifier.NONE

    def _value_fits(self, value: str, wanted: Sequence[str]) -> bool:
        comparison = _COMPARISONS[self.base]
        found = any(_compare(comparison, value, each) for each in wanted)
        return found is not comparison.negated


def parse_operator(name: str, place: str) -> Operator:
    """Read the name of an operator.

    Raises:
      ConfigError: if there is none of that name.

    """
    quantifier = next(
        (
            each
            for each in (Quantifier.ALL, Quantifier.ANY)
            if name.startswith(each.value)
        ),
        Quantifier.NONE,
    )
    base = name.removeprefix(quantifier.value)
    if_exists = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    if base not in _COMPARISONS:
        raise ConfigError(f"{place}: {unknown_key(name, _COMPARISONS)}")
    if base == "Null" and name != base:
        raise ConfigError(f"{place}: {quote(name)}: Null takes no prefix and no suffix")
    return Operator(name, base, quantifier, if_exists)


@lru_cache(maxsize=1024)
def _pattern(text: str, flags: int) -> re.Pattern[str]:
    first, *rest = (
        "".join("." if c == "?" else re.escape(c) for c in part)
        for part in re.split(r"\*+", text)
    )
    # What a star leads to is found where it comes first, and that is never taken
    # back: it would not help, and takes for ever with many stars.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    last = f".*{rest[-1]}" if rest else ""
    return re.compile(first + middle + last, flags | re.DOTALL)


def matches_pattern(value: str, pattern: str, *, flags: int = 0) -> bool:
    """Tell whether ``value`` is a text that ``pattern`` with ``*`` and ``?`` means."""
    return _pattern(pattern, flags).fullmatch(value) is not None


def _compare(comparison: _Comparison, actual: str, wanted: str) -> bool:
    try:
        return comparison.matches(actual, wanted)
    except ValueError:
        return False  # no number, date or address: it is none that matches


def _arns_match(actual: str, wanted: str) -> bool:
    """Compare part by part: a wildcard in one part never reaches into the next."""
    theirs, ours = actual.split(":", 5), wanted.split(":", 5)
    return len(theirs) == len(ours) == 6 and all(map(matches_pattern, theirs, ours))


def _arn(text: str) -> str:
    if len(text.split(":", 5)) != 6:
        raise ValueError(text)
    return text


def _number(text: str) -> float:
    number = float(text)
    if math.isnan(number):
        raise ValueError(text)
    return number


def _date(text: str) -> dt.datetime:
    try:
        seconds = float(text)
    except ValueError:
        date = dt.datetime.fromisoformat(text)
        return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, OSError):
        raise ValueError(text) from None


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _in_network(actual: str, wanted: str) -> bool:
    return ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False)


def _network(text: str) -> object:
    return ipaddress.ip_network(text, strict=False)


def _same_but_for_case(actual: str, wanted: str) -> bool:
    return actual.lower() == wanted.lower()


def _ordered(
    read: Callable[[str], Any], compare: Callable[[Any, Any], bool]
) -> _Comparison:
    return _Comparison(
        lambda actual, wanted: compare(read(actual), read(wanted)), read=read
    )


def _ordering(prefix: str, read: Callable[[str], Any]) -> dict[str, _Comparison]:
    equal = _ordered(read, op.eq)
    return {
        f"{prefix}Equals": equal,
        f"{prefix}NotEquals": attrs.evolve(equal, negated=True),
        f"{prefix}LessThan": _ordered(read, op.lt),
        f"{prefix}LessThanEquals": _ordered(read, op.le),
        f"{prefix}GreaterThan": _ordered(read, op.gt),
        f"{prefix}GreaterThanEquals": _ordered(read, op.ge),
    }


def _negatable(
    positive: str, negative: str, comparison: _Comparison
) -> dict[str, _Comparison]:
    return {positive: comparison, negative: attrs.evolve(comparison, negated=True)}


_COMPARISONS: Final[Mapping[str, _Comparison]] = {
    **_negatable("StringEquals", "StringNotEquals", _Comparison(op.eq)),
    **_negatable(
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        _Comparison(_same_but_for_case),
    ),
    **_negatable("StringLike", "StringNotLike", _Comparison(matches_pattern)),
    **_ordering("Numeric", _number),
    **_ordering("Date", _date),
    "Bool": _ordered(_truth, op.eq),
    "BinaryEquals": _Comparison(op.eq),
    **_negatable("IpAddress", "NotIpAddress", _Comparison(_in_network, read=_network)),
    **_negatable("ArnEquals", "ArnNotEquals", _Comparison(_arns_match, read=_arn)),
    **_negatable("ArnLike", "ArnNotLike", _Comparison(_arns_match, read=_arn)),
    "Null": _Comparison(op.eq, read=_truth),
}

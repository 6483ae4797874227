"""The operators of conditions, against AWS's rules written down once more."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.kms._policy_operators import matches_pattern, parse_operator

HEX = "ab" * 48


def holds(name: str, actual: list[str] | None, *wanted: str) -> bool:
    return parse_operator(name, "here").holds(actual, wanted)


@pytest.mark.parametrize(
    ("operator", "actual", "wanted"),
    [
        ("StringEquals", "a", "a"),
        ("StringNotEquals", "a", "A"),
        ("StringEqualsIgnoreCase", HEX, HEX.upper()),
        ("StringNotEqualsIgnoreCase", "a", "b"),
        ("StringLike", "alias/app", "alias/*"),
        ("StringNotLike", "alias/app", "alias/?"),
        ("NumericEquals", "10", "10.0"),
        ("NumericNotEquals", "10", "11"),
        ("NumericLessThan", "10", "11"),
        ("NumericLessThanEquals", "10", "10"),
        ("NumericGreaterThan", "1e3", "999"),
        ("NumericGreaterThanEquals", "10", "10"),
        ("DateGreaterThan", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("DateLessThan", "2026-01-02", "1800000000"),
        ("DateEquals", "2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00Z"),
        ("Bool", "true", "True"),
        ("BinaryEquals", "QUJD", "QUJD"),
        ("IpAddress", "10.1.2.3", "10.0.0.0/8"),
        ("IpAddress", "2001:db8::1", "2001:db8::/32"),
        ("NotIpAddress", "10.1.2.3", "192.168.0.0/16"),
        ("ArnEquals", "arn:aws:iam::1:role/x", "arn:aws:iam::*:role/*"),
        ("ArnLike", "arn:aws:iam::1:role/a/b", "arn:aws:iam::?:role/*"),
        ("ArnNotLike", "arn:aws:iam::1:role/x", "arn:aws:*:role/x"),
        ("ArnNotEquals", "arn:aws:iam::1:role/x", "arn:aws:iam::2:role/x"),
    ],
)
def test_operators_that_hold(operator: str, actual: str, wanted: str) -> None:
    assert holds(operator, [actual], wanted)
    assert holds(f"{operator}IfExists", [actual], wanted)
    assert holds(f"ForAnyValue:{operator}", [actual], wanted)


@pytest.mark.parametrize(
    ("operator", "actual", "wanted"),
    [
        ("StringEquals", HEX, HEX.upper()),
        ("StringNotEquals", "a", "a"),
        ("StringEqualsIgnoreCase", "a", "b"),
        ("StringEquals", "alias/app", "alias/*"),
        ("StringLike", "alias/app", "alias/?"),
        ("StringLike", "alias/app", "ALIAS/*"),
        ("NumericLessThan", "11", "11"),
        ("NumericEquals", "ten", "10"),
        ("DateEquals", "never", "2026-01-01"),
        ("Bool", "false", "true"),
        ("Bool", "1", "true"),
        ("IpAddress", "11.1.2.3", "10.0.0.0/8"),
        ("IpAddress", "here", "10.0.0.0/8"),
        ("ArnLike", "arn:aws:iam::1:role/x", "arn:aws:*:role/x"),
        ("ArnEquals", "x", "arn:aws:iam::1:role/x"),
    ],
)
def test_operators_that_do_not(operator: str, actual: str, wanted: str) -> None:
    assert not holds(operator, [actual], wanted)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringLike", False),
        ("StringNotLike", True),
        ("Bool", False),
        ("NumericGreaterThan", False),
        ("StringEqualsIfExists", True),
        ("StringNotEqualsIfExists", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAllValues:StringNotEquals", True),
    ],
)
def test_a_key_that_is_absent(operator: str, expected: bool) -> None:
    wanted = "1" if operator.startswith("Numeric") else "true"

    assert holds(operator, None, wanted) is expected
    assert holds(operator, [], wanted) is expected


def test_null_asks_whether_a_key_is_absent() -> None:
    assert holds("Null", None, "true")
    assert not holds("Null", ["x"], "true")
    assert holds("Null", ["x"], "false")
    assert not holds("Null", None, "False")


def test_the_prefixes_take_many_values_together() -> None:
    assert holds("ForAllValues:StringEquals", ["a", "b"], "a", "b", "c")
    assert not holds("ForAllValues:StringEquals", ["a", "x"], "a", "b")
    assert holds("ForAnyValue:StringEquals", ["a", "x"], "a", "b")
    assert holds("ForAnyValue:StringNotEquals", ["a", "x"], "a", "b")
    assert not holds("ForAnyValue:StringNotEquals", ["a", "b"], "a", "b")
    assert holds("ForAllValues:StringNotEquals", ["x", "y"], "a", "b")


letters = st.text("aAbB*?", max_size=5)


def naive(name: str, actual: list[str] | None, wanted: list[str]) -> bool:
    """The IAM User Guide's sentences, one by one, for operators on strings."""
    prefix, _, rest = name.rpartition(":")
    if_exists = rest.endswith("IfExists")
    base = rest.removesuffix("IfExists")
    if not actual:
        if prefix == "ForAllValues" or if_exists:
            return True
        return "Not" in base and not prefix

    def one(value: str) -> bool:
        match base.replace("Not", ""):
            case "StringEquals":
                found = value in wanted
            case "StringEqualsIgnoreCase":
                found = value.lower() in [each.lower() for each in wanted]
            case _:
                found = any(
                    re.fullmatch(
                        re.escape(each).replace(r"\*", ".*").replace(r"\?", "."),
                        value,
                        re.DOTALL,
                    )
                    for each in wanted
                )
        return not found if "Not" in base else found

    if prefix == "ForAnyValue" or (not prefix and "Not" not in base):
        return any(map(one, actual))
    return all(map(one, actual))


@given(
    st.sampled_from(["", "ForAnyValue:", "ForAllValues:"]),
    st.sampled_from(["Equals", "NotEquals", "Like", "NotLike", "EqualsIgnoreCase"]),
    st.sampled_from(["", "IfExists"]),
    st.none() | st.lists(letters, max_size=3),
    st.lists(letters, min_size=1, max_size=3),
)
def test_operators_on_strings_are_what_the_user_guide_says(
    prefix: str,
    base: str,
    suffix: str,
    actual: list[str] | None,
    wanted: list[str],
) -> None:
    name = f"{prefix}String{base}{suffix}"

    assert holds(name, actual, *wanted) is naive(name, actual, wanted)


@given(st.text("ab\n*?", max_size=12), st.text("ab\n*?", max_size=8))
def test_a_pattern_matches_what_a_shell_would_match(value: str, pattern: str) -> None:
    assert matches_pattern(value, pattern) is fnmatch.fnmatchcase(value, pattern)


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    """And not in the age of the universe: pytest's timeout would tell."""
    assert not matches_pattern("a" * 5000, "*a" * 60 + "b")

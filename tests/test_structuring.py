from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._exceptions import ConfigError
from trionitro._structuring import (
    describe,
    make_converter,
    quote,
    read_text,
    structure,
    unknown_key,
)


def _even(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value % 2:
        raise ConfigError(f"{attribute.name} must be even, was {value}")


@attrs.frozen(kw_only=True)
class Wheel:
    """A record in a record."""

    size: int = attrs.field(validator=_even)
    spokes: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Cart:
    """A record of each kind of value."""

    name: str
    wheels: tuple[Wheel, ...] = ()
    load: float = math.inf
    owner: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.load > 1 and not self.wheels:
            raise ConfigError("load is too much for no wheels")
        if self.name == "name":
            raise ConfigError("this is no name")


def cart_of(value: object) -> Cart:
    """Make a cart as a file's reader would."""
    return structure(value, Cart, source="cart.toml", converter=make_converter())


def complaint_about(value: object) -> str:
    """Make no cart, and return why."""
    with pytest.raises(ConfigError) as problem:
        cart_of(value)
    return str(problem.value).removeprefix("cart.toml: ")


def test_a_table_becomes_a_record_with_records_in_it() -> None:
    wheel = {"size": 2, "spokes": ["a", "b", "a"]}

    cart = cart_of({"name": "x", "wheels": [wheel, {"size": 4}], "load": 3})

    spokes = frozenset({"a", "b"})
    wheels = (Wheel(size=2, spokes=spokes), Wheel(size=4))
    assert cart == Cart(name="x", wheels=wheels, load=3.0)
    assert isinstance(cart.load, float)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": 1}, "name: was the number 1, must be a string"),
        ({"owner": False}, "owner: was the truth value false, must be a string"),
        ({"load": True}, "load: was the truth value true, must be a number"),
        ({"load": "3"}, "load: was the string '3', must be a number"),
        ({"load": math.nan}, "load: was nan, must be a number"),
        (
            {"load": 2**63},
            "load: was a number of more than 64 bits, must have at most 64",
        ),
        ({"wheels": 1}, "wheels: was the number 1, must be a list"),
        ({"wheels": "ab"}, "wheels: was the string 'ab', must be a list"),
        ({"wheels": ["ab"]}, "wheels[0]: was the string 'ab', must be a table"),
        ({"naem": "y"}, "the key 'naem' is unknown: write 'name'"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(
    change: dict[str, Any], complaint: str
) -> None:
    assert complaint_about({"name": "x", "load": 0} | change) == complaint


def test_a_table_where_a_list_belongs_is_told_the_brackets() -> None:
    assert complaint_about({"name": "x", "wheels": {"size": 2}}) == (
        "wheels: was a table, must be a list: a table of one takes [[ ]]"
    )


@pytest.mark.parametrize(
    ("wheel", "complaint"),
    [
        ({}, ": the key 'size' is missing: write size = …"),
        ({"size": 2, "spoke": []}, ": the key 'spoke' is unknown: write 'spokes'"),
        ({"size": 2.0}, ".size: was the number 2.0, must be a whole number"),
        ({"size": 10**5000}, ".size: was a number of more than 64 bits, must have at"),
        ({"size": 2, "spokes": ["a", 1]}, ".spokes[1]: was the number 1, must be a"),
        ({"size": 3}, ".size must be even, was 3"),
    ],
)
def test_a_wrong_value_inside_is_named_with_its_whole_path(
    wheel: dict[str, Any], complaint: str
) -> None:
    said = complaint_about({"name": "x", "wheels": [{"size": 2}, wheel]})

    assert said.startswith(f"wheels[1]{complaint}")


def test_what_the_record_says_about_itself_stands_behind_its_path() -> None:
    assert complaint_about({"name": "x"}) == "load is too much for no wheels"
    assert complaint_about({"name": "name", "load": 0}) == "this is no name"


def test_the_whole_must_be_a_table() -> None:
    assert complaint_about([]) == "was a list, must be a table"


def test_a_mistake_of_the_program_is_not_put_on_the_user() -> None:
    converter = make_converter()

    def divide(value: Any, _: Any) -> float:
        return 1 / int(value)

    converter.register_structure_hook(float, divide)

    with pytest.raises(ZeroDivisionError):
        structure({"name": "x", "load": 0}, Cart, source="f", converter=converter)


def test_a_note_of_another_kind_is_no_part_of_the_path() -> None:
    converter = make_converter()

    def refuse(value: Any, _: Any) -> float:
        problem = ConfigError("was nothing good")
        problem.add_note("whoever reads this is debugging")
        raise problem

    converter.register_structure_hook(float, refuse)

    with pytest.raises(ConfigError, match=r"^f: load: was nothing good$"):
        structure({"name": "x", "load": 0}, Cart, source="f", converter=converter)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.times(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "wheels", "load", "size", "spokes"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(values)
def test_any_value_is_taken_or_complained_about_in_one_line(value: object) -> None:
    try:
        cart_of(value)
    except ConfigError as problem:
        said = str(problem)
    else:
        return

    assert said.isprintable()


# --- what is said about values ----------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "the truth value true"),
        ("a\nb", r"the string 'a\nb'"),
        (-5, "the number -5"),
        (-(2**63), "the number -9223372036854775808"),
        (-(2**63) - 1, "a number of more than 64 bits"),
        (1.5, "the number 1.5"),
        (math.inf, "the number inf"),
        ({}, "a table"),
        ([], "a list"),
        (dt.date(2020, 1, 2), "the date 2020-01-02"),
        (dt.time(1, 2), "the time 01:02:00"),
        (None, "a NoneType"),
    ],
)
def test_a_value_is_described_with_its_kind(value: object, said: str) -> None:
    assert describe(value) == said


def test_a_long_text_is_shortened() -> None:
    assert quote("x" * 81) == f"'{'x' * 80}…'"
    assert quote("x" * 80) == f"'{'x' * 80}'"


def test_a_key_that_is_like_none_is_told_all_of_them() -> None:
    assert unknown_key("x", ["b", "a"]) == "the key 'x' is unknown: there is a, b"


# --- files ------------------------------------------------------------------------


def test_a_file_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf\xc3\xbc")

    assert read_text(path, remedy="x") == "\xfc"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"ab\xff", " is not UTF-8 (byte 2): do this"),
        (
            bytes(2**20 + 1),
            " is longer than 1048576 bytes, which no configuration is: do this",
        ),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, data: bytes, complaint: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)

    with pytest.raises(ConfigError) as problem:
        read_text(path, remedy="do this")

    assert str(problem.value) == f"'{path}'{complaint}"


def test_a_file_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 2**20)

    assert len(read_text(path, remedy="x")) == 2**20


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nonexistent/f", "No such file or directory"),
        ("/", "Is a directory"),
        ("a\0b", "embedded null byte"),
    ],
)
def test_a_file_that_cant_be_read_is_named_with_the_reason(
    path: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as problem:
        read_text(path, remedy="do this")

    assert str(problem.value) == f"can't read {path!r}: {reason}: do this"

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._exceptions import ConfigError
from trionitro.proxy._allowlist import Allowlist

REGIONS = ("us-east-1", "us-gov-west-1", "eu-central-1", "ap-southeast-3")

#: The shape of the file that AWS's package installs, with fewer regions.
DEFAULT_FILE = "allowlist:\n" + "".join(
    f"- {{address: {kms}.{region}.amazonaws.com, port: 443}}\n"
    for region in REGIONS
    for kms in ("kms", "kms-fips")
)

EMPTY = "allowlist: []\n"
ENTRY = "{address: kms.us-east-1.amazonaws.com, port: 443}"
WRITE_ENTRY = f"write {ENTRY}"
WRITE_ADDRESS = "write a name, *.suffix, an IP address or a CIDR like 10.0.0.0/8"
MUST_BE_A_LIST = "must be a list: write [] for one that allows nothing"


def complaint_about(text: str) -> str:
    """Read a bad file and return what is said about it."""
    with pytest.raises(ConfigError) as problem:
        Allowlist.parse(text, source="f.yaml")
    return str(problem.value)


def complaint_about_entry(entry: str) -> str:
    """Put a bad entry behind a good one, and return what is said after its place."""
    said = complaint_about(f"allowlist:\n- {{address: a, port: 1}}\n- {entry}\n")
    assert said.startswith("f.yaml, line 3: allowlist[1]")
    return said.removeprefix("f.yaml, line 3: allowlist[1]")


def test_the_file_of_awss_package_is_read() -> None:
    policy = Allowlist.parse(DEFAULT_FILE)

    assert len(policy.rules) == 8
    assert policy.decide(
        "kms-fips.eu-central-1.amazonaws.com", 443, "192.0.2.1"
    ).allowed


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", " is empty: write 'allowlist:' and a list below it"),
        ("x", " holds the string 'x': write 'allowlist:' above the list"),
        ("- 1", " holds a list: write 'allowlist:' above the list"),
        ("~", " holds nothing: write 'allowlist:' above the list"),
        ("{}", ": the key 'allowlist' is missing: write 'allowlist:'"),
        (
            "allow_list: []",
            ", line 1: the key 'allow_list' is unknown: write 'allowlist'",
        ),
        (f"{EMPTY}cid: 5", ", line 2: the key 'cid' is unknown: there is allowlist"),
        (EMPTY * 2, ", line 2: the key 'allowlist' is there twice: leave one out"),
        ("? {}\n: 2", ", line 1: the key 'a mapping' is unknown: there is allowlist"),
        ("allowlist:\n", f", line 1: allowlist was nothing, {MUST_BE_A_LIST}"),
        ("allowlist: {}", f", line 1: allowlist was a mapping, {MUST_BE_A_LIST}"),
        ("allowlist: [a]", f", line 1: allowlist[0] was the string 'a': {WRITE_ENTRY}"),
        ("allowlist: &a [*a]", f", line 1: allowlist[0] was a list: {WRITE_ENTRY}"),
    ],
)
def test_a_file_of_another_shape_is_told_the_right_one(
    text: str, complaint: str
) -> None:
    assert complaint_about(text) == f"f.yaml{complaint}"


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{port: 1}", f" has no 'address': {WRITE_ENTRY}"),
        ("{address: a}", f" has no 'port': {WRITE_ENTRY}"),
        ("{adress: a, port: 1}", ": the key 'adress' is unknown: write 'address'"),
        ("{address: a, cid: 3}", ": the key 'cid' is unknown: there is address, port"),
        ("{port: 1, port: 2}", ": the key 'port' is there twice: leave one out"),
    ],
)
def test_an_entry_has_an_address_and_a_port(entry: str, complaint: str) -> None:
    assert complaint_about_entry(entry) == complaint


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("0", "the number '0'"),
        ("65536", "the number '65536'"),
        ("9" * 5000, f"the number '{'9' * 80}…'"),
        ("-1", "the number '-1'"),
        ("0443", "the number '0443'"),
        ("0x1bb", "the number '0x1bb'"),
        ("4e2", "the number '4e2'"),
        ("1_0", "the string '1_0'"),
        ("7:23", "the string '7:23'"),
        ("true", "the truth value 'true'"),
        ("[1]", "a list"),
        ("!x 1", "something of the type '!x'"),
        ("", "nothing"),
    ],
)
def test_a_port_is_a_plain_decimal_number(port: str, said: str) -> None:
    assert complaint_about_entry(f"{{address: a, port: {port}}}") == (
        f".port was {said}: write a number from 1 to 65535"
    )


@pytest.mark.parametrize("port", [1, 65535])
def test_a_port_at_the_edge_is_taken(port: int) -> None:
    policy = Allowlist.parse(f"allowlist: [{{address: a, port: {port}}}]")

    assert policy.rules[0].port == port


def test_a_port_in_quotes_is_told_to_leave_them_out() -> None:
    assert complaint_about_entry("{address: a, port: '443'}") == (
        ".port was the string '443': write 443 without quotes"
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [("1", "the number '1'"), ("127.1", "the number '127.1'"), ("{}", "a mapping")],
)
def test_an_address_is_a_string(address: str, said: str) -> None:
    assert complaint_about_entry(f"{{address: {address}, port: 1}}") == (
        f".address was {said}, must be a string: write a name, *.suffix, an IP address"
        " or a CIDR"
    )


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", "*", "*.", "a.*.b", "*.*.a", "*.1.2.3", "*.1.2.3.4", "*.::1"),
        *("10.0.1", "0x7f.1", "\uff11\uff12", "[::1]", "a:443", "a..", "-a", "a b"),
    ],
)
def test_what_is_no_address_is_told_the_forms_of_one(address: str) -> None:
    assert complaint_about_entry(f"{{address: '{address}', port: 1}}") == (
        f".address was {address!r}, which is no address: {WRITE_ADDRESS}"
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.0.0.1/8", " (10.0.0.1/8 has host bits set)"),
        (
            "10.0.0.0/33",
            " ('10.0.0.0/33' does not appear to be an IPv4 or IPv6 network)",
        ),
        ("a/8", " ('a/8' does not appear to be an IPv4 or IPv6 network)"),
        ("10.0.0.0/255.0.0.0", ""),
        ("10.0.0.0/", ""),
        ("http://a", ""),
    ],
)
def test_what_is_no_network_is_told_why(address: str, why: str) -> None:
    assert complaint_about_entry(f"{{address: '{address}', port: 1}}") == (
        f".address was {address!r}, which is no network{why}: {WRITE_ADDRESS}"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: {b: c", ", line 1, column 9 is not YAML: while parsing a flow mapping"),
        ("a: *b", ", line 1, column 4 is not YAML: found undefined alias 'b'"),
        ("\x00", " is not YAML: unacceptable character #x0000: special characters"),
        ('"\\UFFFFFFFF"', " is not YAML: an escape or a version is out of range: "),
        (f"%YAML 1.{'1' * 5000}\n---", " is not YAML: an escape or a version is out"),
        ("[" * 10_000, " is nested too deeply: write entries as '- {address: "),
    ],
)
def test_what_is_no_yaml_is_told_where_in_one_line(text: str, complaint: str) -> None:
    said = complaint_about(text)

    assert said.startswith(f"f.yaml{complaint}")
    assert said.endswith(f"write entries as '- {ENTRY}'")
    assert said.isprintable()


@pytest.mark.parametrize("address", ["no", "y", "1:2:3:4:5:6:7:8", "2001:db8::1"])
def test_scalars_are_those_of_yaml_1_2(address: str) -> None:
    policy = Allowlist.parse(f"allowlist:\n- address: {address}\n  port: 443\n")

    assert [rule.address for rule in policy.rules] == [address]


def test_only_the_first_document_counts() -> None:
    text = "allowlist: []\n---\nanything: else\n"

    assert Allowlist.parse(text).rules == ()


def test_an_alias_costs_nothing_and_may_stand_for_an_entry() -> None:
    text = "allowlist:\n- &a {address: a.example, port: 443}\n- *a\n"

    assert len(Allowlist.parse(text).rules) == 2


#: Near enough to the format that some of it is right.
nearly = st.lists(
    st.sampled_from(
        [
            *("allowlist:", "\n", "- ", "{", "}", "[", "]", ",", "address: ", "port: "),
            *("a.example", "10.0.0.0/8", "443", "&a ", "*a", "!!int ", "|", "'", '"'),
            *("<<: ", "%YAML 1.1\n", "---", "? ", "\t", "\\", "#", "*.", "/", ":", " "),
        ]
    ),
    max_size=30,
).map("".join)


@given(nearly | st.text())
def test_any_text_is_read_or_complained_about_in_one_line(text: str) -> None:
    with contextlib.suppress(ConfigError):
        Allowlist.parse(text)
        return

    assert complaint_about(text).isprintable()

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro.kms import KmsError
from trionitro.kms._answers import Answer, parse_answer_untrusted


def refusal(body: object, status: int = 400, **headers: str) -> KmsError:
    with pytest.raises(KmsError) as caught:
        parse_answer_untrusted(
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
            body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"__type": "NotFoundException", "message": "no"}, "NotFoundException", "no"),
        ({"__type": "com.amazonaws.kms#X", "Message": "no"}, "X", "no"),
        ({"__type": "X:http://internal/y", "message": "a\n b"}, "X", "a b"),
        ({"__type": "com.amazonaws.kms#X:http://i/y"}, "X", ""),
        ({"__type": "<script>"}, "Http400", ""),
        ({"__type": 7, "message": ["x"]}, "Http400", ""),
        (b"<html>", "Http400", ""),
        (b"", "Http400", ""),
        ([], "Http400", ""),
    ],
)
def test_errors_are_read_in_all_their_forms(
    body: object, code: str, message: str
) -> None:
    error = refusal(body)

    assert (error.code, error.message) == (code, message)


def test_an_error_says_code_message_and_request() -> None:
    error = refusal({"__type": "X", "message": "no"}, x_amzn_requestid="1-2-3")

    assert str(error) == "X: no (request 1-2-3)"


def test_an_error_is_one_line_whatever_the_answer_says() -> None:
    error = refusal(
        {"__type": "X", "message": "a\n\x1b[31mb" + "c" * 9999}, x_amzn_requestid="a b"
    )

    assert str(error).isprintable()
    assert len(str(error)) < 2100
    assert error.request_id is None


def test_an_error_without_a_message_says_so() -> None:
    assert str(KmsError("X", "")) == "X: KMS gives no reason"


def test_a_denial_shows_the_pcrs_that_are_set() -> None:
    error = KmsError("AccessDeniedException", "no", pcrs={0: b"\1" * 48, 3: bytes(48)})

    assert str(error).endswith(f"attested were PCR0={'01' * 48}")


def test_a_denial_of_a_debug_enclave_says_that_it_is_one() -> None:
    error = KmsError("AccessDeniedException", "no", pcrs={0: bytes(48), 4: b"x" * 48})

    assert "debug mode" in str(error)


def test_members_are_read_as_what_they_must_be() -> None:
    answer = parse_answer_untrusted(
        200, {}, b'{"a": "text", "b": "AAE=", "c": true, "d": {"e": "f"}, "g": null}'
    )

    assert answer.text("a") == "text"
    assert answer.blob("b") == b"\0\1"
    assert answer.flag("c")
    assert answer.inner("d").text("e") == "f"
    assert not answer.has("g")
    assert "text" not in repr(answer)


@pytest.mark.parametrize("name", ["missing", "a"])
def test_members_that_are_something_else_are_a_protocol_error(name: str) -> None:
    answer = Answer({"a": 7, "blob": "not base64"})

    for read in (answer.text, answer.blob, answer.flag, answer.inner):
        with pytest.raises(ProtocolError, match=name):
            read(name)
    with pytest.raises(ProtocolError, match="base64"):
        answer.blob("blob")


@given(st.sampled_from([200, 400, 500]), st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_answer_or_an_error_of_ours(status: int, body: bytes) -> None:
    with contextlib.suppress(KmsError, ProtocolError):
        assert isinstance(parse_answer_untrusted(status, {}, body), Answer)


def test_json_that_is_too_deep_is_an_error_of_ours() -> None:
    with pytest.raises(ProtocolError):
        parse_answer_untrusted(200, {}, b"[" * 500_000)

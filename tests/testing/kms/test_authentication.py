from __future__ import annotations

import datetime as dt

import attrs
import pytest

from tests.testing.kms.worlds import NOW, ROLE, World, read_answer, signed
from trionitro._http_server import HttpRequest
from trionitro.testing._kms._faults import KmsFault


async def refusal(world: World, request: HttpRequest) -> KmsFault:
    with pytest.raises(KmsFault) as caught:
        read_answer(await world.respond(request))
    return caught.value


def list_keys(world: World, at: dt.datetime = NOW) -> HttpRequest:
    return signed("ListKeys", {}, world.admin, at)


def with_header(request: HttpRequest, name: str, value: str | None) -> HttpRequest:
    headers = {key: text for key, text in request.headers.items() if key != name}
    if value is not None:
        headers[name] = value
    return attrs.evolve(request, headers=headers)


async def test_a_good_signature_is_taken(world: World) -> None:
    assert read_answer(await world.respond(list_keys(world)))["Keys"] == []


@pytest.mark.parametrize("seconds", [-300, 0, 300])
async def test_the_clock_may_be_five_minutes_off(world: World, seconds: int) -> None:
    await world.ask("ListKeys", at=NOW + dt.timedelta(seconds=seconds))


async def test_six_minutes_late_is_told_as_aws_tells_it(world: World) -> None:
    late = list_keys(world, NOW - dt.timedelta(minutes=6))

    fault = await refusal(world, late)

    assert (fault.code, fault.status) == ("InvalidSignatureException", 400)
    assert fault.message == (
        "Signature expired: 20260301T115400Z is now earlier than 20260301T115500Z"
        " (20260301T120000Z - 5 min.)"
    )


async def test_six_minutes_early_too(world: World) -> None:
    fault = await refusal(world, list_keys(world, NOW + dt.timedelta(minutes=6)))

    assert fault.message == (
        "Signature not yet current: 20260301T120600Z is still later than"
        " 20260301T120500Z (20260301T120000Z + 5 min.)"
    )


async def test_a_request_without_a_signature(world: World) -> None:
    request = with_header(list_keys(world), "authorization", None)

    fault = await refusal(world, request)

    assert fault.code == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("authorization", "Basic eDp5"),
        ("x-amz-date", "yesterday"),
        ("x-amz-date", None),
    ],
)
async def test_a_signature_that_is_none(
    world: World, header: str, value: str | None
) -> None:
    fault = await refusal(world, with_header(list_keys(world), header, value))

    assert fault.code == "IncompleteSignatureException"


async def test_an_unknown_access_key(world: World) -> None:
    stranger = attrs.evolve(world.admin, access_key_id="AKIAEXAMPLE")

    fault = await refusal(world, signed("ListKeys", {}, stranger, NOW))

    assert fault.code == "UnrecognizedClientException"
    assert fault.message == "The security token included in the request is invalid."


async def test_a_wrong_secret(world: World) -> None:
    forger = attrs.evolve(world.admin, secret_access_key="guessed")

    fault = await refusal(world, signed("ListKeys", {}, forger, NOW))

    assert fault.code == "InvalidSignatureException"
    assert "does not match the signature you provided" in fault.message


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-amz-target", "TrentService.ListAliases"),
        ("host", "kms.eu-west-1.amazonaws.com"),
        ("content-type", "text/plain"),
        ("x-amz-date", "20260301T120001Z"),
        ("x-amz-content-sha256", "0" * 64),
    ],
)
async def test_a_header_that_was_changed_on_the_way(
    world: World, header: str, value: str
) -> None:
    fault = await refusal(world, with_header(list_keys(world), header, value))

    assert fault.code == "InvalidSignatureException"


async def test_a_body_that_was_changed_on_the_way(world: World) -> None:
    request = attrs.evolve(list_keys(world), body=b'{"Limit": 1}')

    assert (await refusal(world, request)).code == "InvalidSignatureException"


async def test_a_signature_must_cover_what_is_asked(world: World) -> None:
    request = list_keys(world)
    less = request.headers["authorization"].replace(";x-amz-target", "")

    fault = await refusal(world, with_header(request, "authorization", less))

    assert "'x-amz-target' must be a 'SignedHeader'" in fault.message


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"region": "eu-west-1"}, "valid region, not 'eu-west-1'"),
        ({"service": "s3"}, "correct service: 'kms'"),
    ],
)
async def test_a_signature_for_something_else(
    world: World, scope: dict[str, str], words: str
) -> None:
    request = signed("ListKeys", {}, world.admin, NOW, **scope)

    assert words in (await refusal(world, request)).message


async def test_a_signature_for_another_day(world: World) -> None:
    request = with_header(list_keys(world), "x-amz-date", "20260302T000000Z")

    assert "'20260301' != '20260302'" in (await refusal(world, request)).message


async def test_temporary_credentials_work_until_they_expire(world: World) -> None:
    session = world.kms.issue_credentials(ROLE, lifetime=dt.timedelta(hours=1))
    await world.ask("ListKeys", by=session)
    world.clock.time += dt.timedelta(hours=1)

    fault = await refusal(world, signed("ListKeys", {}, session, world.clock.time))

    assert fault.code == "ExpiredTokenException"
    assert fault.message == "The security token included in the request is expired"


@pytest.mark.parametrize("token", [None, "another"])
async def test_temporary_credentials_need_their_own_token(
    world: World, token: str | None
) -> None:
    session = world.kms.issue_credentials(ROLE, lifetime=dt.timedelta(hours=1))
    wrong = attrs.evolve(session, session_token=token)

    fault = await refusal(world, signed("ListKeys", {}, wrong, NOW))

    assert fault.code == "UnrecognizedClientException"


async def test_no_secret_is_in_any_answer_event_or_repr(world: World) -> None:
    session = world.kms.issue_credentials(ROLE, lifetime=dt.timedelta(hours=1))
    wrong = attrs.evolve(session, secret_access_key="another")
    response = await world.respond(signed("ListKeys", {}, wrong, NOW))

    said = f"{response.body!r} {response.headers} {world.kms} {world.kms.events}"

    assert session.secret_access_key not in said
    assert session.session_token is not None
    assert session.session_token not in said

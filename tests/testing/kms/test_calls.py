"""Who may: key policies and the account's own, together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.testing.kms.worlds import ADMIN, NOW, ROLE, World, signed
from trionitro._http_server import HttpRequest
from trionitro.testing._kms._faults import KmsFault

NOTHING: dict[str, Any] = {
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
}
DENY: dict[str, Any] = {
    "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]
}


def allowing(principal: str, **condition: Any) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "kms:*",
        "Resource": "*",
    }
    return {"Statement": [statement | condition]}


async def described(
    world: World, policy: dict[str, Any], who: str, identity: dict[str, Any] | None
) -> str:
    """Describe a key under two policies; return "" or why not."""
    key = world.kms.add_key(policy)
    by = world.kms.issue_credentials(who, identity_policy=identity)
    try:
        await world.ask("DescribeKey", by=by, KeyId=key)
    except KmsFault as fault:
        assert fault.code == "AccessDeniedException"  # noqa: PT017  a helper
        return fault.message
    return ""


@pytest.mark.parametrize(
    ("principal", "identity", "reason"),
    [
        (ROLE, None, ""),
        (ROLE, NOTHING, ""),
        (ROLE, DENY, "explicit deny in an identity-based policy"),
        ("arn:aws:iam::111122223333:root", None, ""),
        ("arn:aws:iam::111122223333:root", NOTHING, "no identity-based policy allows"),
        (ADMIN, None, "no resource-based policy allows"),
    ],
)
async def test_a_key_policy_names_the_caller_or_leaves_it_to_the_account(
    world: World, principal: str, identity: dict[str, Any] | None, reason: str
) -> None:
    said = await described(world, allowing(principal), ROLE, identity)

    assert reason in said
    assert bool(said) is bool(reason)


async def test_a_foreign_account_needs_both_policies(world: World) -> None:
    foreign = "arn:aws:iam::444455556666:role/enclave"

    assert not await described(world, allowing(foreign), foreign, None)
    said = await described(world, allowing(foreign), foreign, NOTHING)
    assert "no identity-based policy allows" in said


async def test_a_key_policy_denies_with_its_own_words(world: World) -> None:
    policy = allowing("*")
    policy["Statement"].append({**policy["Statement"][0], "Effect": "Deny"})

    said = await described(world, policy, ROLE, None)

    assert said.endswith("with an explicit deny in a resource-based policy")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kms:CallerAccount", "111122223333"),
        ("kms:KeySpec", "SYMMETRIC_DEFAULT"),
        ("kms:KeyUsage", "ENCRYPT_DECRYPT"),
        ("kms:KeyOrigin", "AWS_KMS"),
        ("kms:MultiRegion", "false"),
        ("aws:PrincipalArn", ROLE),
        ("aws:PrincipalAccount", "111122223333"),
        ("aws:SecureTransport", "true"),
        ("aws:CurrentTime", "2026-03-01T12:00:00Z"),
        ("aws:EpochTime", "1772366400"),
    ],
)
async def test_condition_keys_of_every_request(
    world: World, key: str, value: str
) -> None:
    right = allowing(ROLE, Condition={"StringEquals": {key: value}})
    wrong = allowing(ROLE, Condition={"StringEquals": {key: f"{value}0"}})

    assert not await described(world, right, ROLE, None)
    assert await described(world, wrong, ROLE, None)


@pytest.mark.parametrize("key", ["kms:RequestAlias", "kms:ResourceAliases"])
async def test_a_key_may_be_for_who_calls_it_by_its_alias(
    world: World, key: str
) -> None:
    operator = f"{'ForAnyValue:' if key.endswith('es') else ''}StringEquals"
    policy = allowing(ROLE, Condition={operator: {key: "alias/app"}})
    world.kms.add_key(policy, aliases=["alias/app"])

    await world.ask("DescribeKey", by=world.enclave, KeyId="alias/app")


def with_target(world: World, target: str) -> HttpRequest:
    request = signed("ListKeys", {}, world.admin, NOW)
    request.headers["x-amz-target"] = target
    return request


@pytest.mark.parametrize(
    "target", ["", "TrentService.Nothing", "ListKeys", "TrentService.TagResource"]
)
async def test_an_operation_that_is_not_known(world: World, target: str) -> None:
    response = await world.respond(with_target(world, target))

    assert json.loads(response.body) == {"__type": "UnknownOperationException"}
    assert response.status == 400


async def test_answers_have_what_clients_look_for(world: World) -> None:
    response = await world.respond(signed("ListKeys", {}, world.admin, NOW))

    assert response.content_type == "application/x-amz-json-1.1"
    assert response.headers["Date"] == "Sun, 01 Mar 2026 12:00:00 GMT"
    assert response.headers["x-amzn-RequestId"] == world.kms.events[-1].request_id


async def test_access_denied_alone_writes_its_message_with_a_capital(
    world: World,
) -> None:
    key = world.kms.add_key(allowing(ADMIN))
    denied = signed("DescribeKey", {"KeyId": key}, world.enclave, NOW)
    missing = signed("DescribeKey", {"KeyId": "x"}, world.enclave, NOW)

    one = json.loads((await world.respond(denied)).body)
    two = json.loads((await world.respond(missing)).body)

    assert one.keys() == {"__type", "Message"}
    assert two.keys() == {"__type", "message"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 10_000, b'{"KeyId": "\\ud800"}']
)
async def test_a_body_that_is_nonsense_is_refused(world: World, body: bytes) -> None:
    response = await world.respond(signed("DescribeKey", body, world.admin, NOW))

    assert response.status == 400


async def test_what_happened_is_told_as_a_trail(world: World) -> None:
    key = world.kms.add_key(allowing(ADMIN))
    await world.ask("DescribeKey", KeyId=key)
    with pytest.raises(KmsFault):
        await world.ask("DescribeKey", by=world.enclave, KeyId=key)

    one, two = world.kms.events

    assert (one.operation, one.caller, one.key_arn) == ("DescribeKey", ADMIN, key)
    assert one.code is None
    assert (two.caller, two.code) == (ROLE, "AccessDeniedException")


async def test_failures_can_be_asked_for(world: World) -> None:
    world.kms.fail_next("KMSInternalException", "broken", status=500, times=2)

    for _ in range(2):
        with pytest.raises(KmsFault) as caught:
            await world.ask("ListKeys")
        assert (caught.value.code, caught.value.status) == ("KMSInternalException", 500)
    await world.ask("ListKeys")

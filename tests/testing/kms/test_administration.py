from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from tests.testing.kms.worlds import ACCOUNT, ADMIN, ROLE, World, key_policy
from trionitro.testing._kms._faults import KmsFault


async def refusal(world: World, operation: str, **members: Any) -> KmsFault:
    with pytest.raises(KmsFault) as caught:
        await world.ask(operation, **members)
    return caught.value


async def test_a_key_is_made_described_and_listed(world: World) -> None:
    made = await world.ask("CreateKey", Description="for tests")
    metadata = made["KeyMetadata"]

    described = await world.ask("DescribeKey", KeyId=metadata["KeyId"])
    listed = await world.ask("ListKeys")

    assert described["KeyMetadata"] == metadata
    assert metadata["Description"] == "for tests"
    assert metadata["KeyState"] == "Enabled"
    assert metadata["EncryptionAlgorithms"] == ["SYMMETRIC_DEFAULT"]
    assert listed["Keys"] == [
        {"KeyId": metadata["KeyId"], "KeyArn": metadata["Arn"]},
    ]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"KeySpec": "RSA_2048"}, "ValidationException"),
        ({"KeySpec": "ECC_SECG_P256K1", "KeyUsage": "KEY_AGREEMENT"}, "Validation"),
        ({"KeySpec": "HMAC_256"}, "UnsupportedOperationException"),
        ({"Origin": "EXTERNAL"}, "UnsupportedOperationException"),
        ({"MultiRegion": True}, "UnsupportedOperationException"),
        ({"Policy": "{"}, "MalformedPolicyDocumentException"),
    ],
)
async def test_keys_that_can_t_be_made(
    world: World, members: dict[str, Any], code: str
) -> None:
    assert (await refusal(world, "CreateKey", **members)).code.startswith(code)
    assert (await world.ask("ListKeys"))["Keys"] == []


async def test_a_pair_is_made_for_one_use(world: World) -> None:
    made = await world.ask("CreateKey", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")

    metadata = made["KeyMetadata"]
    assert metadata["EncryptionAlgorithms"][0] == "RSAES_OAEP_SHA_1"
    assert metadata["KeySpec"] == metadata["CustomerMasterKeySpec"] == "RSA_2048"


async def test_keys_are_found_by_all_their_names(world: World) -> None:
    arn = world.kms.add_key()
    await world.ask("CreateAlias", AliasName="alias/app", TargetKeyId=arn)
    key_id = arn.rpartition("/")[2]

    for name in (
        *(arn, key_id, "alias/app"),
        f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/app",
    ):
        found = await world.ask("DescribeKey", KeyId=name)
        assert found["KeyMetadata"]["Arn"] == arn


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "alias/none",
            f"Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/none is not found",
        ),
        ("1234", f"Key 'arn:aws:kms:us-east-1:{ACCOUNT}:key/1234' does not exist"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234", "Invalid arn eu-west-1"),
        ("arn:aws:kms", "Invalid arn"),
        ("no key!", "Invalid keyId 'no key!'"),
    ],
)
async def test_keys_that_are_not_there(world: World, name: str, words: str) -> None:
    fault = await refusal(world, "DescribeKey", KeyId=name)

    assert fault.code == "NotFoundException"
    assert words in fault.message


async def test_aliases_are_listed_taken_once_and_deleted(world: World) -> None:
    one, two = world.kms.add_key(), world.kms.add_key()
    await world.ask("CreateAlias", AliasName="alias/b", TargetKeyId=one)
    await world.ask("CreateAlias", AliasName="alias/a", TargetKeyId=two)

    twice = await refusal(world, "CreateAlias", AliasName="alias/a", TargetKeyId=one)
    all_of_them = (await world.ask("ListAliases"))["Aliases"]
    of_one = (await world.ask("ListAliases", KeyId=one))["Aliases"]
    await world.ask("DeleteAlias", AliasName="alias/b")

    assert twice.code == "AlreadyExistsException"
    assert [each["AliasName"] for each in all_of_them] == ["alias/a", "alias/b"]
    assert [each["AliasName"] for each in of_one] == ["alias/b"]
    gone = await refusal(world, "DescribeKey", KeyId="alias/b")
    assert gone.code == "NotFoundException"


@pytest.mark.parametrize("name", ["app", "alias/aws/s3", "alias/"])
async def test_names_that_are_no_alias(world: World, name: str) -> None:
    key = world.kms.add_key()

    fault = await refusal(world, "CreateAlias", AliasName=name, TargetKeyId=key)

    assert fault.code == "ValidationException"


async def test_a_policy_is_put_and_got(world: World) -> None:
    key = world.kms.add_key()
    text = json.dumps(key_policy())

    await world.ask("PutKeyPolicy", KeyId=key, PolicyName="default", Policy=text)

    got = await world.ask("GetKeyPolicy", KeyId=key)
    assert got == {"Policy": text, "PolicyName": "default"}
    fault = await refusal(world, "GetKeyPolicy", KeyId=key, PolicyName="other")
    assert fault.code == "NotFoundException"


async def test_nobody_locks_himself_out_unless_he_insists(world: World) -> None:
    key = world.kms.add_key()
    policy = key_policy()
    policy["Statement"][0]["Principal"] = {"AWS": ROLE}
    text = json.dumps(policy)

    fault = await refusal(world, "PutKeyPolicy", KeyId=key, Policy=text)
    await world.ask(
        "PutKeyPolicy", KeyId=key, Policy=text, BypassPolicyLockoutSafetyCheck=True
    )

    assert fault.code == "MalformedPolicyDocumentException"
    assert fault.message == (
        "The new key policy will not allow you to update the key policy in the future."
    )
    locked = await refusal(world, "GetKeyPolicy", KeyId=key)
    assert locked.code == "AccessDeniedException"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Effect": "allow"}, "Effect"),
        ({"Condition": {"StringEqual": {"a:b": "c"}}}, "StringEqual"),
        ({"Principal": None}, "needs a Principal"),
    ],
)
async def test_a_policy_that_is_none_is_refused_with_the_place(
    world: World, change: dict[str, Any], words: str
) -> None:
    policy = key_policy()
    policy["Statement"][1] |= change
    if policy["Statement"][1]["Principal"] is None:
        del policy["Statement"][1]["Principal"]

    fault = await refusal(
        world, "PutKeyPolicy", KeyId=world.kms.add_key(), Policy=json.dumps(policy)
    )

    assert fault.code == "MalformedPolicyDocumentException"
    assert "Statement[1] 'Enclave'" in fault.message
    assert words in fault.message


async def test_a_key_is_disabled_and_enabled(world: World) -> None:
    key = world.kms.add_key()

    await world.ask("DisableKey", KeyId=key)
    disabled = await world.ask("DescribeKey", KeyId=key)
    await world.ask("EnableKey", KeyId=key)
    enabled = await world.ask("DescribeKey", KeyId=key)

    assert disabled["KeyMetadata"]["KeyState"] == "Disabled"
    assert disabled["KeyMetadata"]["Enabled"] is False
    assert enabled["KeyMetadata"]["KeyState"] == "Enabled"


async def test_a_deletion_can_be_called_off_until_its_day(world: World) -> None:
    key = world.kms.add_key(aliases=["alias/app"])

    due = await world.ask("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    again = await refusal(world, "ScheduleKeyDeletion", KeyId=key)
    enabled = await refusal(world, "EnableKey", KeyId=key)
    await world.ask("CancelKeyDeletion", KeyId=key)
    disabled = await world.ask("DescribeKey", KeyId=key)
    not_pending = await refusal(world, "CancelKeyDeletion", KeyId=key)
    await world.ask("ScheduleKeyDeletion", KeyId=key)
    world.clock.time += dt.timedelta(days=30)
    gone = await refusal(world, "DescribeKey", KeyId="alias/app")

    week = (world.clock.time - dt.timedelta(days=23)).timestamp()
    assert (due["KeyState"], due["DeletionDate"]) == ("PendingDeletion", week)
    for fault in (again, enabled):
        assert fault.code == "KMSInvalidStateException"
        assert "is pending deletion" in fault.message
    assert disabled["KeyMetadata"]["KeyState"] == "Disabled"
    assert "is not pending deletion" in not_pending.message
    assert gone.code == "NotFoundException"
    assert (await world.ask("ListKeys"))["Keys"] == []


async def test_long_lists_come_in_pages(world: World) -> None:
    keys = [world.kms.add_key() for _ in range(5)]

    found: list[str] = []
    marker: dict[str, Any] = {}
    while True:
        page = await world.ask("ListKeys", Limit=2, **marker)
        found += [each["KeyArn"] for each in page["Keys"]]
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}

    assert found == keys
    fault = await refusal(world, "ListKeys", Marker="x")
    assert fault.code == "InvalidMarkerException"


async def test_what_has_no_key_is_for_the_account_to_allow(world: World) -> None:
    limited = world.kms.issue_credentials(
        ADMIN,
        identity_policy={
            "Statement": [
                {"Effect": "Allow", "Action": "kms:List*", "Resource": "*"},
                {"Effect": "Deny", "Action": "kms:ListAliases", "Resource": "*"},
            ]
        },
    )

    await world.ask("ListKeys", by=limited)
    silent = await refusal(world, "CreateKey", by=limited)
    denied = await refusal(world, "ListAliases", by=limited)

    assert silent.message == (
        f"User: {ADMIN} is not authorized to perform: kms:CreateKey on resource: *"
        " because no identity-based policy allows the kms:CreateKey action"
    )
    assert "with an explicit deny in an identity-based policy" in denied.message

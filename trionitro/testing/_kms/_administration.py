"""The operations that manage keys, from their creation to their deletion."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final

from trionitro._exceptions import ConfigError
from trionitro.kms._policy import Policy, parse_policy
from trionitro.kms._policy_decision import Effect, judge
from trionitro.testing._kms._calls import Call
from trionitro.testing._kms._faults import (
    KmsFault,
    not_found,
    unsupported,
    validation,
    wrong_state,
)
from trionitro.testing._kms._keys import Key, KeyState, default_policy
from trionitro.testing._kms._specs import SYMMETRIC, check_usage, generate_material

__all__ = [
    "cancel_key_deletion",
    "create_alias",
    "create_key",
    "delete_alias",
    "describe_key",
    "disable_key",
    "enable_key",
    "get_key_policy",
    "list_aliases",
    "list_keys",
    "put_key_policy",
    "schedule_key_deletion",
]

#: Of waiting, unless the request says otherwise.
_WINDOW_DAYS: Final = 30

_DEFAULT_LIMIT: Final = 100


async def create_key(call: Call) -> dict[str, Any]:
    """``CreateKey``."""
    call.authorize_without_key()
    if call.input.get("Origin", "AWS_KMS") != "AWS_KMS":
        raise unsupported(f"a key of origin {call.input['Origin']}")
    if call.input.get("MultiRegion"):
        raise unsupported("a multi-Region key")
    old_name = call.input.get("CustomerMasterKeySpec", SYMMETRIC)
    spec = call.input.get("KeySpec", old_name)
    usage = check_usage(spec, call.input.get("KeyUsage"))
    store = call.store
    policy = call.input.get("Policy")
    if policy is None:
        policy = json.dumps(default_policy(store.partition, store.account), indent=2)
    _check_policy(call, policy, store.arn("key/*"))
    key = store.add(
        await generate_material(spec),
        spec=spec,
        usage=usage,
        policy=policy,
        description=call.input.get("Description", ""),
    )
    call.key_arn = key.arn
    return {"KeyMetadata": key.metadata()}


async def describe_key(call: Call) -> dict[str, Any]:
    """``DescribeKey``."""
    return {"KeyMetadata": _permitted(call).metadata()}


async def list_keys(call: Call) -> dict[str, Any]:
    """``ListKeys``."""
    call.authorize_without_key()
    keys = [{"KeyId": key.key_id, "KeyArn": key.arn} for key in call.store.all()]
    return _page(call, "Keys", keys)


async def get_key_policy(call: Call) -> dict[str, Any]:
    """``GetKeyPolicy``."""
    key = _permitted(call)
    _check_policy_name(call)
    return {"Policy": key.policy_text, "PolicyName": "default"}


async def put_key_policy(call: Call) -> dict[str, Any]:
    """``PutKeyPolicy``; it won't lock the caller out unless he says that it may."""
    key = _permitted(call)
    _check_policy_name(call)
    _check_policy(call, call.input["Policy"], key.arn)
    key.policy_text = call.input["Policy"]
    return {}


async def enable_key(call: Call) -> dict[str, Any]:
    """``EnableKey``."""
    _not_pending(_permitted(call)).state = KeyState.ENABLED
    return {}


async def disable_key(call: Call) -> dict[str, Any]:
    """``DisableKey``."""
    _not_pending(_permitted(call)).state = KeyState.DISABLED
    return {}


async def schedule_key_deletion(call: Call) -> dict[str, Any]:
    """``ScheduleKeyDeletion``."""
    key = _not_pending(_permitted(call))
    days = call.input.get("PendingWindowInDays", _WINDOW_DAYS)
    key.state = KeyState.PENDING_DELETION
    key.deletion = call.store.clock() + dt.timedelta(days=days)
    return {
        "KeyId": key.arn,
        "DeletionDate": key.deletion.timestamp(),
        "KeyState": key.state.value,
        "PendingWindowInDays": days,
    }


async def cancel_key_deletion(call: Call) -> dict[str, Any]:
    """``CancelKeyDeletion``: the key is disabled afterwards."""
    key = _permitted(call)
    if key.state is not KeyState.PENDING_DELETION:
        raise wrong_state(f"{key.arn} is not pending deletion.")
    key.state, key.deletion = KeyState.DISABLED, None
    return {"KeyId": key.arn}


async def create_alias(call: Call) -> dict[str, Any]:
    """``CreateAlias``."""
    name = call.input["AliasName"]
    call.authorize_without_key(call.store.arn(name))
    key = call.store.find(call.input["TargetKeyId"])
    call.authorize(key)
    if name in call.store.aliases:
        raise KmsFault(
            "AlreadyExistsException",
            f"An alias with the name {call.store.arn(name)} already exists",
        )
    try:
        call.store.name(key, name)
    except ConfigError as problem:
        raise validation(str(problem)) from None
    return {}


async def delete_alias(call: Call) -> dict[str, Any]:
    """``DeleteAlias``."""
    name = call.input["AliasName"]
    call.authorize_without_key(call.store.arn(name))
    call.authorize(call.store.find(name))
    del call.store.aliases[name]
    return {}


async def list_aliases(call: Call) -> dict[str, Any]:
    """``ListAliases``."""
    call.authorize_without_key()
    wanted = call.input.get("KeyId")
    key = None if wanted is None else call.store.find(wanted)
    aliases = [
        {"AliasName": name, "AliasArn": call.store.arn(name), "TargetKeyId": target}
        for name, target in sorted(call.store.aliases.items())
        if key is None or target == key.key_id
    ]
    return _page(call, "Aliases", aliases)


def _permitted(call: Call) -> Key:
    key = call.store.find(call.input["KeyId"])
    bypass = call.input.get("BypassPolicyLockoutSafetyCheck", False)
    call.authorize(
        key, {"kms:BypassPolicyLockoutSafetyCheck": str(bool(bypass)).lower()}
    )
    return key


def _not_pending(key: Key) -> Key:
    if key.state is KeyState.PENDING_DELETION:
        raise wrong_state(f"{key.arn} is pending deletion.")
    return key


def _check_policy_name(call: Call) -> None:
    if call.input.get("PolicyName", "default") != "default":
        raise not_found("No such policy exists")


def _check_policy(call: Call, text: str, key_arn: str) -> None:
    try:
        policy = parse_policy(text, source="the key policy")
    except ConfigError as problem:
        raise _malformed(str(problem)) from None
    for statement in policy.statements:
        if statement.principals is None:
            raise _malformed(f"{statement.place}: a key policy needs a Principal")
    bypass = call.input.get("BypassPolicyLockoutSafetyCheck")
    if not bypass and not _lets_back_in(call, policy, key_arn):
        raise _malformed(
            "The new key policy will not allow you to update the key policy in the"
            " future."
        )


def _lets_back_in(call: Call, policy: Policy, key_arn: str) -> bool:
    verdict = judge(policy, call.policy_request("PutKeyPolicy", key_arn))
    return verdict.effect in (Effect.ALLOWED, Effect.DELEGATED)


def _malformed(message: str) -> KmsFault:
    return KmsFault("MalformedPolicyDocumentException", message)


def _page(call: Call, member: str, entries: list[dict[str, str]]) -> dict[str, Any]:
    """Return some of the entries, and where to go on: the marker is a number."""
    marker = call.input.get("Marker", "0")
    if not (marker.isascii() and marker.isdigit() and len(marker) <= 9):
        raise KmsFault("InvalidMarkerException", "Could not deserialize marker.")
    start = int(marker)
    end = start + call.input.get("Limit", _DEFAULT_LIMIT)
    if end >= len(entries):
        return {member: entries[start:], "Truncated": False}
    return {member: entries[start:end], "Truncated": True, "NextMarker": str(end)}

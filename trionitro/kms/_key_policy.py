"""Key policies under which only an enclave gets at what a key protects.

Source: "Condition keys for AWS Nitro Enclaves" of the KMS Developer Guide. A
condition on ``kms:RecipientAttestation:…`` holds only for a request with an
attestation document whose PCR has that value.

"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from trionitro._exceptions import ConfigError
from trionitro.kms._arn import Principal, parse_principal
from trionitro.kms._recipient_keys import PREFIX
from trionitro.nsm import PCR_COUNT, PCR_SIZE

__all__ = ["KeyPolicy", "PcrValue", "enclave_key_policy"]

#: A PCR's 48 bytes, or as 96 hexadecimal digits.
PcrValue = bytes | str

#: Looking after a key without getting at what it protects, nor at who may.
_ADMINISTRATION: Final = (
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListResourceTags",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
)

#: What takes an attestation and a key. (GenerateRandom takes no key: IAM allows it.)
_ATTESTED: Final = (
    "kms:Decrypt",
    "kms:DeriveSharedSecret",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
)

_LOCKED_OUT: Final = (
    "nobody may change this policy: once no enclave with these PCRs can be built any"
    " more, what the key protects is lost, and AWS can't help. KMS takes such a policy"
    " only with BypassPolicyLockoutSafetyCheck"
)

_POWERFUL: Final = "may change this policy, and so let anybody decrypt"


@attrs.frozen
class KeyPolicy:
    """A key policy, and what to know before it is put in force.

    ``str()`` of it is the JSON that KMS takes.

    Attributes:
      statements: as JSON has them.
      notes: dangers and guesses, one line each.
      locks_out: whether nobody may ever change it.

    """

    statements: Sequence[Mapping[str, Any]]
    notes: tuple[str, ...]
    locks_out: bool

    def __str__(self) -> str:
        return json.dumps(
            {"Version": "2012-10-17", "Statement": list(self.statements)}, indent=2
        )


def enclave_key_policy(
    *,
    administrators: Sequence[str],
    principal: str,
    pcrs: Mapping[int, PcrValue | Sequence[PcrValue]] | None = None,
    image_sha384: PcrValue | Sequence[PcrValue] | None = None,
    policy_administrators: Sequence[str] = (),
    encrypters: Sequence[str] = (),
    allow_debug: bool = False,
) -> KeyPolicy:
    """Write the policy of a key that only an enclave can decrypt with.

    The danger of it: whoever is in ``policy_administrators`` can replace the policy
    by one that lets himself decrypt; and if nobody is, then nobody can ever let in
    another image, and all is lost with the last one that fits. The notes of what is
    returned say which of the two it is.

    Args:
      administrators: ARNs of those who may look after the key: describe, disable
          and delete it, but neither use it nor change its policy.
      principal: ARN of the role whose credentials the enclave signs with; that of an
          STS session counts as its role's.
      pcrs: what each PCR must be; several values are alternatives.
      image_sha384: the same for PCR0, under the name that KMS has for it.
      policy_administrators: ARNs of those who may change the policy.
      encrypters: ARNs of those who may encrypt for the enclave, without attestation.
      allow_debug: take PCRs of zeros, which every enclave in debug mode has.

    Raises:
      ConfigError: if an ARN or a value can't be, or no PCR is asked for at all.

    """
    conditions = _conditions(pcrs or {}, image_sha384, allow_debug=allow_debug)
    if not conditions:
        raise ConfigError(
            "a policy without a PCR lets any enclave in, and the parent too: give pcrs"
            " or image_sha384"
        )
    attested = _statement("UseInEnclave", _ATTESTED, [parse_principal(principal)])
    attested["Condition"] = {"StringEqualsIgnoreCase": conditions}
    managing = _principals(policy_administrators)
    groups = [
        ("Administer", _ADMINISTRATION, _principals(administrators) or managing),
        ("ChangePolicy", ("kms:PutKeyPolicy", "kms:GetKeyPolicy"), managing),
        ("Encrypt", ("kms:Encrypt", "kms:DescribeKey"), _principals(encrypters)),
    ]
    if not groups[0][2]:
        raise ConfigError(
            "a policy without an administrator leaves a key that nobody can delete:"
            " give administrators"
        )
    named = {parse_principal(principal), *(who for group in groups for who in group[2])}
    return KeyPolicy(
        [*(_statement(*group) for group in groups if group[2]), attested],
        tuple(sorted(who.note for who in named if who.note)) + _dangers(managing),
        locks_out=not managing,
    )


def _dangers(managing: Sequence[Principal]) -> tuple[str, ...]:
    if not managing:
        return (_LOCKED_OUT,)
    return tuple(f"{who.arn} {_POWERFUL}" for who in managing)


def _principals(arns: Sequence[str]) -> list[Principal]:
    if isinstance(arns, str):
        raise ConfigError(f"{arns!r} must be a list of ARNs")
    return [parse_principal(arn) for arn in arns]


def _statement(
    sid: str, actions: Iterable[str], principals: Sequence[Principal]
) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": [who.arn for who in principals]},
        "Action": list(actions),
        "Resource": "*",
    }


def _conditions(
    pcrs: Mapping[int, PcrValue | Sequence[PcrValue]],
    image_sha384: PcrValue | Sequence[PcrValue] | None,
    *,
    allow_debug: bool,
) -> dict[str, list[str]]:
    wanted = {}
    if image_sha384 is not None:
        wanted["ImageSha384"] = image_sha384
    for index, values in sorted(pcrs.items()):
        if not 0 <= index < PCR_COUNT:
            raise ConfigError(f"PCR{index} is none of PCR0 to PCR{PCR_COUNT - 1}")
        wanted[f"PCR{index}"] = values
    for name, values in wanted.items():
        if not values:
            raise ConfigError(f"{name} has no value that it may have")
    return {
        f"{PREFIX}{name}": [
            _hex(name, value, allow_debug=allow_debug) for value in _several(values)
        ]
        for name, values in wanted.items()
    }


def _several(values: PcrValue | Sequence[PcrValue]) -> Sequence[PcrValue]:
    return [values] if isinstance(values, bytes | str) else values


def _hex(name: str, value: PcrValue, *, allow_debug: bool) -> str:
    digits = value.hex() if isinstance(value, bytes) else value.lower()
    if not re.fullmatch(f"[0-9a-f]{{{2 * PCR_SIZE}}}", digits):
        raise ConfigError(
            f"{name} must be {PCR_SIZE} bytes, or {2 * PCR_SIZE} hexadecimal digits,"
            f" was {digits[:100]!r}"
        )
    if not int(digits, 16) and not allow_debug:
        raise ConfigError(
            f"{name} is all zeros, as in every enclave in debug mode, whose memory the"
            " parent can read: take it from a build, or ask for it with allow_debug"
        )
    return digits

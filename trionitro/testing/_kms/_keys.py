"""Keys, their states and their other names."""

from __future__ import annotations

import datetime as dt
import enum
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

import attrs

from trionitro._exceptions import ConfigError
from trionitro.kms._policy import Policy, parse_policy
from trionitro.testing._kms._faults import KmsFault, not_found, wrong_state
from trionitro.testing._kms._specs import SYMMETRIC, Material, spec_algorithms

__all__ = ["Key", "KeyState", "KeyStore", "default_policy"]

_KEY_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")

_ALIAS: Final = re.compile(r"alias/(?!aws/)[a-zA-Z0-9:/_-]{1,250}")

#: The member of KeyMetadata that lists what a key of this usage does.
_ALGORITHMS_MEMBER: Final = {
    "ENCRYPT_DECRYPT": "EncryptionAlgorithms",
    "SIGN_VERIFY": "SigningAlgorithms",
    "KEY_AGREEMENT": "KeyAgreementAlgorithms",
}


class KeyState(enum.Enum):
    """What a key is ready for; the values are KMS's."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"


@attrs.define(eq=False, kw_only=True)
class Key:
    """A KMS key.

    Attributes:
      arn: its name, which ends in its id.
      spec: what it is made of, ``SYMMETRIC_DEFAULT``.
      usage: what it is for, ``ENCRYPT_DECRYPT``.
      material: the key itself.
      policy_text: the key policy, as it was put.
      created: when it was.
      description: for people.
      state: what it is ready for.
      deletion: when it is to be deleted, or None.

    """

    arn: str
    spec: str
    usage: str
    material: Material = attrs.field(repr=False)
    policy_text: str
    created: dt.datetime
    description: str = ""
    state: KeyState = KeyState.ENABLED
    deletion: dt.datetime | None = None

    @property
    def key_id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def policy(self) -> Policy:
        """The key policy."""
        return parse_policy(self.policy_text, source=self.arn)

    def check_usable(self) -> None:
        """Check that the key can be used for cryptography.

        Raises:
          KmsFault: if its state forbids it.

        """
        if self.state is KeyState.DISABLED:
            raise KmsFault("DisabledException", f"{self.arn} is disabled.")
        if self.state is KeyState.PENDING_DELETION:
            raise wrong_state(f"{self.arn} is pending deletion.")

    def check_algorithm(self, usage: str, algorithm: str) -> None:
        """Check that the key is for ``usage``, and does ``algorithm``.

        Raises:
          KmsFault: if not.

        """
        if self.usage != usage or algorithm not in spec_algorithms(
            self.spec, self.usage
        ):
            raise KmsFault(
                "InvalidKeyUsageException",
                f"{self.arn} key usage is {self.usage} which is not valid for"
                f" {algorithm}.",
            )

    def metadata(self) -> dict[str, Any]:
        """Describe the key as KMS does."""
        found = {
            "AWSAccountId": self.arn.split(":")[4],
            "Arn": self.arn,
            "CreationDate": self.created.timestamp(),
            "CustomerMasterKeySpec": self.spec,
            "Description": self.description,
            "Enabled": self.state is KeyState.ENABLED,
            "KeyId": self.key_id,
            "KeyManager": "CUSTOMER",
            "KeySpec": self.spec,
            "KeyState": self.state.value,
            "KeyUsage": self.usage,
            "MultiRegion": False,
            "Origin": "AWS_KMS",
            _ALGORITHMS_MEMBER[self.usage]: spec_algorithms(self.spec, self.usage),
        }
        if self.deletion is not None:
            found["DeletionDate"] = self.deletion.timestamp()
        return found


def default_policy(partition: str, account: str) -> dict[str, Any]:
    """Return the policy of a key that is created without one.

    It leaves everything to the IAM policies of the account.

    """
    return {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


@attrs.define(eq=False, kw_only=True)
class KeyStore:
    """The keys of one account in one region.

    Attributes:
      partition: ``aws``.
      region: ``us-east-1``.
      account: 12 digits.
      clock: tells the time, with its zone.
      keys: by their ids.
      aliases: key ids, by ``alias/NAME``.

    """

    partition: str
    region: str
    account: str
    clock: Callable[[], dt.datetime]
    keys: dict[str, Key] = attrs.field(init=False, factory=dict)
    aliases: dict[str, str] = attrs.field(init=False, factory=dict)

    def arn(self, resource: str) -> str:
        """Return the ARN of ``key/ID`` or ``alias/NAME``."""
        return f"arn:{self.partition}:kms:{self.region}:{self.account}:{resource}"

    def add(
        self,
        material: Material,
        *,
        policy: str,
        usage: str,
        spec: str = SYMMETRIC,
        description: str = "",
        key_id: str | None = None,
    ) -> Key:
        """Add a key.

        Raises:
          ConfigError: if there is one with this id, or if it is no id.

        """
        key_id = str(uuid.uuid4()) if key_id is None else key_id
        if key_id in self.keys or not _KEY_ID.fullmatch(key_id):
            raise ConfigError(
                f"the key id {key_id!r} is taken, or is not letters, digits and -"
            )
        key = Key(
            arn=self.arn(f"key/{key_id}"),
            spec=spec,
            usage=usage,
            material=material,
            policy_text=policy,
            created=self.clock(),
            description=description,
        )
        self.keys[key_id] = key
        return key

    def name(self, key: Key, alias: str) -> None:
        """Give a key an alias.

        Raises:
          ConfigError: if it is none, or is taken.

        """
        if not _ALIAS.fullmatch(alias) or alias in self.aliases:
            raise ConfigError(f"the alias {alias!r} is taken, or is no alias/NAME")
        self.aliases[alias] = key.key_id

    def find(self, name: str) -> Key:
        """Return the key with this id, ARN, alias or alias's ARN.

        Raises:
          KmsFault: if there is none.

        """
        self._forget_deleted()
        resource = self._resource(name)
        if resource.startswith("alias/"):
            if resource not in self.aliases:
                raise not_found(f"Alias {self.arn(resource)} is not found.")
            resource = f"key/{self.aliases[resource]}"
        key = self.keys.get(resource.removeprefix("key/"))
        if key is None:
            raise not_found(f"Key '{self.arn(resource)}' does not exist")
        return key

    def all(self) -> list[Key]:
        """List the keys, oldest first."""
        self._forget_deleted()
        return list(self.keys.values())

    def _resource(self, name: str) -> str:
        if name.startswith("arn:"):
            parts = name.split(":", 5)
            if len(parts) != 6 or parts[2] != "kms" or parts[4] != self.account:
                raise not_found(f"Invalid arn {name}")
            if parts[3] != self.region:
                raise not_found(f"Invalid arn {parts[3]}")
            return parts[5]
        if name.startswith("alias/"):
            return name
        if not _KEY_ID.fullmatch(name):
            raise not_found(f"Invalid keyId '{name}'")
        return f"key/{name}"

    def _forget_deleted(self) -> None:
        now = self.clock()
        for key in list(self.keys.values()):
            if key.deletion is not None and key.deletion <= now:
                del self.keys[key.key_id]
                for alias, target in list(self.aliases.items()):
                    if target == key.key_id:
                        del self.aliases[alias]

"""An emulated KMS in the place of every ``kms.*`` that a manifest leads to.

The parent's routes to KMS lead to it, and the credentials that the enclave gets are
good for it, and for nothing else. It believes the sandbox's own security module.

"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio
from cryptography import x509

from trionitro._endpoints import TcpEndpoint, UnixEndpoint
from trionitro._exceptions import ConfigError
from trionitro._unix import open_unix_listener
from trionitro.kms import CredentialProvider, StaticCredentials, enclave_key_policy
from trionitro.manifest import Link, Plan
from trionitro.testing import KmsEmulator, load_kms_keys

__all__ = ["KmsStandIn", "kms_is_wanted"]

_ACCOUNT: Final = "arn:aws:iam::111122223333"
_ENCLAVE: Final = f"{_ACCOUNT}:role/enclave"
_OPERATOR: Final = f"{_ACCOUNT}:role/operator"

_HOST: Final = re.compile(r"kms(?:-fips)?\.([a-z0-9-]+)\..+", re.ASCII)


@attrs.frozen(kw_only=True)
class KmsStandIn:
    """One emulator for all the routes to KMS, which all are of one region.

    Attributes:
      plan: has at least one such route, and credentials.
      directory: for the socket that it listens on.
      emulator: what answers.
      provider: has the enclave's credentials for it.

    """

    plan: Plan
    directory: Path
    emulator: KmsEmulator
    provider: CredentialProvider

    @classmethod
    def make(
        cls,
        plan: Plan,
        *,
        directory: Path,
        roots: Sequence[x509.Certificate],
        pcr0: bytes,
        keys: str | None,
    ) -> KmsStandIn:
        """Set it up, with keys.

        Args:
          plan: what it has a place in.
          directory: of the sandbox.
          roots: whose attestation documents it believes.
          pcr0: of the enclave that its own key is for.
          keys: a file of keys; None for one key, ``alias/`` and the enclave's name,
              with which the enclave may encrypt, and attested decrypt.

        Raises:
          ConfigError: if the manifest leaves no place for it, or the file is wrong.

        """
        enclave = plan.manifest.enclave
        emulator = KmsEmulator(
            region=_region_of(plan),
            attestation_roots=roots,
            host_names=list(_kms_hosts(plan).values()),
        )
        if keys is not None:
            load_kms_keys(emulator, keys)
        else:
            policy = enclave_key_policy(
                administrators=[_OPERATOR],
                policy_administrators=[_OPERATOR],
                encrypters=[_ENCLAVE],
                principal=_ENCLAVE,
                image_sha384=pcr0,
                allow_debug=True,
            )
            emulator.add_key(str(policy), aliases=[f"alias/{enclave.name}"])
        credentials = StaticCredentials(emulator.issue_credentials(_ENCLAVE))
        return cls(
            plan=plan, directory=directory, emulator=emulator, provider=credentials
        )

    @property
    def redirected(self) -> Plan:
        """The plan, with the parent's routes to KMS leading here."""
        ours = _kms_hosts(self.plan)
        links = tuple(
            self._redirect(link) if link.place in ours else link
            for link in self.plan.links
        )
        return attrs.evolve(self.plan, links=links)

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer, until cancelled; started when it is listened on."""
        async with await open_unix_listener(self._path) as listener:
            await self.emulator.serve_https([listener], task_status=task_status)

    @property
    def _path(self) -> str:
        return str(self.directory / "kms.sock")

    def _redirect(self, link: Link) -> Link:
        assert link.parent is not None  # egress has both halves
        parent = attrs.evolve(
            link.parent, forward=UnixEndpoint(self._path), family=None
        )
        return attrs.evolve(link, parent=parent)


def kms_is_wanted(plan: Plan, keys: str | None) -> bool:
    """Tell whether ``[sandbox]`` has ``kms_emulator``.

    Args:
      plan: of the manifest.
      keys: a file of keys for it, or None.

    Raises:
      ConfigError: if there are keys for it, and it isn't wanted.

    """
    if keys is not None and not plan.manifest.sandbox.kms_emulator:
        raise ConfigError(
            "--kms-keys is for an emulated KMS: write kms_emulator = true in"
            " [sandbox], or leave it out"
        )
    return plan.manifest.sandbox.kms_emulator


def _kms_hosts(plan: Plan) -> dict[str, str]:
    """Return the hosts that are KMS, by the manifest's entry."""
    targets = {
        link.place: link.parent.forward
        for link in plan.links
        if link.parent is not None
    }
    return {
        place: target.host
        for place, target in targets.items()
        if isinstance(target, TcpEndpoint) and _HOST.fullmatch(target.host)
    }


def _region_of(plan: Plan) -> str:
    if plan.credentials_port is None:
        raise ConfigError(
            "[sandbox] kms_emulator: nobody could ask the emulated KMS: add a table"
            " [credentials], with which the enclave gets credentials for it"
        )
    hosts = _kms_hosts(plan).values()
    regions = {match[1] for host in hosts if (match := _HOST.fullmatch(host))}
    if len(regions) != 1:
        raise ConfigError(
            "[sandbox] kms_emulator stands in for the KMS of one region, and the"
            f" manifest leads to {len(regions)}: have an [[egress]] to"
            " kms.REGION.amazonaws.com, or leave kms_emulator out"
        )
    return regions.pop()

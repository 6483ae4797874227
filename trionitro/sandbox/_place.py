"""What an enclave's half finds in a sandbox: a directory, and its environment.

The directory has the sockets of the emulators and of the vsock in it, and the files
that take the place of the machine's own. It is private, and gone at the end.

"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from trionitro.manifest import Plan

__all__ = ["TRUST_VARIABLES", "Place", "trust_bundle"]

#: What a developer's environment has that an enclave's hasn't: ways out that aren't
#: there, and credentials that would come before those that the manifest gives.
_FOREIGN: Final = re.compile(
    r"(?:https?|ftp|all|no)_proxy"
    r"|aws_(?:access_key_id|secret_access_key|session_token|security_token)"
    r"|aws_(?:profile|default_profile|role_arn|web_identity_token_file)"
    r"|aws_container_.*|aws_endpoint_url.*",
    re.IGNORECASE,
)

#: Where programs look for the authorities to trust.
TRUST_VARIABLES: Final = (
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)

_HOSTS: Final = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"


@attrs.frozen
class Place:
    """The directory of one sandbox.

    Attributes:
      directory: where it is.

    """

    directory: Path

    @property
    def vsock(self) -> Path:
        """The directory of the vsock."""
        return self.directory / "vsock"

    @property
    def nsm(self) -> Path:
        """The security module's socket."""
        return self.directory / "nsm.sock"

    @property
    def trust(self) -> Path:
        """The certificates to trust, where an emulated KMS is among them."""
        return self.directory / "ca.pem"

    @property
    def files(self) -> Path:
        """What is put over the machine's own files, under their names in /etc."""
        return self.directory / "etc"

    def write_files(self, plan: Plan) -> None:
        """Write the files: the plan's hosts, and none who could be asked for others."""
        self.files.mkdir()
        lines = "".join(f"{line}\n" for line in plan.hosts)
        (self.files / "hosts").write_text(lines + _HOSTS)
        (self.files / "resolv.conf").write_text("# there is no name server\n")
        switch = Path("/etc/nsswitch.conf")
        if switch.exists():
            text = re.sub(
                r"^hosts:.*$", "hosts: files", switch.read_text(), flags=re.MULTILINE
            )
            (self.files / switch.name).write_text(text)

    def write_trust(self, authority: bytes) -> None:
        """Write the certificates to trust: ``authority`` (PEM), and the machine's."""
        self.trust.write_bytes(trust_bundle(authority))

    def environment(self, plan: Plan, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the enclave's half, and so of what it starts.

        Args:
          plan: the enclave's.
          inherited: our own.

        """
        kept = {
            name: value
            for name, value in inherited.items()
            if not _FOREIGN.fullmatch(name)
        }
        trust = {}
        if plan.manifest.sandbox.kms_emulator:
            trust = dict.fromkeys(TRUST_VARIABLES, str(self.trust))
        return {
            **kept,
            # A developer's own files of credentials would come first as well.
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_CONFIG_FILE": "/dev/null",
            "TRIONITRO_VSOCK": f"local:{self.vsock}?cid={plan.manifest.enclave.cid}",
            "TRIONITRO_NSM": f"unix:{self.nsm}",
            **trust,
        }


def trust_bundle(authority: bytes) -> bytes:
    """Return certificates to trust, as PEM: ``authority``, and this machine's."""
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    certificates = map(ssl.DER_cert_to_PEM_cert, system)
    return authority + "".join(certificates).encode()

"""Manifests for tests."""

from __future__ import annotations

from typing import Final

from trionitro.manifest import Plan, parse_plan

ENCLAVE: Final = """
[enclave]
name = "signer"
cid = 16
command = ["python", "-m", "signer"]
"""

#: Something of every kind.
WHOLE: Final = f"""{ENCLAVE}
user = "app:app"
environment = {{ MODE = "it's $HOME, 100%" }}

[[egress]]
host = "kms.us-west-1.amazonaws.com"
port = 443

[[egress]]
host = "127.0.0.1"
port = 5432
names = ["db.internal", "db"]

[[egress]]
host = "kms.us-west-1.amazonaws.com"
port = 8443
allow = ["10.0.0.0/8"]

[[egress]]
host = "192.0.2.7"
port = 443
max_connections = 10

[[ingress]]
listen = "0.0.0.0:8443"
port = 8443

[[ingress]]
listen = "unix:///run/signer.sock"
port = 8080

[[volume]]
export = "/srv/signer"
mount = "/mnt/pv"

[[volume]]
export = "/srv/shared files"
mount = "/mnt/shared"
read_only = true
options = ["noatime"]

[credentials]

[image]
eif = "signer.eif"
memory = 1025
"""


def plan_of(text: str) -> Plan:
    """Plan the manifest that ``text`` adds to the smallest one."""
    return parse_plan(ENCLAVE + text, source="nitro.toml")


def egress(host: str, port: int = 443, **given: object) -> str:
    """Write an egress entry."""
    return _entry("egress", host=host, port=port, **given)


def ingress(listen: str, port: int = 80, **given: object) -> str:
    """Write an ingress entry."""
    return _entry("ingress", listen=listen, port=port, **given)


def volume(mount: str, export: str = "/srv", **given: object) -> str:
    """Write a volume."""
    return _entry("volume", mount=mount, export=export, **given)


def _entry(table: str, **values: object) -> str:
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join([f"[[{table}]]", *lines, ""])


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()

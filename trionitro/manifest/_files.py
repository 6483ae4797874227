"""The files that follow from a plan, for those who set things up by other means.

Each is a template of :mod:`string` in ``templates/``. What is put in is quoted for the
language it is put in, by :mod:`trionitro.manifest._quoting`.

"""

from __future__ import annotations

import importlib.resources
import ipaddress
import math
import re
import string
from collections.abc import Iterable
from typing import Final

import attrs

from trionitro._endpoints import TcpEndpoint
from trionitro.manifest._links import Link, PlannedVolume
from trionitro.manifest._plan import Plan
from trionitro.manifest._quoting import (
    for_exports,
    for_shell,
    for_systemd,
    for_yaml,
)
from trionitro.manifest._socat import socat_commands

__all__ = ["File", "render_files"]

_TEMPLATES: Final = importlib.resources.files("trionitro.manifest") / "templates"

#: What an enclave gets of Kubernetes where the manifest doesn't say: ``[image]`` does.
_DEFAULT_MEMORY: Final = 1024

#: Seconds for nitro-cli and for connections to finish, and a few to spare.
_ENDING: Final = 60


@attrs.frozen
class File:
    """A file to be written.

    Attributes:
      name: without a directory.
      text: what is in it.
      is_program: whether it can be run.

    """

    name: str
    text: str = attrs.field(repr=False)  # it may hold secrets of the manifest
    is_program: bool = False


def render_files(plan: Plan, *, manifest: str, path: str) -> list[File]:
    """Write the files that follow from ``plan``.

    Args:
      plan: of the manifest.
      manifest: the text of the manifest.
      path: where the parent has it.

    """
    name = plan.manifest.enclave.name
    files = [
        File("nitro.toml", manifest),
        File("hosts", _fill("hosts", hosts="\n".join(map(str, plan.hosts)))),
        File("vsock-proxy.yaml", _fill("vsock-proxy.yaml", allowlist=_rules(plan))),
        File(f"trionitro-{name}.service", _unit(plan, path)),
        File("Dockerfile", _fill("Dockerfile", name=name)),
        File("Dockerfile.parent", _fill("Dockerfile.parent", name=name)),
        File("socat-parent.sh", _socat_parent(plan), is_program=True),
        File("socat-enclave.sh", _socat_enclave(plan), is_program=True),
        File("kubernetes.yaml", _kubernetes(plan, manifest)),
        File("kernel.config", _kernel(plan)),
    ]
    if plan.volumes:
        files.append(File("exports", _fill("exports", exports=_exports(plan))))
    return files


def _fill(template: str, **values: object) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return string.Template(text).substitute(values)


def _lines(lines: Iterable[str]) -> str:
    """Join lines, each after a newline of its own; none at all is no text."""
    return "".join(f"\n{line}" for line in lines)


def _rules(plan: Plan) -> str:
    return (
        _lines(
            f"- {{address: {for_yaml(rule.address)}, port: {rule.port}}}"
            for rule in plan.allowlist.rules
        )
        or " []"
    )


def _exports(plan: Plan) -> str:
    lines = []
    for volume, table in zip(plan.volumes, plan.manifest.volume, strict=True):
        access = "ro" if volume.read_only else "rw"
        options = f"({access},insecure,no_subtree_check,sync)"
        line = f"{for_exports(volume.export)} {_client(table.server)}{options}"
        lines.append(line)
    return "\n".join(dict.fromkeys(lines))


def _client(server: TcpEndpoint) -> str:
    """Say from where the parent's proxy connects to an NFS server."""
    if not _is_on_parent(server):
        return "PARENT"
    return f"{server.host}/{_bits(server.host)}"


def _is_on_parent(server: TcpEndpoint) -> bool:
    try:
        return ipaddress.ip_address(server.host).is_loopback
    except ValueError:
        return False


def _unit(plan: Plan, path: str) -> str:
    on_parent = any(_is_on_parent(volume.server) for volume in plan.manifest.volume)
    return _fill(
        "parent.service",
        name=plan.manifest.enclave.name,
        manifest=for_systemd(path),
        after=" nfs-server.service" if on_parent else "",
        stop_timeout=_stop_timeout(plan),
    )


def _stop_timeout(plan: Plan) -> int:
    """Return the seconds that the parent's process may take to end."""
    # The application's, and as many for the boot around it.
    return math.ceil(2 * plan.manifest.enclave.stop_timeout) + _ENDING


def _socat_parent(plan: Plan) -> str:
    routes = [link.parent for link in plan.links if link.parent is not None]
    return _fill(
        "socat-parent.sh",
        name=plan.manifest.enclave.name,
        commands="\n".join(socat_commands(routes)),
    )


def _socat_enclave(plan: Plan) -> str:
    enclave = plan.manifest.enclave
    routes = [link.enclave for link in plan.links if _is_bare(link)]
    user = [] if enclave.user is None else ["chroot", f"--userspec={enclave.user}"]
    words = [*user, *(["--skip-chdir", "/"] if user else []), *enclave.command]
    return _fill(
        "socat-enclave.sh",
        name=enclave.name,
        addresses="\n".join(
            f"ip address replace {address}/{_bits(address)} dev lo"
            for address in plan.addresses
        ),
        hosts="\n".join(map(str, plan.hosts)),
        commands="\n".join(
            socat_commands([route for route in routes if route is not None])
        ),
        mounts="".join(map(_mount, plan.volumes)),
        environment="\n".join(
            f"export {name}={for_shell(value)}"
            for name, value in enclave.environment.items()
        ),
        directory=for_shell(enclave.directory),
        command=" ".join(map(for_shell, words)),
    )


def _is_bare(link: Link) -> bool:
    """Tell whether socat is enough at the other end, where we answer ourselves."""
    return link.parent is not None


def _bits(address: str) -> int:
    return ipaddress.ip_address(address).max_prefixlen


def _mount(volume: PlannedVolume) -> str:
    options = ["ro" if volume.read_only else "rw", f"port={volume.port}"]
    words = ["mount", "-t", "nfs4", "-o", ",".join([*options, *volume.options])]
    words += [volume.source, volume.mount]
    there = f"TCP:{volume.address}:{volume.port},retry=60,interval=1"
    return "\n".join(
        [
            f"socat -u OPEN:/dev/null {there}",
            f"mkdir -p -- {for_shell(volume.mount)}",
            " ".join(map(for_shell, words)),
            "",
        ]
    )


def _kubernetes(plan: Plan, manifest: str) -> str:
    tables, name = plan.manifest, plan.manifest.enclave.name
    # What begins with a digit is no name of a service there.
    label = re.sub("[^a-z0-9]+", "-", f"enclave-{name.lower()}")[:63].strip("-")
    ports = [
        source.listen.port
        for source in tables.ingress
        if isinstance(source.listen, TcpEndpoint)
    ]
    memory = _DEFAULT_MEMORY if tables.image is None else tables.image.memory
    return _fill(
        "kubernetes.yaml",
        label=for_yaml(label),
        manifest=for_yaml(manifest),
        replicas=tables.kubernetes.replicas,
        image=for_yaml(tables.kubernetes.image or f"{label}-parent:latest"),
        memory=f"{memory + memory % 2}Mi",  # whole pages of 2 MiB
        stop_timeout=_stop_timeout(plan),
        ports=_container_ports(ports),
        service=_service(label, ports),
    )


def _container_ports(ports: list[int]) -> str:
    if not ports:
        return ""
    lines = (f"            - {{containerPort: {port}}}" for port in ports)
    return "\n          ports:" + _lines(lines)


def _service(label: str, ports: list[int]) -> str:
    if not ports:
        return ""
    lines = (f"    - {{name: port-{port}, port: {port}}}" for port in ports)
    return _fill("kubernetes-service.yaml", label=for_yaml(label), ports=_lines(lines))


def _kernel(plan: Plan) -> str:
    nfs = _fill("kernel-nfs.config").rstrip("\n") if plan.volumes else ""
    return _fill("kernel.config", name=plan.manifest.enclave.name, nfs=nfs)

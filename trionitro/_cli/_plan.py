"""``trionitro plan``: what follows from a manifest, before anything is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from trionitro._cli._options import FILE
from trionitro._exceptions import ConfigError
from trionitro.manifest import (
    File,
    Link,
    Plan,
    parse_plan,
    read_manifest_text,
    render_files,
)
from trionitro.proxy import Route

__all__ = ["plan"]


@click.command()
@click.argument("manifest", type=FILE, metavar="NITRO.TOML")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--write",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the files that follow from it into DIR, which is made if need be.",
)
def plan(manifest: str, *, as_json: bool, directory: Path | None) -> None:
    """Show what follows from a manifest: addresses, ports, hosts, routes.

    Nothing is done to the machine. With --write there are also files for those who
    set things up by other means: hosts, the allowlist, NFS exports, a systemd unit,
    Dockerfiles, socat commands, Kubernetes manifests, a kernel configuration.
    """
    try:
        text = read_manifest_text(manifest)
        planned = parse_plan(text, source=manifest)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    if as_json:
        print(json.dumps(_as_json(planned), indent=2))
    else:
        print("\n".join(_as_text(planned)))
    if directory is not None:
        path = os.path.abspath(manifest)  # noqa: PTH100  a link stays the operator's
        _write(render_files(planned, manifest=text, path=path), directory, path)


def _write(files: list[File], directory: Path, manifest: str) -> None:
    """Write ``files`` for nobody but their owner: a manifest may hold secrets."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file in files:
            path = directory / file.name
            if path.exists() and path.samefile(manifest):
                continue  # it is the operator's own
            path.touch()
            path.chmod(0o700 if file.is_program else 0o600)
            path.write_text(file.text, encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(
            f"can't write {exc.filename or directory}: {exc.strerror}; choose another"
            " DIR"
        ) from None
    click.echo(f"wrote {len(files)} files to {directory}", err=True)


def _as_json(planned: Plan) -> dict[str, Any]:
    enclave = planned.manifest.enclave
    return {
        "name": enclave.name,
        "cid": enclave.cid,
        "digest": planned.digest.hex(),
        "links": [_link_as_json(link) for link in planned.links],
        "addresses": list(planned.addresses),
        "hosts": [
            {"address": line.address, "names": list(line.names)}
            for line in planned.hosts
        ],
        "allowlist": [
            {"address": rule.address, "port": rule.port}
            for rule in planned.allowlist.rules
        ],
        "routes": {
            "parent": [_route_as_json(route) for route in planned.parent_routes],
            "enclave": [_route_as_json(route) for route in planned.enclave_routes],
        },
        "volumes": [
            {
                "source": volume.source,
                "port": volume.port,
                "mount": volume.mount,
                "read_only": volume.read_only,
                "options": list(volume.options),
            }
            for volume in planned.volumes
        ],
        "ports": {
            "control": planned.control_port,
            "logs": planned.logs_port,
            "credentials": planned.credentials_port,
        },
        "credentials_url": planned.credentials_url,
        # Their values may be secret, and a plan is shown around.
        "environment": sorted(planned.environment),
    }


def _link_as_json(link: Link) -> dict[str, Any]:
    return {
        "entry": link.place,
        "what": link.what,
        "direction": link.direction,
        "vsock_port": link.vsock_port,
    }


def _route_as_json(route: Route) -> dict[str, Any]:
    return {
        "listen": str(route.listen),
        "forward": str(route.forward),
        "allow_cids": sorted(route.allow_cids),
    }


def _as_text(planned: Plan) -> Iterator[str]:
    enclave = planned.manifest.enclave
    digest = planned.digest.hex()
    yield f"{enclave.name}: CID {enclave.cid}, manifest {digest[:16]}…"
    yield ""
    yield from _table(
        ("entry", "", "outside, or parent", "vsock port", "in the enclave"),
        [_link_as_row(link) for link in planned.links],
    )
    yield from _section("the enclave's addresses", planned.addresses)
    yield from _section("the enclave's hosts", map(str, planned.hosts))
    yield from _section(
        "volumes",
        (
            f"{volume.source} on {volume.mount}"
            f" ({'read-only' if volume.read_only else 'read-write'})"
            for volume in planned.volumes
        ),
    )
    yield from _section(
        "the parent may connect to",
        (f"{rule.address} port {rule.port}" for rule in planned.allowlist.rules),
    )


def _link_as_row(link: Link) -> tuple[str, ...]:
    route = link.enclave
    inside = ""
    if route is not None:
        end = route.listen if link.direction == "out" else route.forward
        inside = str(end).removeprefix("tcp://")
    arrow = "←" if link.direction == "out" else "→"
    return link.place, arrow, link.what, str(link.vsock_port), inside


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield ""
        yield f"{title}:"
        yield from (f"  {line.expandtabs(1)}" for line in found)

"""The demo's processes: both halves of an enclave, a KMS, and the world outside.

::

    application   enclave's half             parent's half          outside
    (the demo) -> tcp://127.0.0.1:… -> vsock://3:… -> tcp://127.0.0.1:…

The vsock is :class:`~trionitro.vsock.LocalVsock`. Everything else is what runs in
production, down to the command lines.

"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs
import trio
import trustme

from trionitro._endpoints import TcpEndpoint
from trionitro.sandbox._demo_kms import DemoKms
from trionitro.sandbox._outside import CERTIFICATE
from trionitro.sandbox._processes import LoggedProcess, start_module

__all__ = ["FORBIDDEN", "SERVER_NAME", "World", "start_proxy", "start_world"]

#: The name on the HTTPS server's certificate. Only the application looks at it.
SERVER_NAME: Final = "service.demo.internal"

#: A target that the parent's allowlist doesn't have. Nobody ever looks it up.
FORBIDDEN: Final = "tcp://elsewhere.demo.internal:443"

#: The vsock ports of the routes.
_HTTPS, _DIGEST, _ELSEWHERE, _KMS = 8000, 8001, 8002, 8003

_ENCLAVE_CID: Final = 16


@attrs.frozen(kw_only=True)
class World:
    """What is running, and where the application inside finds it.

    Attributes:
      parent: the parent's half.
      enclave: the enclave's half.
      https: the way to the HTTPS server.
      digest: the way to the digest server.
      elsewhere: the way to ``FORBIDDEN``, if the parent let it.
      kms_entrance: the way to KMS.
      kms: what to know of it.
      authority: who signed the HTTPS server's certificate.
      directory: where everything of it is.

    """

    parent: LoggedProcess
    enclave: LoggedProcess
    https: TcpEndpoint
    digest: TcpEndpoint
    elsewhere: TcpEndpoint
    kms_entrance: TcpEndpoint
    kms: DemoKms
    authority: trustme.CA
    directory: Path


async def start_world(nursery: trio.Nursery, directory: Path) -> World:
    """Start all processes in ``nursery``, and return when every one of them listens.

    Raises:
      CannotStartError: if one of them ends instead.

    """
    authority = trustme.CA()
    kms = DemoKms(directory=directory)
    outside = await _start_outside(nursery, directory, authority, kms)
    enclave = await start_proxy(
        nursery,
        directory,
        *("tcp://127.0.0.1:0", f"vsock://parent:{_HTTPS}"),
        *("tcp://127.0.0.1:0", f"vsock://parent:{_DIGEST}"),
        *("tcp://127.0.0.1:0", f"vsock://parent:{_ELSEWHERE}"),
        *("tcp://127.0.0.1:0", f"vsock://parent:{_KMS}"),
        cid=_ENCLAVE_CID,
    )
    ports = {
        line["service"]: line["port"]
        for line in await outside.wait_logged("listening", 3)
    }
    parent = await start_proxy(
        nursery,
        directory,
        *(f"vsock://:{_HTTPS}", f"tcp://127.0.0.1:{ports['https']}"),
        *(f"vsock://:{_DIGEST}", f"tcp://127.0.0.1:{ports['digest']}"),
        *(f"vsock://:{_KMS}", f"tcp://127.0.0.1:{ports['kms']}"),
        *("--allowlist", _write_allowlist(directory, ports)),
        *("--allow-cid", str(_ENCLAVE_CID)),
    )
    await parent.wait_logged("listening", 3)
    entrances = {
        line["forward"]: TcpEndpoint.parse(line["listen"].removeprefix("tcp://"))
        for line in await enclave.wait_logged("listening", 4)
    }
    return World(
        parent=parent,
        enclave=enclave,
        https=entrances[f"vsock://3:{_HTTPS}"],
        digest=entrances[f"vsock://3:{_DIGEST}"],
        elsewhere=entrances[f"vsock://3:{_ELSEWHERE}"],
        kms_entrance=entrances[f"vsock://3:{_KMS}"],
        kms=kms,
        authority=authority,
        directory=directory,
    )


async def start_proxy(
    nursery: trio.Nursery, directory: Path, *args: str, cid: int = 3
) -> LoggedProcess:
    """Start ``python -m trionitro.proxy`` with a vsock in ``directory``."""
    vsock = f"local:{directory / 'vsock'}?cid={cid}"
    return await start_module(
        nursery, "trionitro.proxy", *args, "--vsock", vsock, "--log-format", "json"
    )


async def _start_outside(
    nursery: trio.Nursery, directory: Path, authority: trustme.CA, kms: DemoKms
) -> LoggedProcess:
    kms.write_files()
    pem = directory / CERTIFICATE
    pem.touch(mode=0o600)  # it has a private key in it
    authority.issue_cert(SERVER_NAME).private_key_and_cert_chain_pem.write_to_path(pem)
    return await start_module(nursery, "trionitro", "demo-outside", str(directory))


def _write_allowlist(directory: Path, ports: dict[str, int]) -> str:
    # JSON is YAML, and Python writes it without help.
    entries = [{"address": "127.0.0.1", "port": port} for port in ports.values()]
    path = directory / "vsock-proxy.yaml"
    path.write_text(json.dumps({"allowlist": entries}))
    return str(path)

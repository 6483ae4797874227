"""The demo: what the two halves do for an application, step by step."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import attrs
import httpcore
import trio
import trustme

from trionitro._endpoints import TcpEndpoint
from trionitro.sandbox._expect import DemoFailedError, expect
from trionitro.sandbox._outside import GREETING
from trionitro.sandbox._secret import (
    decrypt_in_debug_mode,
    decrypt_in_its_image,
    decrypt_in_other_image,
)
from trionitro.sandbox._world import (
    FORBIDDEN,
    SERVER_NAME,
    World,
    start_proxy,
    start_world,
)

__all__ = ["Step", "run_demo"]

_UPLOAD_SIZE: Final = 64 * 2**20

#: Seconds for any one step. The whole demo takes a few.
_PATIENCE: Final = 20.0


@attrs.frozen(kw_only=True)
class Step:
    """One row of the demo's table.

    Attributes:
      what: what was tried.
      outcome: what happened.
      seconds: how long it took.
      size: how many bytes went through, or None where that says nothing.

    """

    what: str
    outcome: str
    seconds: float
    size: int | None = None


async def run_demo(report: Callable[[Step], None]) -> None:
    """Run the demo, and ``report`` each step when it is done.

    SIGINT, SIGTERM and SIGHUP end it. Whatever way it ends, no process, socket or
    file of it is left.

    Raises:
      DemoFailedError: if a step went otherwise than it should.
      CannotStartError: if one of the processes didn't start.
      KeyboardInterrupt: if a signal ended it.

    """
    finished = False
    # From here on a signal is a cancellation: it can't come between making a thing
    # and remembering to remove it.
    with trio.open_signal_receiver(
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    ) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_signal, signals, nursery.cancel_scope)
            with tempfile.TemporaryDirectory(prefix="trionitro-demo-") as directory:
                await _tell_story(Path(directory), report)
                finished = True
            nursery.cancel_scope.cancel()
    if not finished:
        raise KeyboardInterrupt


async def _cancel_at_signal(
    signals: AsyncIterator[int], everything: trio.CancelScope
) -> None:
    async for _ in signals:
        everything.cancel()


async def _tell_story(directory: Path, report: Callable[[Step], None]) -> None:
    async with trio.open_nursery() as processes:
        began = trio.current_time()
        world = await start_world(processes, directory)
        report(
            Step(
                what="start parent, enclave, an emulated KMS, a server outside",
                outcome="all listening",
                seconds=trio.current_time() - began,
            )
        )
        for what, act, size in _ACTS:
            began = trio.current_time()
            try:
                with trio.fail_after(_PATIENCE):
                    outcome = await act(world)
            except trio.TooSlowError:
                raise DemoFailedError(f"{what}: not done in {_PATIENCE} s") from None
            seconds = trio.current_time() - began
            report(Step(what=what, outcome=outcome, seconds=seconds, size=size))
        processes.cancel_scope.cancel()


async def _get(world: World) -> str:
    answer = await _request(world.https, world.authority)
    expect(answer == GREETING, f"the server's greeting, not {answer!r}")
    return f"200, the certificate is {SERVER_NAME}'s"


async def _get_from_impostor(world: World) -> str:
    try:
        await _request(world.https, trustme.CA())
    except httpcore.ConnectError as refusal:
        cause = _first_cause(refusal)
        unknown = isinstance(cause, ssl.SSLCertVerificationError)
        expect(unknown, f"the certificate to be the reason, not {cause!r}")
        return "refused inside the enclave: unknown certificate authority"
    raise DemoFailedError("a certificate of an unknown authority was accepted")


async def _ask_elsewhere(world: World) -> str:
    async with trio.open_nursery() as nursery:
        proxy = await start_proxy(
            nursery,
            world.directory,
            *("vsock://:8002", FORBIDDEN),
            *("--allowlist", str(world.directory / "vsock-proxy.yaml")),
        )
        expect(await proxy.wait() == 1, "a parent that doesn't serve what it must not")
    try:
        await _request(world.elsewhere, world.authority)
    except (httpcore.ConnectError, httpcore.ReadError):
        said = str(proxy.lines[-1]["event"]).partition(": ")[2]
        return f"the parent refuses: {said}"
    raise DemoFailedError("a target off the allowlist was reached")


async def _upload(world: World) -> str:
    piece = os.urandom(2**20)
    expected = hashlib.sha256()
    stream = await trio.open_tcp_stream(world.digest.host, world.digest.port)
    async with stream:
        for _ in range(_UPLOAD_SIZE // len(piece)):
            expected.update(piece)
            await stream.send_all(piece)
        await stream.send_eof()
        answer = b"".join([chunk async for chunk in stream])
    expect(answer == expected.hexdigest().encode(), "the SHA-256 of what was sent")
    return "whole: the SHA-256 came back after our end-of-file"


async def _stop(world: World) -> str:
    for half in (world.enclave, world.parent):
        half.process.terminate()
        code = await half.wait()
        expect(code == 0, f"exit code 0 on SIGTERM, not {code}")
    sockets = list((world.directory / "vsock").glob("*/*.sock"))
    expect(not sockets, f"no socket file left, not {sockets}")
    return "exit code 0, no socket left"


_Act = Callable[[World], Awaitable[str]]

_ACTS: Final[list[tuple[str, _Act, int | None]]] = [
    ("HTTPS request from inside, through both halves", _get, None),
    ("the same, trusting another authority", _get_from_impostor, None),
    (f"reach {FORBIDDEN}", _ask_elsewhere, None),
    ("upload 64 MiB, end-of-file, then read the answer", _upload, _UPLOAD_SIZE),
    ("decrypt a secret with KMS, attested", decrypt_in_its_image, None),
    ("the same in another image", decrypt_in_other_image, None),
    ("the same in debug mode", decrypt_in_debug_mode, None),
    ("stop both halves (SIGTERM)", _stop, None),
]


async def _request(at: TcpEndpoint, authority: trustme.CA) -> bytes:
    """GET / of the HTTPS server behind ``at``, checking that it is who it should be."""
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    async with httpcore.AsyncConnectionPool(ssl_context=tls) as pool:
        response = await pool.request(
            "GET",
            f"https://{at.host}:{at.port}/",
            headers={"Host": SERVER_NAME},
            extensions={"sni_hostname": SERVER_NAME},
        )
    return response.content


def _first_cause(exc: BaseException) -> BaseException:
    """Return what happened at the bottom of a chain of translated exceptions."""
    while (cause := exc.__cause__ or exc.__context__) is not None:
        exc = cause
    return exc

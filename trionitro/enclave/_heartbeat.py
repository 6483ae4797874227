"""The boot's heartbeat: how ``nitro-cli`` learns that an enclave is alive.

The parent listens on vsock port 9000 before it starts an enclave. Its first process
connects, sends one byte, 0xB7, and is sent it back (aws-nitro-enclaves-sdk-bootstrap,
``init/init.c``; aws-nitro-enclaves-cli, ``eif_loader``). AWS's own init does so before
it starts what the image holds, so only an image with an init of its own must.

"""

from __future__ import annotations

from typing import Final

import trio

from trionitro._exceptions import CannotStartError
from trionitro.abc import VsockNetwork

__all__ = ["send_heartbeat"]

_BEAT: Final = b"\xb7"

_REMEDY: Final = (
    "leave --heartbeat out if AWS's init boots the image, which has sent it already"
)


async def send_heartbeat(
    network: VsockNetwork, *, cid: int, port: int, patience: float = 10.0
) -> None:
    """Tell whoever started the enclave that it is alive.

    Args:
      network: the way to the parent.
      cid: the parent's CID.
      port: where it listens, 9000 with AWS's tools.
      patience: seconds for the parent to answer; it has proved nothing yet.

    Raises:
      CannotStartError: if the parent doesn't answer as it should.

    """
    try:
        with trio.fail_after(patience):
            async with await network.open_stream(cid, port) as stream:
                await stream.send_all(_BEAT)
                answer = await stream.receive_some(1)
    except trio.TooSlowError:
        problem = f"there was no answer within {patience:g} s"
    except OSError as exc:
        problem = exc.strerror or str(exc)
    except trio.BrokenResourceError:
        problem = "the parent broke the connection off"
    else:
        if answer == _BEAT:
            return
        problem = f"the answer was {bytes(answer).hex() or 'empty'}, must be b7"
    raise CannotStartError(
        f"can't send the boot heartbeat to vsock://{cid}:{port}: {problem}; {_REMEDY}"
    )

"""Both ends of the control channel and of the logs, over a vsock in memory."""

from __future__ import annotations

import attrs
import trio

from trionitro import FramedChannel
from trionitro._control import (
    EnclaveControl,
    EnclaveLogs,
    Exited,
    Hello,
    Lines,
    ParentControl,
    ParentLogs,
    Phase,
    Purpose,
    State,
)
from trionitro._control._messages import encode_message
from trionitro.abc import VsockStream
from trionitro.testing import MemoryVsock

PORT = 1_617_000
CID = 16
OURS, THEIRS = b"o" * 32, b"t" * 32


@attrs.define
class Ears:
    """Remembers what it is told."""

    heard: list[object] = attrs.field(factory=list)
    end: trio.Event = attrs.field(factory=trio.Event)

    def paired(self) -> None:
        """An enclave is there."""
        self.heard.append("paired")

    def state(self, state: State) -> None:
        """It came so far."""
        self.heard.append(state.detail)

    def exited(self, exited: Exited) -> None:
        """It ended."""
        self.heard.append(exited)
        self.end.set()

    def lost(self, reason: str) -> None:
        """It went."""
        self.heard.append(f"lost: {reason}")
        self.end.set()

    def lines(self, lines: Lines) -> None:
        """It said something."""
        if lines.dropped:
            self.heard.append(f"{lines.dropped} dropped")
        self.heard.extend((line.source, line.text) for line in lines.lines)


def parent_end(network: MemoryVsock, ears: Ears, digest: bytes = OURS) -> ParentControl:
    return ParentControl(
        network=network, port=PORT, cid=CID, digest=digest, heartbeat=5, listener=ears
    )


def enclave_end(network: MemoryVsock, digest: bytes = OURS) -> EnclaveControl:
    return EnclaveControl(
        network=network.at(CID), parent_cid=3, port=PORT, digest=digest, heartbeat=5
    )


def enclave_logs(network: MemoryVsock, buffer: int = 2**16) -> EnclaveLogs:
    return EnclaveLogs(
        network=network.at(CID), parent_cid=3, port=PORT, digest=OURS, buffer=buffer
    )


def parent_logs(network: MemoryVsock, ears: Ears) -> ParentLogs:
    return ParentLogs(network=network, port=PORT, cid=CID, digest=OURS, hear=ears.lines)


def state(detail: str) -> State:
    return State(phase=Phase.BOOTING, detail=detail)


async def accept_one(network: MemoryVsock) -> VsockStream:
    async with await network.open_listener(PORT) as listener:
        return await listener.accept()


async def say_hello(network: MemoryVsock, purpose: Purpose) -> FramedChannel:
    """Connect as an enclave does, and say which manifest it has."""
    channel = FramedChannel(await network.at(CID).open_stream(3, PORT))
    await channel.send(encode_message(Hello(purpose=purpose, digest=OURS)))
    return channel

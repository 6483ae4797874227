"""The first words on a connection: do both halves have the same manifest?

The enclave speaks first. Each side sends its own hello before it judges the other's,
so that where they don't fit, both know why.

"""

from __future__ import annotations

from typing import Final

import trio
import trio.abc

from trionitro._channel import FramedChannel
from trionitro._control._messages import (
    MAX_MESSAGE,
    VERSION,
    Hello,
    Message,
    decode_message_untrusted,
    encode_message,
)
from trionitro._exceptions import CannotStartError, ProtocolError

__all__ = [
    "PROOF_TIMEOUT",
    "PairingError",
    "answer_hello",
    "make_channel",
    "receive_message",
    "say_hello",
    "send_message",
]

#: Seconds for a peer's hello. It has nothing to work out, and a parent on the same
#: machine answers in milliseconds.
PROOF_TIMEOUT: Final = 10.0

#: How much of a digest tells two of them apart for people.
_SHOWN: Final = 8


class PairingError(CannotStartError):
    """Raised when the other half is not the one that this half belongs to."""


def make_channel(stream: trio.abc.HalfCloseableStream) -> FramedChannel:
    """Make a channel whose frames are no longer than a message may be."""
    return FramedChannel(stream, max_size=MAX_MESSAGE)


async def send_message(channel: FramedChannel, message: Message) -> None:
    """Send one message; see :meth:`FramedChannel.send`."""
    await channel.send(encode_message(message))


async def receive_message(channel: FramedChannel) -> Message:
    """Receive one message.

    Raises:
      ProtocolError: if it makes no sense; and all that
          :meth:`FramedChannel.receive` raises.

    """
    return decode_message_untrusted(await channel.receive())


async def say_hello(channel: FramedChannel, own: Hello) -> None:
    """Speak first, and check the answer. The enclave's side.

    Raises:
      PairingError: if the parent has another manifest or another version, or says
          what makes no sense.
      trio.TooSlowError: if it doesn't answer in time.
      trio.EndOfChannel: if it closed the connection without a word.
      trio.BrokenResourceError: if the connection broke.

    """
    with trio.fail_after(PROOF_TIMEOUT):
        await send_message(channel, own)
        _check(await _receive_hello(channel, "parent"), own, "parent")


async def answer_hello(channel: FramedChannel, own: Hello) -> None:
    """Wait for the enclave's hello, answer and check it. The parent's side.

    Raises:
      PairingError, trio.TooSlowError, trio.EndOfChannel, trio.BrokenResourceError: as
          :func:`say_hello` does.

    """
    with trio.fail_after(PROOF_TIMEOUT):
        theirs = await _receive_hello(channel, "enclave")
        await send_message(channel, own)
        _check(theirs, own, "enclave")


async def _receive_hello(channel: FramedChannel, whose: str) -> Hello:
    try:
        message = await receive_message(channel)
    except ProtocolError as problem:
        raise PairingError(
            f"the {whose} speaks another language: {problem}; run the same version of"
            " trionitro on both halves"
        ) from None
    if not isinstance(message, Hello):
        raise PairingError(f"the {whose} began with another message than hello")
    return message


def _check(theirs: Hello, own: Hello, whose: str) -> None:
    if theirs.version != VERSION:
        raise PairingError(
            f"the {whose} speaks version {theirs.version} of the control channel, and"
            f" this half version {VERSION}: run the same version of trionitro on both"
        )
    if theirs.purpose != own.purpose:
        raise PairingError(
            f"the {whose} wants {theirs.purpose} on the port for {own.purpose}: give"
            " both halves the same manifest"
        )
    if theirs.digest != own.digest:
        raise PairingError(
            f"the {whose} has another manifest: the digest of its one begins with"
            f" {theirs.digest[:_SHOWN].hex()}, and this half's with"
            f" {own.digest[:_SHOWN].hex()}; give both the same, and start both again"
        )

"""``/dev/nsm``: the kernel's way to the security module.

There is one ioctl, ``_IOWR(0x0A, 0, struct nsm_raw)`` of ``linux/nsm.h``, and its
structure has the addresses and lengths of two buffers, which is why this module, and
no other, needs ctypes.

"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Mapping
from typing import Final, final

import attrs
import trio
import trio.lowlevel

from trionitro.abc import NsmDevice
from trionitro.nsm._errors import NsmUnavailableError
from trionitro.nsm._wire import (
    MAX_RESPONSE_SIZE,
)

__all__ = ["NSM_PATH", "KernelNsm"]

#: Where the kernel's driver puts the device.
NSM_PATH: Final = "/dev/nsm"

#: ``NSM_IOCTL_RAW``, the same on x86-64 and on aarch64.
_IOCTL: Final = 0xC0200A00

#: What :func:`fcntl.ioctl` takes: a descriptor, a number, a structure to be changed,
#: and that it is to be changed.
_Ioctl = Callable[[int, int, "_NsmRaw", bool], int]

_NO_DEVICE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR})

#: What the driver's errors mean (``drivers/misc/nsm.c``).
_MEANINGS: Final[Mapping[int, str]] = {
    errno.ETIMEDOUT: "it did not answer within the driver's two minutes",
    errno.EMSGSIZE: "the request has more than 4096 bytes",
    errno.ENODATA: "it returned its buffers in a wrong order",
    errno.EIO: "the driver could not hand over the request",
    errno.ENOTTY: "that is not a security module; give the path of one",
    errno.EACCES: "permission denied; run as a user that may open it",
    errno.EISDIR: "that is a directory; give the path of the device",
}

#: Requests that are on their way at once. The driver lets one in at a time, and no
#: signal wakes who waits for it: better to wait here, where waiting can be cancelled,
#: and where a device that hangs takes one thread and no more.
_AT_ONCE: Final = 1

_limiter: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("the NSM's limiter")


class _NsmRaw(ctypes.Structure):
    """``struct nsm_raw``, which is 32 bytes."""

    _fields_ = (
        ("request_address", ctypes.c_uint64),
        ("request_length", ctypes.c_uint64),
        ("response_address", ctypes.c_uint64),
        ("response_length", ctypes.c_uint64),
    )


@final
@attrs.frozen
class KernelNsm(NsmDevice):
    """The security module of the enclave that this runs in.

    Attributes:
      path: the device.

    """

    path: str = NSM_PATH
    _ioctl: _Ioctl = attrs.field(default=fcntl.ioctl, repr=False, alias="ioctl")

    async def process(self, request: bytes) -> bytes:
        """Hand over a request, as :meth:`.NsmDevice.process` says.

        Cancellation:
          At once; the kernel goes on with the request, up to two minutes if the
          device hangs, and other requests of this program wait until then.

        """
        # The thread has everything of its own: the descriptor and the buffers. The
        # kernel may still write to them when whoever asked has long been cancelled.
        return await trio.to_thread.run_sync(
            _process,
            self.path,
            request,
            self._ioctl,
            abandon_on_cancel=True,
            limiter=_current_limiter(),
        )


def _current_limiter() -> trio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_AT_ONCE)
        _limiter.set(limiter)
        return limiter


def _process(path: str, request: bytes, ioctl: _Ioctl) -> bytes:
    """Open the device, hand over a request, and close it again; in a thread."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_DEVICE:
            raise NsmUnavailableError(
                f"there is no {path}: this is not an enclave, or its kernel lacks the"
                " driver nsm; to emulate one, run 'trionitro nsm emulate --listen"
                " unix:/tmp/nsm.sock --root-out root.pem' and set"
                " TRIONITRO_NSM=unix:/tmp/nsm.sock"
            ) from None
        raise _explained(error, f"can't open {path}") from error
    try:
        return _call(fd, request, ioctl)
    except OSError as error:
        raise _explained(error, f"{path} failed") from error
    finally:
        os.close(fd)


def _call(fd: int, request: bytes, ioctl: _Ioctl) -> bytes:
    sent = ctypes.create_string_buffer(request, len(request))
    # Were it shorter, a longer answer would be cut off without a word.
    received = ctypes.create_string_buffer(MAX_RESPONSE_SIZE)
    raw = _NsmRaw(
        ctypes.addressof(sent), len(request), ctypes.addressof(received), len(received)
    )
    ioctl(fd, _IOCTL, raw, True)
    # The kernel has written how much of the buffer is the answer.
    return received.raw[: raw.response_length]


def _explained(error: OSError, what: str) -> OSError:
    meaning = _MEANINGS.get(error.errno or 0, error.strerror)
    return OSError(error.errno, f"{what}: {meaning}")

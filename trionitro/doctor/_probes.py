"""What is asked of a machine rather than read: CIDs, ports, names, the module.

Nothing here connects over a vsock: a CID is what the device says, and a port is tried
by binding it for a moment, without listening.

"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

import attrs
import trio

from trionitro._endpoints import Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._exceptions import ProtocolError
from trionitro.abc import VMADDR_ANY, NsmDevice, VsockNetwork
from trionitro.attestation import AttestationError, decode_attestation_untrusted
from trionitro.doctor._facts import ModuleSight
from trionitro.doctor._kind import NSM_DEVICE
from trionitro.nsm import KernelNsm, Nsm, NsmError, NsmUnavailableError, UnixNsm
from trionitro.parent import NitroCli
from trionitro.vsock import FirecrackerVsock, KernelVsock, LocalVsock

__all__ = ["Probes", "SystemProbes"]

#: More than anything here has that matters.
_MOST_READ: Final = 2**18

#: The number, since Python may be built without ``socket.AF_VSOCK``.
_AF_VSOCK: Final = 40

#: ``SIOCGIFFLAGS``, and ``struct ifreq`` with a name and flags.
_GET_FLAGS: Final = 0x8913
_IFREQ: Final = struct.Struct("@16sH22x")

#: ``CLOCKFD`` of ``clock_gettime``: how a descriptor becomes a clock's number.
_CLOCKFD: Final = 3

#: ``__SO_ACCEPTCON``: the flag in ``/proc/net/unix`` of a socket that listens.
_LISTENS: Final = 0x10000


class Probes(ABC):
    """How a machine is asked. Those that are not async may block: they get a thread."""

    def read_file(self, path: Path) -> str:
        """Read what a file begins with, up to 256 KiB.

        Raises:
          OSError: if it can't be read.

        """
        # A pipe that nobody writes to is not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  it is open already
            data = bytearray()
            while len(data) < _MOST_READ and (more := file.read(_MOST_READ)):
                data += more
        return data[:_MOST_READ].decode(errors="replace")

    def open_device(self, path: Path) -> None:
        """Open a device as whoever uses it does, and close it.

        Raises:
          OSError: if that can't be.

        """
        read_or_write = os.O_RDONLY if path.name == "vsock" else os.O_RDWR
        os.close(os.open(path, read_or_write | os.O_CLOEXEC | os.O_NONBLOCK))

    @property
    @abstractmethod
    def vsock_name(self) -> str:
        """What the vsock network is called; empty for the kernel's."""

    @property
    @abstractmethod
    def nsm_name(self) -> str:
        """What the security module is called; empty for ``/dev/nsm``."""

    @abstractmethod
    def cid(self) -> int | None:
        """Return this machine's CID, if anything tells."""

    @abstractmethod
    def interfaces(self) -> Mapping[str, int]:
        """Return the network interfaces, and their flags (``linux/if.h``)."""

    @abstractmethod
    def is_seeded(self) -> bool:
        """Say whether the kernel's random numbers are seeded."""

    @abstractmethod
    def now(self) -> float:
        """Return the time, in seconds since 1970."""

    @abstractmethod
    def clock_offset(self, device: Path) -> float:
        """Return by how many seconds the clock is ahead of a PTP device.

        Raises:
          OSError: if there is no such device, or it doesn't tell.

        """

    @abstractmethod
    def find_program(self, name: str, path: str | None) -> str | None:
        """Return where a program is, on ``path`` or else on PATH."""

    @abstractmethod
    async def ask_module(self) -> ModuleSight:
        """Ask the security module who it is, and what time."""

    @abstractmethod
    async def resolve(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name.

        Raises:
          OSError: if it has none.

        """

    @abstractmethod
    async def try_listening(self, endpoint: Endpoint) -> None:
        """See whether ``endpoint`` could be listened on.

        Raises:
          OSError: if it couldn't.

        """

    @abstractmethod
    async def try_connecting(self, server: TcpEndpoint) -> None:
        """Connect to a TCP server, and close the connection.

        Raises:
          OSError: if that can't be.

        """

    @abstractmethod
    async def running_enclaves(self, nitro_cli: str) -> Mapping[int, str]:
        """Return the names of the enclaves that run, by CID.

        Raises:
          CannotStartError: if nitro-cli doesn't tell.

        """


@final
@attrs.frozen(kw_only=True)
class SystemProbes(Probes):
    """The machine that this runs on.

    Attributes:
      network: its vsock network.
      device: its security module, if it is an enclave.

    """

    network: VsockNetwork = attrs.field(factory=KernelVsock)
    device: NsmDevice = attrs.field(factory=KernelNsm)

    @property
    def vsock_name(self) -> str:
        """Name the network as ``--vsock`` does."""
        match self.network:
            case KernelVsock():
                return ""
            case LocalVsock(directory=directory):
                return f"local:{directory}"
            case FirecrackerVsock(uds_path=path):
                return f"firecracker:{path}"
        return type(self.network).__name__

    @property
    def nsm_name(self) -> str:
        """Name the device as ``--nsm`` does."""
        match self.device:
            case KernelNsm(path=path):
                return "" if path == NSM_DEVICE else path
            case UnixNsm(path=path):
                return f"unix:{path}"
        return type(self.device).__name__

    def cid(self) -> int | None:
        """Ask the network, which asks the device."""
        return self.network.cid

    def interfaces(self) -> Mapping[str, int]:
        """Ask the kernel: ``/sys`` may show those of another network namespace."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return {name: _flags_of(sock, name) for _, name in socket.if_nameindex()}

    def is_seeded(self) -> bool:
        """Ask for a byte, and don't wait for it."""
        try:
            os.getrandom(1, os.GRND_NONBLOCK)
        except BlockingIOError:
            return False
        return True

    def now(self) -> float:
        """Look at the clock."""
        return time.time()

    def clock_offset(self, device: Path) -> float:
        """Look at both clocks."""
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return time.time() - time.clock_gettime((~fd << 3) | _CLOCKFD)
        finally:
            os.close(fd)

    def find_program(self, name: str, path: str | None) -> str | None:
        """Look for it as a shell does."""
        return shutil.which(name, path=path)

    async def ask_module(self) -> ModuleSight:
        """Have it describe itself, and make a document."""
        module_id = ""
        try:
            module_id = (await Nsm(self.device).describe()).module_id
            document = decode_attestation_untrusted(await Nsm(self.device).attest())
        except (
            AttestationError,
            NsmError,
            NsmUnavailableError,
            OSError,
            ProtocolError,
        ) as problem:
            return ModuleSight(module_id=module_id, problem=_reason(problem))
        return ModuleSight(
            module_id=module_id,
            clock_offset=time.time() - document.timestamp.timestamp(),
        )

    async def resolve(self, name: str) -> tuple[str, ...]:
        """Ask the system's resolver."""
        try:
            found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except UnicodeError:  # a label that is too long, or empty
            raise OSError(errno.EINVAL, f"{name!r} is no name for DNS") from None
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def try_listening(self, endpoint: Endpoint) -> None:
        """Bind it for a moment; of a unix socket see whether somebody listens."""
        match endpoint:
            case TcpEndpoint(host=host, port=port):
                await _try_tcp(host, port)
            case UnixEndpoint(path=path):
                await _try_unix(path)
            case VsockEndpoint(port=port):
                await self._try_vsock(port)

    async def _try_vsock(self, port: int) -> None:
        match self.network:
            case KernelVsock():
                _bind(_AF_VSOCK, (VMADDR_ANY, port))
            case LocalVsock(directory=directory, cid=cid):
                await _try_unix(f"{directory}/{cid}/{port}.sock")
            case FirecrackerVsock(uds_path=path):
                await _try_unix(f"{path}_{port}")

    async def try_connecting(self, server: TcpEndpoint) -> None:
        """Connect to the first of its addresses that answers."""
        stream = await trio.open_tcp_stream(server.host, server.port)
        await stream.aclose()

    async def running_enclaves(self, nitro_cli: str) -> Mapping[int, str]:
        """Ask nitro-cli."""
        found = await NitroCli(nitro_cli).describe()
        return {each.cid: each.name or "" for each in found if each.is_running}


def _flags_of(sock: socket.socket, name: str) -> int:
    request = bytearray(_IFREQ.pack(name.encode(), 0))
    fcntl.ioctl(sock, _GET_FLAGS, request)
    return int(_IFREQ.unpack(request)[1])


async def _try_tcp(host: str, port: int) -> None:
    found = await trio.socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, _, _, _, address in found:
        try:
            _bind(family, address)
        except OSError as error:
            # A host without a name has addresses of families that aren't there, too.
            if host or error.errno != errno.EAFNOSUPPORT:
                raise


def _bind(family: int, address: tuple[object, ...]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        if family != _AF_VSOCK:
            # What listens does the same: a connection that has just ended is no bar.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)


async def _try_unix(path: str) -> None:
    """See whether somebody listens; what is merely left behind is replaced.

    Connecting would tell as well, and the listener would notice.

    """
    if await trio.to_thread.run_sync(_listens, path, abandon_on_cancel=True):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _listens(path: str) -> bool:
    """Look for a socket that listens on ``path``, in a thread."""
    with Path("/proc/net/unix").open(errors="surrogateescape") as file:
        # Num RefCount Protocol Flags Type St Inode Path
        next(file)
        lines = (line.rstrip("\n").split(maxsplit=7) for line in file)
        return any(
            fields[7:] == [path] and int(fields[3], 16) & _LISTENS for fields in lines
        )


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem)

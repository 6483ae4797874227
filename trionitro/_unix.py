"""Unix stream sockets in the file system: connecting, and listening on a path.

A path is taken by whoever listens on it, not by whoever left a file there: a
stale socket is replaced, a live one never.

"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, final
from weakref import WeakValueDictionary

import attrs
import trio
import trio.abc

__all__ = [
    "UnixListener",
    "connect_unix",
    "connect_unix_nowait",
    "open_unix_listener",
    "open_unix_stream",
    "open_unix_stream_nowait",
]

#: ``sun_path`` holds 108 bytes, one of them the final NUL.
_MAX_PATH: Final = 107

#: More than any system allows: the kernel lowers it to ``net.core.somaxconn``.
_LONGEST_BACKLOG: Final = 0xFFFF

#: What to do about the kernel's errors.
_TO_LISTEN: Final[Mapping[int, str]] = {
    errno.ENOENT: "; create the directory first",
    errno.ENOTDIR: "; choose a path whose directories are directories",
    errno.EACCES: "; ask for the permission, or listen elsewhere",
}
_TO_CONNECT: Final[Mapping[int, str]] = {
    errno.ENOENT: "; start what is to listen there",
    errno.ECONNREFUSED: ": nobody listens there any more; start it again",
}

#: How long to wait before asking the kernel again, in seconds. The first is shorter
#: than anybody notices; the last still costs next to nothing.
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05

#: By path, for as long as somebody waits there.
_queues: Final[trio.lowlevel.RunVar[WeakValueDictionary[str, trio.Lock]]] = (
    trio.lowlevel.RunVar("trionitro queues")
)


async def open_unix_stream(path: str | os.PathLike[str]) -> trio.SocketStream:
    """Connect to the unix socket at ``path``.

    While the listener's backlog is full this waits, for as long as it takes: the
    deadline is the caller's.

    Raises:
      OSError: if nobody listens there, or the path is impossible; the message
          names it.

    Cancellation:
      Nothing is left open, and the listener has seen nothing.

    """
    return trio.SocketStream(await connect_unix(socket.socket(socket.AF_UNIX), path))


def open_unix_stream_nowait(path: str | os.PathLike[str]) -> trio.SocketStream:
    """Connect to the unix socket at ``path``, if that takes no waiting.

    Raises:
      trio.WouldBlock: if the listener's backlog is full, and others wait.
      OSError: as :func:`open_unix_stream` says.

    """
    return trio.SocketStream(connect_unix_nowait(socket.socket(socket.AF_UNIX), path))


def connect_unix_nowait(
    sock: socket.socket, path: str | os.PathLike[str]
) -> trio.socket.SocketType:
    """Connect ``sock`` to ``path``, as :func:`open_unix_stream_nowait` does.

    Resource handling:
      ``sock`` belongs to this function from the start: it is closed when this raises.

    """
    sock.setblocking(False)
    try:
        _check_path(path)
        _connect_nowait(sock, os.fspath(path))
        return trio.socket.from_stdlib_socket(sock)
    except BlockingIOError:
        sock.close()
        raise trio.WouldBlock from None
    except BaseException as exc:
        sock.close()
        if isinstance(exc, OSError):
            raise _named(
                exc, f"can't connect to {os.fspath(path)}", _TO_CONNECT
            ) from exc
        raise


async def connect_unix(
    sock: socket.socket, path: str | os.PathLike[str]
) -> trio.socket.SocketType:
    """Connect ``sock`` to ``path``, as :func:`open_unix_stream` does.

    For a socket that was prepared, for instance bound to a name of its own.

    Resource handling:
      ``sock`` belongs to this function from the start: it is closed when this
      raises or is cancelled.

    """
    sock.setblocking(False)
    try:
        with _naming(f"can't connect to {os.fspath(path)}", _TO_CONNECT):
            _check_path(path)
            await trio.lowlevel.checkpoint()
            await _connect(sock, os.fspath(path))
        return trio.socket.from_stdlib_socket(sock)
    except BaseException:
        sock.close()
        raise


async def open_unix_listener(
    path: str | os.PathLike[str], *, backlog: int | None = None
) -> UnixListener:
    """Listen on ``path``.

    Of several processes that do this at the same moment one wins.

    Args:
      path: where; its directory must exist, and be readable.
      backlog: how many connections may wait to be accepted; None for as many as the
          system allows.

    Raises:
      OSError: if somebody listens there, something else than a socket is there, or
          the path is impossible; the message names it.

    Cancellation:
      Nothing is left, neither a socket nor a file.

    """
    pauses = _pauses()
    while True:
        try:
            return await trio.to_thread.run_sync(_bind, os.fspath(path), backlog)
        except BlockingIOError:
            # Somebody else has the directory's lock. The thread doesn't wait for it,
            # so that a lock which is never released can be cancelled.
            await trio.sleep(next(pauses))


@final
@attrs.define(eq=False)
class UnixListener(trio.abc.Listener[trio.SocketStream]):
    """Listens on a unix socket in the file system.

    Attributes:
      path: where.

    """

    path: str
    _listener: trio.SocketListener
    _inode: tuple[int, int]

    @property
    def socket(self) -> trio.socket.SocketType:
        """The listening socket."""
        return self._listener.socket

    async def accept(self) -> trio.SocketStream:
        """Accept a connection, as :meth:`trio.SocketListener.accept` does."""
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Stop listening, and remove the socket's file if it is still this one's."""
        # The file goes first. As long as the socket listens nobody takes it for
        # stale, so that what is removed is not somebody else's new one. And once it
        # is closed, not even the same inode number is a proof any more.
        if self.socket.fileno() != -1:
            self._remove_file()
        await self._listener.aclose()

    def _remove_file(self) -> None:
        # A file that can't be removed is stale from now on: the next to listen
        # replaces it.
        with contextlib.suppress(OSError):
            if _inode_of(self.path) == self._inode:
                Path(self.path).unlink()


async def _connect(sock: socket.socket, path: str) -> None:
    # A full backlog makes a non-blocking connect on AF_UNIX fail with EAGAIN, and
    # nothing has begun that one could wait for: the socket is "writable" at once and
    # its SO_ERROR is 0. Trio's connect() (and trio.open_unix_socket with it) waits
    # for just these, and would return a socket that isn't connected. The kernel
    # doesn't tell when there is room again, so asking again is all there is.
    #
    # Of all that wait for one path, one asks: a thousand would keep the processor so
    # busy with asking that the listener, if it is here too, hardly comes to accept.
    with contextlib.suppress(BlockingIOError):
        _connect_nowait(sock, path)
        return
    # It is there for as long as somebody holds it or waits for it.
    async with _queues_of_this_run().setdefault(path, trio.Lock()):
        for pause in _pauses():
            try:
                sock.connect(path)
            except BlockingIOError:
                await trio.sleep(pause)
            else:
                return


def _connect_nowait(sock: socket.socket, path: str) -> None:
    """Connect, unless others wait for that already, or it takes waiting."""
    if path in _queues_of_this_run():
        raise BlockingIOError
    sock.connect(path)


def _queues_of_this_run() -> WeakValueDictionary[str, trio.Lock]:
    """Return where those wait who have found the backlog of a path full."""
    try:
        return _queues.get()
    except LookupError:
        queues: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        _queues.set(queues)
        return queues


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _bind(path: str, backlog: int | None) -> UnixListener:
    """Make a listener, or raise BlockingIOError while the directory is locked.

    Runs in a thread, because the file system may be slow.

    """
    with _naming(f"can't listen on {path}", _TO_LISTEN):
        _check_path(path)
        with _locked(Path(path).parent):
            _make_room(path)
            return _new_listener(path, backlog)


def _new_listener(path: str, backlog: int | None) -> UnixListener:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(_LONGEST_BACKLOG if backlog is None else backlog)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        return UnixListener(path, listener, _inode_of(path))
    except BaseException:
        sock.close()
        raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep others who listen in ``directory`` out meanwhile.

    Between finding a socket stale and having replaced it, nobody else may do the
    same: one would remove what the other has just bound.

    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _make_room(path: str) -> None:
    """Remove a socket that nobody listens on; anything else is in the way."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(
                errno.EEXIST,
                "what is there is not a socket; remove it, or choose another path",
            )
        if _is_taken(path):
            raise OSError(
                errno.EADDRINUSE,
                "somebody listens there already; stop them, or listen elsewhere",
            )
        Path(path).unlink()
    except FileNotFoundError:
        # Nothing was there, or its owner has removed it between two of the steps.
        pass


def _is_taken(path: str) -> bool:
    """Tell whether somebody holds the socket at ``path``, without their noticing."""
    # A datagram socket can't be connected to a stream socket, but whether there is
    # one the kernel finds out first. A stream would be accepted, and served.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
        return True


def _inode_of(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _check_path(path: str | os.PathLike[str]) -> None:
    encoded = os.fsencode(path)
    # Both would be taken for something else: bind() gives an empty path a random
    # abstract name, and a NUL starts one.
    if not encoded or b"\0" in encoded:
        raise OSError(errno.EINVAL, "the path is empty or has a NUL byte in it")
    if len(encoded) > _MAX_PATH:
        raise OSError(
            errno.ENAMETOOLONG,
            f"the path is {len(encoded)} bytes long, and a unix socket's may have"
            f" {_MAX_PATH}; use a shorter directory",
        )


@contextlib.contextmanager
def _naming(what: str, remedies: Mapping[int, str]) -> Iterator[None]:
    """Say in an OSError what it is about: the kernel's errors about sockets don't."""
    try:
        yield
    except BlockingIOError:
        raise  # never leaves this module
    except OSError as error:
        raise _named(error, what, remedies) from error


def _named(error: OSError, what: str, remedies: Mapping[int, str]) -> OSError:
    remedy = remedies.get(error.errno or 0, "")
    return OSError(error.errno, f"{what}: {error.strerror}{remedy}")

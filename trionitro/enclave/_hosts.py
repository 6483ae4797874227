"""The hosts file: names that lead to the enclave's own loopback addresses.

Our lines stand in a marked block at the file's beginning, because the first line that
has a name wins. The rest stays as it is, and is all that is there when the boot ends.

"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from trionitro._exceptions import CannotStartError

__all__ = ["HOSTS_FILE", "hosts_block", "with_block", "without_block"]

_log = structlog.get_logger("trionitro.enclave")

HOSTS_FILE: Final = Path("/etc/hosts")

_BEGIN: Final = "# trionitro boot: begin"
_END: Final = "# trionitro boot: end"

_LOCALHOST: Final = "127.0.0.1\tlocalhost"

#: Any bytes are kept: what others wrote is none of our business.
_ENCODING: Final = ("utf-8", "surrogateescape")

_REMEDY: Final = (
    "make it writable for the boot, or have the image bring these lines:"
    " trionitro plan --write DIR writes them"
)

#: Seconds for taking the block away again. A file that hangs doesn't hold the end up.
_PATIENCE: Final = 5.0


def with_block(text: str, lines: Iterable[str]) -> str:
    """Put ``lines`` in front of a hosts file's ``text``, in place of an earlier block.

    Where nothing else names ``localhost``, the block does.

    """
    rest = without_block(text)
    block = list(lines)
    if not any("localhost" in names for _, names in _entries([*block, rest])):
        block.insert(0, _LOCALHOST)
    return "".join(f"{line}\n" for line in (_BEGIN, *block, _END)) + rest


def without_block(text: str) -> str:
    """Return what is not ours of a hosts file's ``text``."""
    head, begin, tail = text.partition(f"{_BEGIN}\n")
    _, end, rest = tail.partition(f"{_END}\n")
    # One that doesn't end is not ours any more: somebody has been at it.
    return head + without_block(rest) if begin and end else text


@contextlib.asynccontextmanager
async def hosts_block(
    lines: Sequence[str], *, path: Path = HOSTS_FILE
) -> AsyncIterator[None]:
    """Have ``lines`` in a hosts file as long as this lasts.

    A file whose own lines say the same already, as an image may bring it, is not
    touched, and may be read-only.

    Raises:
      CannotStartError: if the file can't be written.

    """
    try:
        undo = await trio.to_thread.run_sync(_install, path, lines)
    except OSError as exc:
        raise CannotStartError(
            f"can't write the hosts file {path}: {exc.strerror}; {_REMEDY}"
        ) from exc
    try:
        yield
    finally:
        if undo is not None:
            # Shielded, because a cancelled boot is to leave nothing either.
            with trio.move_on_after(_PATIENCE, shield=True):
                try:
                    await trio.to_thread.run_sync(undo, abandon_on_cancel=True)
                except OSError as exc:
                    problem = exc.strerror
                    _log.warning("hosts not restored", path=str(path), problem=problem)


def _install(path: Path, lines: Sequence[str]) -> Callable[[], None] | None:
    """Write the block, and return what takes it away; None if nothing was written."""
    old = _read(path)
    if not lines or _says(old or "", lines):
        return None
    _write(path, with_block(old or "", lines))
    return functools.partial(_uninstall, path, was_there=old is not None)


def _uninstall(path: Path, *, was_there: bool) -> None:
    text = without_block(_read(path) or "")
    if text or was_there:
        _write(path, text)
    else:
        path.unlink(missing_ok=True)


def _says(text: str, lines: Sequence[str]) -> bool:
    """Tell whether the first line for each name says what ours would."""
    if _BEGIN in text:
        return False
    found: dict[str, str] = {}
    for address, names in _entries([text]):
        for name in names:
            found.setdefault(name, address)
    return all(
        found.get(name) == address
        for address, names in _entries(lines)
        for name in names
    )


def _entries(texts: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Read address and names of each line, as hosts(5) describes them."""
    lines = "\n".join(texts).split("\n")
    fields = [line.partition("#")[0].split() for line in lines]
    return [(entry[0], entry[1:]) for entry in fields if len(entry) > 1]


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(*_ENCODING)
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Replace a file's content: at once where that can be, else in place.

    Container runtimes bind-mount their hosts file, and a mount can't be renamed over.

    """
    target = path.resolve()
    data = text.encode(*_ENCODING)
    try:
        _replace(target, data)
    except OSError:
        with target.open("r+b" if target.exists() else "wb") as file:
            file.write(data)
            file.truncate()


def _replace(target: Path, data: bytes) -> None:
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            _copy_owner(target, fd)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise


def _copy_owner(target: Path, fd: int) -> None:
    mode = 0o644
    with contextlib.suppress(FileNotFoundError):
        status = target.stat()
        mode = stat.S_IMODE(status.st_mode)
        os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, mode)

"""The steps of a boot: how far it is, how long each took, what was in the way."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

import attrs
import structlog
import trio

from trionitro._control import Phase
from trionitro._exceptions import CannotStartError, NotAllowedError, leaves
from trionitro.enclave._parent_link import ParentLink

__all__ = ["Step", "Steps", "reasons_of"]

_log = structlog.get_logger("trionitro.enclave")


@attrs.define(eq=False)
class Step:
    """One step on its way.

    Attributes:
      name: what the log calls it.
      did: what it has done, said when it is done.

    """

    name: str
    did: str = ""


@attrs.frozen(eq=False)
class Steps:
    """Tells the log and the parent about each step."""

    parent: ParentLink
    _began: float = attrs.field(init=False, factory=trio.current_time)

    @contextlib.contextmanager
    def take(self, name: str) -> Iterator[Step]:
        """Take one step, which is done, or has failed, when the block is left."""
        began = trio.current_time()
        step = Step(name)
        try:
            yield step
        except Exception as exc:
            _log.error(
                "step failed", step=name, problem=reasons_of(exc), seconds=_since(began)
            )
            raise
        _log.info("step done", step=name, did=step.did, seconds=_since(began))
        self.parent.tell(Phase.BOOTING, f"{name}: {step.did} ({_since(began)} s)")

    def has_booted(self) -> None:
        """Tell that the application runs, and how long all of it took."""
        seconds = _since(self._began)
        _log.info("booted", seconds=seconds)
        self.parent.tell(Phase.RUNNING, f"booted in {seconds} s")


def reasons_of(exc: BaseException) -> str:
    """Say on one line what an exception, or all of a group, is about."""
    return "; ".join(_reason_of(leaf) for leaf in leaves(exc))


def _reason_of(exc: BaseException) -> str:
    """Say what an exception is about; of one that nobody expected also what it is."""
    if isinstance(exc, (CannotStartError, NotAllowedError, OSError)):
        return str(exc)
    return " ".join("".join(traceback.format_exception_only(exc)).split())


def _since(began: float) -> float:
    return round(trio.current_time() - began, 4)

"""What an enclave says, put into the parent's log."""

from __future__ import annotations

import attrs
import structlog
import trio

from trionitro._control import Exited, Line, Lines, Phase, State
from trionitro._systemd import notify

__all__ = ["Collector", "exit_code_of", "printable"]

_log = structlog.get_logger("trionitro.parent")


@attrs.define(eq=False)
class Collector:
    """Hears one enclave, and remembers how far it is.

    What it says goes to the log on one line each, with nothing in it that a terminal
    would obey: an enclave is not trusted either.

    Attributes:
      name: the enclave's.
      is_paired: whether it is there, with the same manifest.
      phase: how far it said it is, if it did.
      end: how its application ended, if it did.
      changed: set when any of these changes, and then replaced.

    """

    name: str
    is_paired: bool = attrs.field(init=False, default=False)
    phase: Phase | None = attrs.field(init=False, default=None)
    end: Exited | None = attrs.field(init=False, default=None)
    changed: trio.Event = attrs.field(init=False, factory=trio.Event)

    def paired(self) -> None:
        """Note that it is there; what an earlier one said counts no more."""
        self.is_paired, self.phase, self.end = True, None, None
        _log.info("enclave paired", enclave=self.name)
        self._tell("it is there")

    def state(self, state: State) -> None:
        """Note how far it is."""
        self.phase = state.phase
        level = "error" if state.phase is Phase.FAILED else "info"
        detail = printable(state.detail)
        getattr(_log, level)(
            "enclave state", enclave=self.name, phase=str(state.phase), detail=detail
        )
        self._tell(f"{state.phase}: {detail}")

    def exited(self, exited: Exited) -> None:
        """Note how it ended."""
        self.end = exited
        code = exit_code_of(exited)
        level = "info" if code == 0 else "error"
        getattr(_log, level)(
            "enclave exited",
            enclave=self.name,
            code=exited.code,
            signal=exited.signal,
            last_words=printable(exited.last_words.strip()),
        )
        self._tell(f"exited with {code}")

    def lost(self, reason: str) -> None:
        """Note that it went without a word."""
        self.is_paired = False
        _log.warning("enclave lost", enclave=self.name, problem=printable(reason))
        self._tell("lost")

    def lines(self, lines: Lines) -> None:
        """Log lines."""
        if lines.dropped:
            _log.warning("lines dropped", enclave=self.name, count=lines.dropped)
        for line in lines.lines:
            self._log_line(line)

    def _log_line(self, line: Line) -> None:
        text = printable(line.text.decode(errors="replace"))
        # Not as the event, or an enclave could speak with the parent's voice.
        _log.info("said", enclave=self.name, source=printable(line.source), line=text)

    def _tell(self, status: str) -> None:
        notify(f"STATUS={self.name}: {status}")
        self.changed.set()
        self.changed = trio.Event()


def exit_code_of(exited: Exited) -> int:
    """Return the exit code that says the same; a signal's as a shell has it."""
    if exited.code is not None:
        return exited.code
    return 1 if exited.signal is None else 128 + exited.signal


def printable(text: str) -> str:
    """Write control characters, line ends among them, as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )

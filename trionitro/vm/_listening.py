"""The parent's ear for a virtual machine: what the application writes is shown here."""

from __future__ import annotations

import itertools

import attrs
import structlog

from trionitro._control import Line, Lines, State
from trionitro.enclave import Console
from trionitro.parent import Collector

__all__ = ["ConsoleCollector"]

_log = structlog.get_logger("trionitro.vm")


@attrs.define(eq=False)
class ConsoleCollector(Collector):
    """Shows the application's lines on the streams that it wrote them on.

    The boot's own log goes to standard error.

    Attributes:
      console: where they are shown.
      was_paired: whether the enclave has ever been there.

    """

    console: Console
    was_paired: bool = attrs.field(init=False, default=False)

    def paired(self) -> None:
        """Note that it is there."""
        self.was_paired = True
        super().paired()

    def state(self, state: State) -> None:
        """Note how far it is; its log says so anyway."""
        self.phase = state.phase

    def lines(self, lines: Lines) -> None:
        """Show lines."""
        if lines.dropped:
            _log.warning("lines dropped", enclave=self.name, count=lines.dropped)
        for stream, some in itertools.groupby(lines.lines, _stream_of):
            text = b"".join(line.text + b"\n" for line in some)
            self.console.write(stream, text)


def _stream_of(line: Line) -> str:
    return "stdout" if line.source == "stdout" else "stderr"

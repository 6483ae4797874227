from __future__ import annotations

import pytest
import trio

from tests.multiplexer.wires import wired
from trionitro._multiplexer._flow import Flow
from trionitro._transfer import Ending, Progress


def test_its_directions_mirror_each_other() -> None:
    with wired() as wire:
        rightwards, leftwards = wire.flow.directions

        assert rightwards.source == leftwards.sink == wire.left.fileno()
        assert rightwards.sink == leftwards.source == wire.right.fileno()
        assert rightwards.opposite is leftwards
        assert leftwards.opposite is rightwards
        assert (rightwards.index, leftwards.index) == (0, 1)


def test_each_direction_blames_the_side_that_broke() -> None:
    with wired() as wire:
        rightwards, leftwards = wire.flow.directions

        assert rightwards.source_broke is leftwards.sink_broke is Ending.LEFT_BROKE
        assert rightwards.sink_broke is leftwards.source_broke is Ending.RIGHT_BROKE


def test_only_what_comes_from_tcp_is_spliced() -> None:
    with wired("tcp", "unix") as wire:
        assert [each.may_be_spliced() for each in wire.flow.directions] == [True, False]


def test_it_counts_where_the_progress_does() -> None:
    with wired() as wire:
        progress = Progress()
        flow = Flow.between(*wire.flow.sockets, progress)

        flow.counts[1] += 5

        assert progress.right_to_left == 5


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_closed_socket_is_refused(side: str) -> None:
    with wired() as wire:
        getattr(wire, side).close()

        with pytest.raises(trio.ClosedResourceError):
            Flow.between(*wire.flow.sockets, Progress())

"""The benchmarks reckon rightly, and run; how fast anything is, is not tested here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parent.parent
if not ROOT.joinpath("benchmarks").is_dir():
    pytest.skip("the benchmarks are not published", allow_module_level=True)

# Last, so that the package under test stays the one that is installed.
sys.path.append(str(ROOT))

from benchmarks import growth, growth_plot, plot, table  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.load_generator import build, compiler  # noqa: E402
from benchmarks.processes import OthersMeter, cpu_seconds, family, memory  # noqa: E402
from benchmarks.relays import OURS, Relay, World, running  # noqa: E402
from benchmarks.results import Line, Spread, summarise  # noqa: E402
from benchmarks.rounds import Sample  # noqa: E402
from benchmarks.rows import ROWS, Quantity, Row, find  # noqa: E402
from benchmarks.svg import Scale  # noqa: E402
from benchmarks.work import Bulk, Calls, Work, pinned  # noqa: E402

needs_compiler = pytest.mark.skipif(
    compiler() is None, reason="the load generator is written in C"
)


class _NoWork:
    def measure(self, world: World) -> dict[str, float]:
        raise AssertionError("nothing is measured in these tests")


SPEED = Quantity("speed", "speed", "/s", max, {"peer": 2.0, "other": 9.0})
CPU = Quantity("cpu", "CPU", "µs", min, {"peer": 0.5})
IDLE = Quantity("idle cpu", "CPU", "%", min, limit=0.1)
NO_WORK: Work = _NoWork()
ROW = Row("made-up", "made up", NO_WORK, (SPEED, CPU))


def samples(**values: list[float]) -> list[Sample]:
    """Give samples of the speed, by relay; the CPU is its inverse."""
    return [
        Sample("made-up", relay, number, {"speed": speed, "cpu": 1 / speed})
        for relay, speeds in values.items()
        for number, speed in enumerate(speeds)
    ]


def only_line(lines: list[Line], key: str) -> Line:
    (line,) = (line for line in lines if line.quantity.key == key)
    return line


# --- statistics -----------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert Spread.of([3.0, 9.0, 1.0]) == Spread(3.0, 1.0, 9.0)
    assert Spread.of([4.0, 2.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([]) is None


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was ten times slower in the second round, for both.
    measured = samples(ours=[300.0, 20.0, 300.0], peer=[100.0, 10.0, 100.0])

    comparison = only_line(
        summarise(measured, [ROW], "ours", ["peer"]), "speed"
    ).beside("peer")

    assert comparison is not None
    assert comparison.theirs == Spread(100.0, 10.0, 100.0)
    assert comparison.ratio == Spread(3.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("ours", "key", "is_met"),
    [
        (200.0, "speed", True),
        (199.0, "speed", False),
        (200.0, "cpu", True),
        (199.0, "cpu", False),
    ],
)
def test_a_goal_is_a_least_speed_and_a_greatest_cost(
    ours: float, key: str, *, is_met: bool
) -> None:
    lines = summarise(samples(ours=[ours], peer=[100.0]), [ROW], "ours", ["peer"])

    comparison = only_line(lines, key).beside("peer")

    assert comparison is not None
    assert comparison.is_met is is_met


def test_without_a_goal_nothing_is_met_or_missed() -> None:
    lines = summarise(samples(ours=[1.0], nobody=[1.0]), [ROW], "ours", ["nobody"])

    comparison = only_line(lines, "speed").beside("nobody")

    assert comparison is not None
    assert comparison.is_met is None


def test_a_relay_that_failed_is_compared_with_in_no_round() -> None:
    measured = samples(ours=[1.0, 1.0], peer=[1.0])
    measured.append(Sample("made-up", "peer", 1, problem="it hangs"))
    measured.append(Sample("made-up", "other", 0, problem="it hangs"))

    line = only_line(summarise(measured, [ROW], "ours", ["peer", "other"]), "speed")

    assert line.beside("peer") is not None
    assert line.beside("other") is None


def test_ours_may_fail_too() -> None:
    line = only_line(summarise(samples(peer=[1.0]), [ROW], "ours", ["peer"]), "speed")

    assert line.ours is None
    assert "speed  -" in table.render([line], ["peer"])


@pytest.mark.parametrize(("ours", "is_met"), [(0.0, True), (0.1, True), (3.0, False)])
def test_where_a_ratio_has_no_meaning_ours_has_a_limit(
    ours: float, *, is_met: bool
) -> None:
    row = Row("made-up", "made up", NO_WORK, (IDLE,))
    measured = [
        Sample("made-up", relay, 0, {"idle cpu": value})
        for relay, value in (("ours", ours), ("peer", 0.0))
    ]

    (line,) = summarise(measured, [row], "ours", ["peer"])

    assert line.is_met is is_met
    assert line.comparisons[0].ratio is None


# --- what is shown --------------------------------------------------------------------


def test_the_table_has_a_line_for_each_quantity() -> None:
    measured = samples(ours=[3000.0], peer=[1000.0], other=[1500.0])
    peers = ["peer", "other", "absent"]

    text = table.render(summarise(measured, [ROW], "ours", peers), peers)

    head, _, speed, cpu, *_ = text.splitlines()
    assert head.split() == ["trionitro", *peers]
    assert " ".join(speed.split()) == (
        "made up speed 3,000 /s (3,000 to 3,000) 3.00 ✓ 2.00 ✗ -"
    )
    assert cpu.split()[-4:] == ["0.33", "✓", "0.50", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.12345, "0.123"), (12.345, "12.3"), (12345.6, "12,346")],
)
def test_a_figure_has_three_digits_that_count(value: float, text: str) -> None:
    assert table.figure(value) == text


def test_a_scale_is_logarithmic_and_keeps_to_its_ends() -> None:
    scale = Scale(1, 100, 0, 50)

    assert [scale(value) for value in (0.5, 1, 10, 100, 500)] == [0, 0, 25, 50, 50]


def test_the_plots_are_well_formed() -> None:
    lines = summarise(samples(ours=[2.0], peer=[1.0]), [ROW], "ours", ["peer"])
    panel = growth_plot.Panel("a < b", {"µs": [(1, 5), (10, 7)]})

    for text in (plot.ratios(lines, ["peer"]), growth_plot.draw([panel])):
        assert ET.fromstring(text).tag.endswith("svg")


def test_growth_shows_each_series() -> None:
    points = [
        growth.Point(series.title, 64, dict.fromkeys(series.units, 1.5))
        for series in growth.SERIES
    ]

    assert growth.render(points).count("1.5") == sum(
        len(series.units) for series in growth.SERIES
    )


# --- rows and relays ------------------------------------------------------------------


def test_rows_are_found_by_name() -> None:
    assert find(()) == list(ROWS)
    assert [row.name for row in find(("idle", "up-1"))] == ["up-1", "idle"]
    with pytest.raises(ValueError, match="no row 'sideways': there are trips-1, "):
        find(("sideways",))


def test_a_peer_is_a_name_and_a_command() -> None:
    relay = Relay.parse("it=relay --listen '{port}' to={path}")

    words = relay.words(5, Path("/d"))

    assert relay.name == "it"
    assert words == ["relay", "--listen", "5", "to=/d/3/8000.sock"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("relay {port} {path}", "expected NAME=COMMAND"),
        ("it=", "expected NAME=COMMAND"),
        ("it=relay {path}", r"\{port\} is missing"),
        ("it=relay {port}", r"\{path\} is missing"),
    ],
)
def test_a_peer_that_is_no_command_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Relay.parse(text)


# --- it runs --------------------------------------------------------------------------


def test_what_others_do_is_never_less_than_nothing() -> None:
    meter = OthersMeter()
    sum(range(100_000))

    assert 0 <= meter.read() < 10_000


@needs_compiler
@pytest.mark.parametrize(
    "work",
    [Calls("trickle", 3, (100,)), Calls("connects", 2), Bulk("up", 2), Bulk("down", 2)],
    ids=["trickle", "connects", "up", "down"],
)
def test_the_load_generator_works_through_the_relay(work: Work) -> None:
    with pinned(), running(OURS, build(), seconds=0.1) as world:
        values = work.measure(world)
        processes = family(world.pid)

        assert values["speed"] > 0
        assert processes[0] == world.pid
        assert memory(world.pid) > 0
        assert cpu_seconds(world.pid) > 0


@needs_compiler
def test_it_compares_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / f"found.{kind}" for kind in ("json", "svg")}
    options = ["--only", "trips-1", "--rounds", "1", "--seconds", "0.2"]
    outputs = [f"--{kind}={path}" for kind, path in files.items()]

    assert main(["relay", *options, *outputs]) == 0

    assert "round trips" in capsys.readouterr().out
    record = json.loads(files["json"].read_text(encoding="utf-8"))
    assert record["machine"]["processors"] >= 1
    assert [line["quantity"] for line in record["summary"]] == ["speed", "cpu"]
    assert record["samples"][0]["values"]["speed"] > 0
    assert files["svg"].read_text(encoding="utf-8").startswith("<svg")


@needs_compiler
def test_a_peer_that_does_not_start_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--only", "trips-1", "--rounds", "1", "--seconds", "0.1"]
    peer = "--peer=broken=python3 -c 'exit(\"I {port} {path} stop\")'"

    assert main(["relay", *options, peer]) == 0

    shown = capsys.readouterr()
    assert "broken did not start" in shown.err
    assert "-" in shown.out


def test_attestation_is_measured_beside_its_signatures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["attestation", "--rounds", "2", "--seconds", "0.01"]) == 0

    out = capsys.readouterr().out
    assert "trionitro " in out
    assert "5 signatures alone" in out

"""The benchmark of an application beside a proxy reckons rightly, and runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if not ROOT.joinpath("benchmarks").is_dir():
    pytest.skip("the benchmarks are not published", allow_module_level=True)

# Last, so that the package under test stays the one that is installed.
sys.path.append(str(ROOT))

from benchmarks import responsiveness_table  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.load_generator import BenchmarkError, build, compiler  # noqa: E402
from benchmarks.neighbours import LOADS, Cell, Pair  # noqa: E402
from benchmarks.observing import observing, percentile  # noqa: E402
from benchmarks.processes import family  # noqa: E402
from benchmarks.relays import Relay, running  # noqa: E402
from benchmarks.work import Calls  # noqa: E402

needs_compiler = pytest.mark.skipif(
    compiler() is None, reason="the load generator is written in C"
)

LATE = {"late p50": 1.0, "late p95": 2.0, "late p99": 3.0, "late max": 4.0}


def cell(
    load: str, application: str, number: int, placing: str = "together", **found: float
) -> Cell:
    return Cell(load, application, placing, number, {**LATE, **found}, others=0.0)


def line_of(text: str, load: str, application: str) -> list[str]:
    """Return the figures of one line; a load is named in the first of its lines."""
    _, _, rest = text.partition(f"\n{load}")
    for line in rest.splitlines():
        before, found, figures = line.partition(application)
        if found and not before.strip():
            return figures.split()
    raise AssertionError(f"{load}, {application} is not in the table")


@pytest.mark.parametrize(("percent", "found"), [(50, 5), (95, 10), (90, 9), (100, 10)])
def test_a_percentile_is_one_of_the_figures(percent: float, found: float) -> None:
    assert percentile([7, 3, 9, 1, 5, 10, 2, 8, 6, 4], percent) == found


def test_the_percentile_of_one_figure_is_that_figure() -> None:
    assert percentile([3.0], 1) == percentile([3.0], 99) == 3.0


def test_work_is_compared_with_that_beside_an_idle_proxy_of_the_same_round() -> None:
    # The machine was ten times slower in the second round, for both.
    text = responsiveness_table.render(
        [
            cell("nothing", "hashing", 0, work=1000.0),
            cell("nothing", "hashing", 1, work=100.0),
            cell("up-1", "hashing", 0, work=250.0, speed=1.0),
            cell("up-1", "hashing", 1, work=75.0, speed=1.0),
        ]
    )

    figures = line_of(text, "bulk TCP→unix, 1 stream", "hashing")
    assert figures == ["1", "2", "3", "4", "0.5", "(0.25", "to", "0.75)", "-", "-"]


def test_speed_is_compared_with_that_beside_a_resting_application() -> None:
    text = responsiveness_table.render(
        [
            cell("nothing", "resting", 0, work=0.0),
            cell("up-1", "resting", 0, work=0.0, speed=2000.0),
            cell("up-1", "answering", 0, work=1.0, speed=500.0),
            cell("up-1", "resting", 0, "apart", work=0.0, speed=3000.0),
            cell("up-1", "answering", 0, "apart", work=1.0, speed=3000.0),
        ]
    )

    _, proxy = text.split("\n\n")[:2]
    resting = line_of(proxy, "bulk TCP→unix, 1 stream", "resting")
    assert resting == ["2,000", "GB/s", "(2,000", "to", "2,000)", "3,000", "GB/s"]
    answering = line_of(proxy, "bulk TCP→unix, 1 stream", "answering")
    assert answering == ["0.25", "(0.25", "to", "0.25)", "1"]


def test_the_greatest_lateness_is_that_of_all_rounds() -> None:
    cells = [cell("nothing", "resting", number, work=0.0) for number in range(3)]
    cells[1].values["late max"] = 9000.0

    text = responsiveness_table.render(cells)

    assert line_of(text, "nothing", "resting")[:4] == ["1", "2", "3", "9,000"]


def test_who_does_not_answer_is_not_observed(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmarkError, match="the application broke off"),
        observing(tmp_path),
    ):
        pass


@needs_compiler
@pytest.mark.parametrize(
    ("name", "application", "placing"),
    [("trips-32", "answering", "together"), ("up-1", "hashing", "apart")],
)
def test_a_busy_proxy_and_a_busy_application_both_get_something_done(
    name: str, application: str, placing: str
) -> None:
    (load,) = [one for one in LOADS if one.name == name]

    found = Pair(load, application, placing).measure(build(), 0.1, 0).values

    assert found["work"] > 0
    assert found["speed"] > 0
    assert 0 < found["late p50"] <= found["late max"]
    assert ("answer p99" in found) == (application == "answering")


@needs_compiler
def test_it_measures_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    options = ["--only", "nothing", "--placing", "together", "--rounds", "1"]

    assert main(["responsiveness", *options, "--seconds", "0.1", f"--json={file}"]) == 0

    assert "hashing" in capsys.readouterr().out
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    assert [one["application"] for one in cells] == ["resting", "answering", "hashing"]


@needs_compiler
@pytest.mark.parametrize("sharing", ["shared", "reuseport"])
def test_several_proxies_on_one_port_work(sharing: str) -> None:
    program = ROOT / "benchmarks" / "workers.py"
    relay = Relay.parse(
        f"two={sys.executable} -P {program} {sharing} 2 {{port}} {{directory}}"
    )

    with running(relay, build(), seconds=0.1) as world:
        assert Calls("connects", 4).measure(world)["speed"] > 0
        assert len(family(world.pid)) == 3

"""What Prometheus reads."""

from __future__ import annotations

import httpcore
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.proxy.ends import Network, StartProxy, echo, receive_all
from trionitro import Progress, TcpEndpoint
from trionitro.proxy import Metrics
from trionitro.proxy._metrics import DIAL_BOUNDS, Outcome, Refusal

Samples = dict[tuple[str, ...], float]


def parse(text: bytes) -> Samples:
    """Return values by metric and label values, the route left out."""
    return {
        (sample.name, *(v for k, v in sample.labels.items() if k != "route")): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def scrape(port: int, path: str = "/metrics") -> httpcore.Response:
    async with httpcore.AsyncConnectionPool() as pool:
        return await pool.request("GET", f"http://127.0.0.1:{port}{path}")


async def test_metrics_tell_what_happened(
    run_proxy: StartProxy, network: Network
) -> None:
    """A finished, an open and a refused connection are counted as that."""
    target = await network.serve(echo)
    proxy = await run_proxy(
        *("tcp://127.0.0.1:0", str(target), "tcp://127.0.0.1:0", "tcp://127.0.0.1:1"),
        *("--metrics", "tcp://127.0.0.1:0"),
    )
    (line,) = await proxy.logged.wait_logged("serving metrics")
    port = TcpEndpoint.parse(line["listen"].removeprefix("tcp://")).port
    done = await network.connect_proven(proxy.listens[0])
    await done.send_eof()
    assert await receive_all(done) == b""
    await network.connect_proven(proxy.listens[0])
    await network.expect_reset(proxy.listens[1])

    response = await scrape(port)

    text = response.content.decode()
    route, broken = proxy.listens[0], proxy.listens[1]
    assert f'trionitro_connections_open{{route="{route}"}} 1.0' in text
    assert (
        f'trionitro_connections_total{{outcome="finished",route="{route}"}} 1.0' in text
    )
    assert (
        f'trionitro_connections_total{{outcome="dial failed",route="{broken}"}} 1.0'
        in text
    )
    assert f'trionitro_bytes_total{{direction="to target",route="{route}"}} 2.0' in text
    assert f'trionitro_dial_seconds_count{{route="{route}"}} 2.0' in text


async def test_metrics_over_vsock(run_proxy: StartProxy, network: Network) -> None:
    """The parent reads an enclave's metrics, which has no TCP to the outside."""
    await run_proxy(
        *("tcp://127.0.0.1:0", "vsock://3:8000", "--metrics", "vsock://:9100"), cid=16
    )
    stream = await network.at(3).open_stream(16, 9100)

    async with stream:
        await stream.send_all(
            b"GET /metrics HTTP/1.1\r\nHost: enclave\r\nConnection: close\r\n\r\n"
        )
        answer = await receive_all(stream)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"trionitro_connections_open" in answer


async def test_a_scraper_that_talks_nonsense_disturbs_nobody(
    run_proxy: StartProxy, network: Network
) -> None:
    """Bytes that are no text in a header, and bytes that are no HTTP at all."""
    target = await network.serve(echo)
    proxy = await run_proxy(
        *("tcp://127.0.0.1:0", str(target), "--metrics", "tcp://127.0.0.1:0")
    )
    (line,) = await proxy.logged.wait_logged("serving metrics")
    metrics = TcpEndpoint.parse(line["listen"].removeprefix("tcp://"))
    good = await network.connect_proven(proxy.listens[0])

    for head in (
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: \xff\xfe\r\n\r\n",
        b"\xff" * 99,
    ):
        scraper = await network.connect(metrics)
        await scraper.send_all(head)
        await scraper.send_eof()
        await receive_all(scraper)

    await good.send_all(b"still here")
    assert await good.receive_some(100) == b"still here"


async def test_other_paths_and_methods_are_refused() -> None:
    for request, status in [(b"GET / ", b"404"), (b"POST /metrics ", b"405")]:
        client, server = trio.testing.memory_stream_pair()
        await client.send_all(
            request + b"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        await Metrics().serve_client(server)

        assert (await client.receive_some()).startswith(b"HTTP/1.1 " + status)


def test_bytes_are_counted_while_a_connection_lives_and_after() -> None:
    metrics = Metrics()
    metrics.add_route("r")
    progress = Progress()
    key = ("trionitro_bytes_total", "to client")

    metrics.connection_opened("r", progress)
    progress.counts[1] = 5
    while_open = parse(metrics.render())[key]
    metrics.connection_ended(progress, Outcome.FINISHED)
    after = parse(metrics.render())[key]
    metrics.connection_opened("r", Progress([0, 2]))

    assert (while_open, after) == (5, 5)
    assert parse(metrics.render())[key] == pytest.approx(7)


def test_what_never_happened_is_shown_as_zero() -> None:
    """An alarm on a metric that isn't there yet never goes off."""
    metrics = Metrics()
    metrics.add_route("r")

    samples = parse(metrics.render())

    assert set(samples.values()) == {0}
    labels = {label for _, *labels in samples for label in labels}
    assert labels >= {*Outcome, *Refusal, "to target", "to client", "+Inf", "10.0"}


@given(st.lists(st.floats(0, 20) | st.sampled_from(DIAL_BOUNDS)))
def test_dials_are_shown_as_prometheus_would_count_them(dials: list[float]) -> None:
    """Its own histogram is the oracle."""
    metrics, registry = Metrics(), CollectorRegistry()
    metrics.add_route("r")
    oracle = Histogram("trionitro_dial_seconds", "?", ["route"], registry=registry)
    oracle.labels("r")
    for seconds in dials:
        metrics.dialled("r", seconds)
        oracle.labels("r").observe(seconds)

    ours, theirs = parse(metrics.render()), parse(generate_latest(registry))

    created = ("trionitro_dial_seconds_created",)
    assert {key: ours[key] for key in theirs if key != created} == {
        key: value for key, value in theirs.items() if key != created
    }

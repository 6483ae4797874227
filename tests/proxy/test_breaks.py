"""What one connection's misfortune does to its other side, and to the others."""

from __future__ import annotations

import socket
import struct

import pytest
import trio

from tests.proxy.ends import Network, StartProxy, Stream, echo
from trionitro import TcpEndpoint


async def reset_after_a_byte(stream: trio.SocketStream) -> None:
    """Be a server that crashes in the middle of its answer."""
    await stream.receive_some(1)
    await stream.send_all(b"half an answ")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def receive_until_broken(stream: Stream) -> bytes:
    """Read until the stream breaks; an end-of-file is the failure looked for."""
    received = b""
    try:
        async for data in stream:
            received += data
    except trio.BrokenResourceError:
        return received
    pytest.fail(f"end-of-file after {received!r}: a reset passed for a whole")


async def closed_port(network: Network) -> TcpEndpoint:
    """Return a TCP endpoint where nobody listens."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    return TcpEndpoint("127.0.0.1", port)


async def test_a_target_that_resets_resets_the_client(
    run_proxy: StartProxy, network: Network
) -> None:
    target = await network.serve(reset_after_a_byte)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))
    client = await network.connect(proxy.listens[0])

    await client.send_all(b"?")

    assert b"half an answ".startswith(await receive_until_broken(client))


async def test_a_client_that_resets_resets_the_target(
    run_proxy: StartProxy, network: Network, nursery: trio.Nursery
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    target = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
    proxy = await run_proxy("tcp://127.0.0.1:0", target)
    client = await network.connect(proxy.listens[0])
    assert isinstance(client, trio.SocketStream)
    await client.send_all(b"half a quest")

    async with listener, await listener.accept() as accepted:
        assert await accepted.receive_some(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.close()

        assert await receive_until_broken(accepted) == b""


async def test_a_target_that_refuses_resets_the_client_and_is_logged(
    run_proxy: StartProxy, network: Network
) -> None:
    target = await closed_port(network)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))

    await network.expect_reset(proxy.listens[0])

    (line,) = await proxy.logged.wait_logged("dial failed")
    assert str(target) in line["problem"]
    assert "refused" in line["problem"]


async def test_a_vsock_target_that_is_not_there_resets_the_tcp_client(
    run_proxy: StartProxy, network: Network
) -> None:
    proxy = await run_proxy("tcp://127.0.0.1:0", "vsock://3:8000", cid=16)

    await network.expect_reset(proxy.listens[0])

    (line,) = await proxy.logged.wait_logged("dial failed")
    assert "vsock://3:8000" in line["problem"]


async def test_broken_connections_disturb_neither_others_nor_the_route(
    run_proxy: StartProxy, network: Network
) -> None:
    """Before, beside and after twenty resets, an honest conversation goes on."""
    fragile = await network.serve(reset_after_a_byte)
    sturdy = await network.serve(echo)
    refusing = await closed_port(network)
    proxy = await run_proxy(
        *("tcp://127.0.0.1:0", str(sturdy)),
        *("tcp://127.0.0.1:0", str(fragile)),
        *("tcp://127.0.0.1:0", str(refusing)),
    )
    good = await network.connect_proven(proxy.listens[0])

    for _ in range(10):
        client = await network.connect(proxy.listens[1])
        await client.send_all(b"?")
        await receive_until_broken(client)
        await network.expect_reset(proxy.listens[2])

    await good.send_all(b"still here")
    assert await good.receive_some(100) == b"still here"
    await network.connect_proven(proxy.listens[0])


async def test_a_failed_attempt_is_made_again_until_the_target_is_up(
    run_proxy: StartProxy, network: Network, nursery: trio.Nursery
) -> None:
    """A client that came before the target was listening is served all the same."""
    proxy = await run_proxy(
        *("tcp://127.0.0.1:0", "vsock://16:2000"),
        *("--connect-attempts", "1000", "--connect-delay", "0.01"),
    )
    client = await network.connect(proxy.listens[0])
    await client.send_all(b"early")
    await proxy.logged.wait_logged("dialling again")

    await network.serve(echo, cid=16)

    assert await client.receive_some(100) == b"early"

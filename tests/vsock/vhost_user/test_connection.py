"""Connection: its states, and the two accounts of credit, against a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trionitro.abc import VsockAddress
from trionitro.vsock._vhost_user._connection import Connection, State
from trionitro.vsock._vhost_user._packets import (
    NO_MORE_OF_EITHER,
    NO_MORE_RECEIVED,
    NO_MORE_SENT,
    Operation,
    Packet,
    decode_packet_untrusted,
)

PARENT, GUEST = VsockAddress(3, 8000), VsockAddress(16, 1025)
SIZE = 1000


def packet(
    operation: int,
    payload: bytes = b"",
    *,
    flags: int = 0,
    buf_alloc: int = SIZE,
    fwd_cnt: int = 0,
) -> Packet:
    """Make a packet from the guest."""
    return Packet(
        16,
        3,
        1025,
        8000,
        len(payload),
        1,
        operation,
        flags,
        buf_alloc,
        fwd_cnt,
        payload,
    )


@pytest.fixture(name="dialling")
def _dialling() -> Connection:
    return Connection(PARENT, GUEST, SIZE)


@pytest.fixture(name="connection")
def _connection() -> Connection:
    connection = Connection(PARENT, GUEST, SIZE)
    connection.establish(packet(Operation.REQUEST))
    return connection


def test_an_answer_establishes_it(dialling: Connection) -> None:
    assert dialling.receive_untrusted(packet(Operation.RESPONSE)) is None

    assert dialling.state is State.ESTABLISHED
    assert dialling.credit() == SIZE


def test_a_reset_refuses_it(dialling: Connection) -> None:
    assert dialling.receive_untrusted(packet(Operation.RST)) is None

    assert dialling.state is State.GONE
    assert not dialling.was_answered


@pytest.mark.parametrize("operation", [0, 1, 4, 5, 6, 7, 8])
def test_any_other_answer_is_reset(operation: int, dialling: Connection) -> None:
    assert dialling.receive_untrusted(packet(operation)) is Operation.RST

    assert dialling.state is State.GONE


@pytest.mark.parametrize("operation", [0, 1, 2, 8, 65535])
def test_what_makes_no_sense_resets_it(operation: int, connection: Connection) -> None:
    assert connection.receive_untrusted(packet(operation)) is Operation.RST

    assert connection.state is State.GONE
    assert not connection.received_eof


def test_a_request_for_credit_is_answered(connection: Connection) -> None:
    answer = connection.receive_untrusted(packet(Operation.CREDIT_REQUEST))

    assert answer is Operation.CREDIT_UPDATE


def test_more_than_was_promised_to_be_held_resets_it(connection: Connection) -> None:
    assert connection.receive_untrusted(packet(Operation.RW, bytes(SIZE))) is None
    assert connection.receive_untrusted(packet(Operation.RW, b"x")) is Operation.RST

    assert connection.take(2 * SIZE) == bytes(SIZE)


def test_the_end_of_sending_is_an_end_of_file(connection: Connection) -> None:
    connection.receive_untrusted(packet(Operation.RW, b"last words"))
    connection.receive_untrusted(packet(Operation.SHUTDOWN, flags=NO_MORE_SENT))

    assert connection.state is State.ESTABLISHED
    assert connection.received_eof
    assert not connection.is_deaf
    assert connection.take(SIZE) == b"last words"


def test_data_after_the_end_of_sending_is_dropped(connection: Connection) -> None:
    connection.receive_untrusted(packet(Operation.SHUTDOWN, flags=NO_MORE_SENT))

    assert connection.receive_untrusted(packet(Operation.RW, b"and another")) is None
    assert not connection.incoming


def test_the_end_of_receiving_is_not_an_end_of_file(connection: Connection) -> None:
    connection.receive_untrusted(packet(Operation.SHUTDOWN, flags=NO_MORE_RECEIVED))

    assert connection.is_deaf
    assert not connection.received_eof
    assert connection.state is State.ESTABLISHED


@pytest.mark.parametrize(
    "flags", [[NO_MORE_OF_EITHER], [1, 2], [2, 1], [NO_MORE_SENT, NO_MORE_OF_EITHER]]
)
def test_the_end_of_both_is_confirmed_by_a_reset(
    flags: list[int], connection: Connection
) -> None:
    connection.receive_untrusted(packet(Operation.RW, b"last words"))

    answers = [
        connection.receive_untrusted(packet(Operation.SHUTDOWN, flags=one))
        for one in flags
    ]

    assert answers == [None] * (len(flags) - 1) + [Operation.RST]
    assert connection.state is State.GONE
    assert connection.received_eof
    assert connection.take(SIZE) == b"last words"


def test_closed_it_waits_for_the_peers_reset(connection: Connection) -> None:
    assert connection.close()

    assert connection.receive_untrusted(packet(Operation.RW, b"too late")) is None
    assert connection.receive_untrusted(packet(Operation.CREDIT_REQUEST)) is None
    assert connection.state.name == "CLOSING"
    assert not connection.incoming
    assert connection.receive_untrusted(packet(Operation.RST)) is None
    assert connection.state is State.GONE


def test_when_both_close_at_once_both_reset(connection: Connection) -> None:
    connection.close()

    answer = connection.receive_untrusted(
        packet(Operation.SHUTDOWN, flags=NO_MORE_OF_EITHER)
    )

    assert answer is Operation.RST


def test_a_peer_that_has_gone_need_not_be_told(connection: Connection) -> None:
    connection.receive_untrusted(packet(Operation.RST))

    assert not connection.close()
    assert connection.receive_untrusted(packet(Operation.REQUEST)) is None


def test_a_reset_after_the_end_of_file_leaves_it_one(connection: Connection) -> None:
    connection.receive_untrusted(packet(Operation.SHUTDOWN, flags=NO_MORE_SENT))
    connection.receive_untrusted(packet(Operation.RST))

    assert connection.received_eof
    assert connection.is_deaf


def test_credit_counts_modulo_two_to_the_32(connection: Connection) -> None:
    connection._sent = 2**32 + 10
    connection.receive_untrusted(packet(Operation.CREDIT_UPDATE, fwd_cnt=2**32 - 5))

    assert connection.credit() == SIZE - 15


def test_a_peer_that_lies_about_credit_gets_nothing(connection: Connection) -> None:
    connection.receive_untrusted(packet(Operation.CREDIT_UPDATE, fwd_cnt=1))

    assert connection.credit() == 0


OPERATIONS = st.sampled_from([*Operation]) | st.integers(0, 65535)
ANY_PACKET = st.builds(
    packet,
    OPERATIONS,
    st.binary(max_size=1100),
    flags=st.integers(0, 2**32 - 1) | st.integers(0, 3),
    buf_alloc=st.integers(0, 2**32 - 1),
    fwd_cnt=st.integers(0, 2**32 - 1),
)


@settings(max_examples=50)
@given(
    packets=st.lists(ANY_PACKET | st.just(None), max_size=30),
    state=st.sampled_from([State.CONNECTING, State.ESTABLISHED]),
)
def test_whatever_comes_it_holds_no_more_than_it_promised(
    packets: list[Packet | None], state: State
) -> None:
    connection = Connection(PARENT, GUEST, SIZE, state)

    for one in packets:
        if one is None:
            connection.close()
        else:
            connection.receive_untrusted(one)
        assert len(connection.incoming) <= SIZE
        assert connection.credit() >= 0


class Conversation(RuleBasedStateMachine):
    """Two ends with a wire each way, on which packets wait; the model is two strings.

    Each end sends what the other's credit allows, and reads when it likes. Nothing may
    be lost, doubled or refused, and neither may hold more than it promised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ends = (
            Connection(PARENT, GUEST, SIZE),
            Connection(GUEST, PARENT, SIZE // 3),
        )
        self.wires: tuple[list[bytes], list[bytes]] = ([], [])
        self.said = [bytearray(), bytearray()]
        self.heard = [bytearray(), bytearray()]
        self.post(0, Operation.REQUEST)
        request = decode_packet_untrusted([self.wires[0].pop()])
        self.ends[1].establish(request)
        self.post(1, Operation.RESPONSE)
        self.deliver(1)

    def post(
        self, side: int, operation: Operation, data: bytes = b"", flags: int = 0
    ) -> None:
        """Send a packet from one side."""
        header = self.ends[side].header(operation, length=len(data), flags=flags)
        self.wires[side].append(header + data)

    @rule(side=st.integers(0, 1))
    def deliver(self, side: int) -> None:
        """Let the next packet from one side arrive at the other."""
        if self.wires[side]:
            arrived = decode_packet_untrusted([self.wires[side].pop(0)])
            answer = self.ends[1 - side].receive_untrusted(arrived)
            if answer is not None:
                self.post(1 - side, answer)

    @rule(side=st.integers(0, 1), data=st.binary(min_size=1, max_size=400))
    def send(self, side: int, data: bytes) -> None:
        """Say as much as there is credit for."""
        end = self.ends[side]
        data = data[: end.credit()]
        if data and not end.sent_eof and not end.is_deaf:
            self.said[side] += data
            end.note_sent(len(data))
            self.post(side, Operation.RW, data)

    @rule(side=st.integers(0, 1), size=st.integers(1, 500))
    def read(self, side: int, size: int) -> None:
        """Read, and tell the other side when there is room again."""
        end = self.ends[side]
        self.heard[1 - side] += end.take(size)
        if end.owes_update():
            self.post(side, Operation.CREDIT_UPDATE)
            assert not end.owes_update()

    @rule(side=st.integers(0, 1))
    def ask_for_credit(self, side: int) -> None:
        """Ask how much may be said."""
        if self.ends[side].state is State.ESTABLISHED:
            self.post(side, Operation.CREDIT_REQUEST)

    @precondition(lambda self: all(e.state is State.ESTABLISHED for e in self.ends))
    @rule(side=st.integers(0, 1))
    def end(self, side: int) -> None:
        """Say that no more will be said."""
        if not self.ends[side].sent_eof:
            self.ends[side].sent_eof = True
            self.post(side, Operation.SHUTDOWN, flags=NO_MORE_SENT)

    @invariant()
    def nobody_resets(self) -> None:
        """Two ends that keep the rules never fall out with each other."""
        assert all(end.state is State.ESTABLISHED for end in self.ends)

    @invariant()
    def what_is_heard_was_said(self) -> None:
        """What was read is the beginning of what was sent; the rest is under way."""
        for side in (0, 1):
            assert self.said[side].startswith(self.heard[side])

    @invariant()
    def nobody_holds_more_than_promised(self) -> None:
        """However slow its reader is."""
        for end in self.ends:
            assert len(end.incoming) <= end.buffer_size

    def teardown(self) -> None:
        """All arrives in the end, and everybody may speak again."""
        for _ in range(20):
            for side in (0, 1):
                while self.wires[side]:
                    self.deliver(side)
                self.read(side, 2 * SIZE)
        assert self.said == self.heard
        for side in (0, 1):
            if not self.ends[1 - side].received_eof:
                assert self.ends[side].credit() > self.ends[1 - side].buffer_size // 2


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=40, stateful_step_count=40)

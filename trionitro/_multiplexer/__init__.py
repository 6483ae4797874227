"""The fast path of the relay: one epoll moves the bytes of all socket-to-socket flows.

A *flow* joins two sockets and has two *directions*, each from a source to a sink. A
direction is in one of three states:

- *reading*: its source is watched for input. What arrives is read into a buffer that
  all flows share, and written to the sink at once, in the same pass.
- *blocked*: the sink would not take everything. Only then is anything kept, in
  ``rest`` or in a pipe; the source is not watched any more, which is the
  back-pressure, and the sink is watched for output instead.
- *ended*: the source's end-of-file was passed on. The other direction lives on.

A socket is the source of one direction and the sink of the other, so it is watched
for input, for output, for both, or for nothing. **When there is nothing to watch for,
it is unregistered**: epoll reports hang-ups and errors whatever the mask says, and a
socket that keeps reporting what nobody acts on makes the loop spin.

The epoll is **level-triggered**. Nothing is lost when a direction takes only part of
what is there, nothing needs to be armed again, and no read is spent on hearing EAGAIN.

**Who owns what.** A flow belongs to a *group*, and a group to the one task that waits
for its flows: a connection's own task for its one, or a route's for all of its
connections, which then need none. That task takes what is left of them out again in a
``finally``. There is no task of the multiplexer's own, and so none that could outlive a
nursery: of the tasks that wait, one *leads*, which is to drive the epoll for all until
its own group is done or it is cancelled, and then wakes another to lead. The others are
parked, and cost nothing.

**Small first.** A flow is *bulk* after 128 KiB in large reads without the other side
speaking. In a pass, what is small is served where epoll reports it, one read each;
bulk is queued and served afterwards, in turns, with a smaller budget while small
messages are about. Bulk from TCP is spliced through a pipe and not copied.

**Two lanes**, where there are two processors: what has become bulk moves in a thread of
its own, and comes home when it is quiet. It also comes home while that thread is kept
from running, which is when another task computes: the interpreter is lost to it at each
read and each write, and had back after five milliseconds.

**Lingering.** After a pass that moved something the leader looks again for some
microseconds before it goes back to Trio, because an answer is often that near; and
gives up the habit where it doesn't pay. Trio's other tasks get their turn after 250
microseconds, and the pass that has begun by then: one of a few dozen small messages, or
of 250 microseconds of bulk.

"""

from __future__ import annotations

from trionitro._multiplexer._carrier import Carrier as Carrier
from trionitro._multiplexer._carrier import carry as carry

"""How the two halves know of each other: the control channel and the logs.

Both are frames (:mod:`trionitro._framing`) of CBOR on a vsock port of the parent,
which the enclave connects to. Logs have a port of their own: on the same stream a
parent that reads them slowly would hold up the heartbeat and the exit report too.

Neither half trusts the other. What comes in is bounded before it is looked at, a peer
that has not proved itself gets seconds, and whoever doesn't read never stops whoever
has something to say: what waits to be sent is bounded, and the oldest is dropped.

"""

from __future__ import annotations

from trionitro._control._enclave import EnclaveControl as EnclaveControl
from trionitro._control._enclave import EnclaveLogs as EnclaveLogs
from trionitro._control._messages import MAX_LINE as MAX_LINE
from trionitro._control._messages import Exited as Exited
from trionitro._control._messages import Heartbeat as Heartbeat
from trionitro._control._messages import Hello as Hello
from trionitro._control._messages import Line as Line
from trionitro._control._messages import Lines as Lines
from trionitro._control._messages import Message as Message
from trionitro._control._messages import Phase as Phase
from trionitro._control._messages import Purpose as Purpose
from trionitro._control._messages import State as State
from trionitro._control._messages import Stop as Stop
from trionitro._control._pairing import PairingError as PairingError
from trionitro._control._parent import Listener as Listener
from trionitro._control._parent import ParentControl as ParentControl
from trionitro._control._parent import ParentLogs as ParentLogs

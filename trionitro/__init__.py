"""trionitro: write an AWS Nitro Enclave as one Trio program."""

# General layout: everything real lives in _underscored modules, and the packages
# only re-export. Imports point downwards, in this order (tests/test_layering.py):
#
#   _cbor, _endpoints, _framing, abc, …       no I/O of their own
#   _multiplexer                              moving the bytes of sockets
#   _channel, _relay                          streams
#   _listen                                   listeners on endpoints of any kind
#   vsock                                     addresses become streams
#   _control                                  the halves know of each other
#   proxy                                     python -m trionitro.proxy
#   nsm, attestation, kms                     the security device, and what it is for
#   manifest                                  one file for both halves
#   enclave, parent                           the halves
#   doctor                                    what is missing on a machine
#   testing, sandbox                          the emulated world; nothing below knows
#   vm                                        an enclave's half in a virtual machine
#   _cli, __main__                            the only place that prints or exits

from __future__ import annotations

from trionitro._channel import FramedChannel as FramedChannel
from trionitro._endpoints import Endpoint as Endpoint
from trionitro._endpoints import TcpEndpoint as TcpEndpoint
from trionitro._endpoints import UnixEndpoint as UnixEndpoint
from trionitro._endpoints import VsockEndpoint as VsockEndpoint
from trionitro._endpoints import parse_endpoint as parse_endpoint
from trionitro._exceptions import CannotStartError as CannotStartError
from trionitro._exceptions import ConfigError as ConfigError
from trionitro._exceptions import NotAllowedError as NotAllowedError
from trionitro._exceptions import ProtocolError as ProtocolError
from trionitro._framing import FrameDecoder as FrameDecoder
from trionitro._framing import encode_frame as encode_frame
from trionitro._relay import relay as relay
from trionitro._transfer import Ending as Ending
from trionitro._transfer import Progress as Progress
from trionitro._transfer import Transfer as Transfer

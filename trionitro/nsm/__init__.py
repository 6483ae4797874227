"""The Nitro Security Module: who this enclave is, entropy, and attestation documents.

:class:`Nsm` has a method for each request of the module's API. It talks to a device,
which is the kernel's or listens on a unix socket; :mod:`trionitro.testing` has one
that is emulated.

"""

from __future__ import annotations

from trionitro.nsm._choice import NSM_VARIABLE as NSM_VARIABLE
from trionitro.nsm._choice import nsm_device_from as nsm_device_from
from trionitro.nsm._choice import parse_nsm_device as parse_nsm_device
from trionitro.nsm._choice import parse_unix_path as parse_unix_path
from trionitro.nsm._client import MAX_ATTESTED_SIZE as MAX_ATTESTED_SIZE
from trionitro.nsm._client import Nsm as Nsm
from trionitro.nsm._client import Pcr as Pcr
from trionitro.nsm._device import KernelNsm as KernelNsm
from trionitro.nsm._errors import NsmError as NsmError
from trionitro.nsm._errors import NsmErrorCode as NsmErrorCode
from trionitro.nsm._errors import NsmUnavailableError as NsmUnavailableError
from trionitro.nsm._image import ImageMeasurements as ImageMeasurements
from trionitro.nsm._image import measure_image_untrusted as measure_image_untrusted
from trionitro.nsm._messages import NsmDescription as NsmDescription
from trionitro.nsm._pcrs import FIRST_FREE_PCR as FIRST_FREE_PCR
from trionitro.nsm._pcrs import PCR_COUNT as PCR_COUNT
from trionitro.nsm._pcrs import PCR_SIZE as PCR_SIZE
from trionitro.nsm._pcrs import ZERO_PCR as ZERO_PCR
from trionitro.nsm._pcrs import extend as extend
from trionitro.nsm._pcrs import measure_certificate as measure_certificate
from trionitro.nsm._pcrs import measure_instance as measure_instance
from trionitro.nsm._pcrs import measure_role as measure_role
from trionitro.nsm._pcrs import pcr_condition as pcr_condition
from trionitro.nsm._pcrs import pcr_meaning as pcr_meaning
from trionitro.nsm._unix_device import UnixNsm as UnixNsm

"""An emulated KMS: what :class:`~trionitro.testing.KmsEmulator` is made of.

From the outside in: ``_emulator`` listens; ``_service`` turns a request into a call,
with ``_authentication``, ``_inputs`` and ``_recipients``; ``_encryption``, ``_pairs``
and ``_administration`` are the operations; ``_calls`` asks the policies, ``_keys`` are
the keys, ``_ciphertexts`` and ``_envelopes`` what comes of them.

"""

from __future__ import annotations

from trionitro.testing._kms._emulator import KmsEmulator as KmsEmulator
from trionitro.testing._kms._envelopes import EnvelopeShape as EnvelopeShape
from trionitro.testing._kms._events import KmsEvent as KmsEvent
from trionitro.testing._kms._files import load_kms_access_keys as load_kms_access_keys
from trionitro.testing._kms._files import load_kms_keys as load_kms_keys

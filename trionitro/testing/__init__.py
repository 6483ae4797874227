"""What tests of enclaves and proxies are made of: a world that fits in a process."""

from __future__ import annotations

from trionitro.testing._cancellation import cancel_at_every_step as cancel_at_every_step

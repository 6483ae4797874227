"""What every test has: one way of running Hypothesis."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a busy machine is no bug, and pytest-timeout watches for hangs. The
# same examples every time, so that a red build is about the change at hand; hunt for
# new ones with ``--hypothesis-profile=hunt``.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("hunt", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("repeatable")

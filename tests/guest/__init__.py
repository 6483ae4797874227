"""Tests that run in a guest only, on its real kernel: ``nox -s guest``."""

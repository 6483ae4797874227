"""Tests of the emulated KMS."""

"""Tests of ``trionitro.enclave``."""

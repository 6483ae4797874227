"""Tests of trionitro.attestation."""

"""Booting, step by step."""

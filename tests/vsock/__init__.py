"""Vsock networks, each against its contract and its own promises."""

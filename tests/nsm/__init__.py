"""The security module: its messages, its devices, its client."""

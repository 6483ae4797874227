"""The doctor: machines of every kind, sound and broken."""

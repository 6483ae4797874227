"""The control channel, from its messages to both of its ends."""

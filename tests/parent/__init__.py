"""The parent's half."""

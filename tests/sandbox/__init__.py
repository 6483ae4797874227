"""Both halves on one machine."""

"""The fast path of the relay: each module by itself, and all of it in a run."""

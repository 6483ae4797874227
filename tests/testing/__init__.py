"""The emulated world: fakes have tests too."""

"""The parent's half, from nitro-cli to its process."""

"""Manifests, from their text to the files that follow."""

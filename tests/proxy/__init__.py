"""Proxies, from their parsers to their processes."""

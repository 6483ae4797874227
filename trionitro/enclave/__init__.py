"""Booting an enclave: from an empty kernel to the application, and back."""

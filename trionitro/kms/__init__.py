"""KMS through the proxy, with the enclave's attestation."""

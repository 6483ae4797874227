"""KMS: signatures, envelopes, credentials, the client and sealed files."""

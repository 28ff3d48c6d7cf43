"""The wrapper around the credential provider's process, and what it keeps on this machine."""

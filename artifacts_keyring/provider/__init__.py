"""The subprocess wrapper around the credential provider."""

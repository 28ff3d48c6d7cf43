"""What a person types: `artifacts-keyring`, the same as `python -m artifacts_keyring`. No look-up imports this."""

"""Check what a built file claims, and run the provider in it."""

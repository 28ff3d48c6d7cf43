"""Move the pin and cut a release. The build hook imports nothing of this."""

"""Take a payload out of its archive, and measure, verify and describe it."""

"""What operating systems do differently: files, programs, waiting, consoles."""

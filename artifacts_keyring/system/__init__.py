"""What differs between operating systems: access, programs, waiting, Windows."""

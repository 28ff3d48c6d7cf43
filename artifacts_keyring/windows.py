"""What a program that is started needs on Windows alone: a console, its code page, and a job that ends with us."""

from __future__ import annotations

import sys
from typing import Callable, Optional

NO_WINDOW = 0x08000000  # CREATE_NO_WINDOW


def creation_flags(console: bool) -> int:
    """How to start a program, with or without a *console* of ours, which it then shares.

    The broker signs in on the console's window: a program without any falls back to browser and code. Where we have
    none, as in a GUI or a service, a new one would flash up.
    """
    return 0 if console else NO_WINDOW


def codec(code_page: int) -> str:
    """The codec for what .NET writes into a pipe: its console's *code page*, 0 for a console of its own (measured)."""
    return f"cp{code_page}" if code_page else "oem"


if sys.platform == "win32":
    import os

    def has_console() -> bool:
        """Whether we have a console, be it hidden."""
        try:
            os.close(os.open("CONOUT$", os.O_RDWR))
        except OSError:
            return False
        return True

    def code_page() -> int:
        """That of our console's output; 0 without a console."""
        import ctypes

        return int(ctypes.WinDLL("kernel32").GetConsoleOutputCP())

    def job(process: int) -> Optional[Callable[[], object]]:
        """End *process* (its handle) when we end, however that comes about; what it starts lives on.

        Returns what undoes it, which ends *process* as well; None where the system refuses, as for a client that is
        itself in a job of an older kind.
        """
        import ctypes

        kernel = ctypes.WinDLL("kernel32")
        kernel.CreateJobObjectW.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
        # JOBOBJECT_EXTENDED_LIMIT_INFORMATION (class 9), of which only the flags count: KILL_ON_JOB_CLOSE and
        # SILENT_BREAKAWAY_OK.
        limits = (ctypes.c_uint32 * (36 if sys.maxsize > 2**32 else 28))()
        limits[4] = 0x2000 | 0x1000
        if kernel.SetInformationJobObject(handle, 9, limits, ctypes.sizeof(limits)) and kernel.AssignProcessToJobObject(
            handle, ctypes.c_void_p(process)
        ):
            return lambda: kernel.CloseHandle(handle)
        kernel.CloseHandle(handle)
        return None

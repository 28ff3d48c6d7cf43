"""What starting a program needs on Windows: console, code page, a job that ends with us, error numbers."""

from __future__ import annotations

import sys
from typing import Callable, Optional

NO_WINDOW = 0x08000000  # CREATE_NO_WINDOW


def creation_flags(console: bool) -> int:
    """How to start a program, with or without a *console* of ours, which it then shares.

    The broker signs in on the console's window; without one the provider falls back to browser and code
    (docs/sign-in.md#browser-and-device-code). If we have none, as in a GUI or a service, a new one would flash up.
    """
    return 0 if console else NO_WINDOW


def codec(code_page: int) -> str:
    """The codec of .NET's pipes, from its console's *code page*; 0: it has none (docs/provider.md#command-line)."""
    return f"cp{code_page}" if code_page else "oem"


_REFUSED = "may not be executed ({0}): have the system's rules or the security program of this machine allow it"
_MEMORY = "cannot be started because memory is short ({0}): close something, and try again"
# Numbers of the system (winerror), which mean something else as an errno. {0}: its own words.
_NOT_STARTED = {
    **dict.fromkeys((2, 3), "is gone ({0}), perhaps taken away by a security program: reinstall artifacts-keyring"),
    **dict.fromkeys((5, 225, 226, 1260, 4551), _REFUSED),
    **dict.fromkeys((8, 14, 1455), _MEMORY),
}
# NTSTATUS and what .NET ends with.
_ENDS = {
    0xC000013A: "it was interrupted",
    0xC0000005: "it crashed",
    0xC0000409: "it crashed",
    0xE0434352: "it crashed",
    0xC0000017: "memory is short",
    0xC000012D: "memory is short",
    0xC0000135: "a DLL that it needs is missing",
    0xC0000142: "a DLL could not be loaded, as when the session ends",
}


def not_started(winerror: Optional[int], words: Optional[str]) -> Optional[str]:
    """What is wrong with a program that the system refuses to start, after its name; *words*: the system's."""
    sentence = _NOT_STARTED.get(winerror or 0)
    return sentence.format(words) if sentence else None


def end(code: int) -> str:
    """An exit code (the system's are 32 bits without a sign) for people: -1 as such, a status in hexadecimal."""
    number = code & 0xFFFFFFFF
    if number < 2**31:
        return str(number)
    if number == 0xFFFFFFFF:
        return "-1"
    return f"0x{number:08X}, {_ENDS[number]}" if number in _ENDS else f"0x{number:08X}"


if sys.platform == "win32":
    import os

    def has_console() -> bool:
        """Whether we have a console, even a hidden one."""
        try:
            os.close(os.open("CONOUT$", os.O_RDWR))
        except OSError:
            return False
        return True

    def code_page() -> int:
        """The code page of our console's output; 0 without a console."""
        import ctypes

        return int(ctypes.WinDLL("kernel32").GetConsoleOutputCP())

    def job(process: int) -> Optional[Callable[[], object]]:
        """End *process* (its handle) when we end in any way; what it starts lives on.

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

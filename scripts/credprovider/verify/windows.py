"""Real CPythons for Windows on a Linux x86-64 machine, for Debian's wine: made once, cached, copied for each use.

The wheel of panda3d for Windows carries python.org's own DLL, extension modules and OpenSSL; the standard library's .py
files are those of the Python that runs this; `python.exe` is a few lines of C that hand everything to the DLL.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

import lief

from credprovider.errors import BrokenTool, Lacking

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
HOME = rf"C:\Python{VERSION.replace('.', '')}"
_ROOT = Path(__file__).resolve().parents[3]
_DLL = f"python{VERSION.replace('.', '')}.dll"
WINE, _SERVER = Path("/usr/lib/wine/wine64"), Path("/usr/lib/wine/wineserver64")
_DLLS, _COMPILER = "panda3d==1.10.16", "ziglang==0.17.1"
_KEPT_SECONDS = 14 * 24 * 3600  # what was not used for so long is removed
_NOT_COPIED = shutil.ignore_patterns(
    "site-packages",
    "dist-packages",
    "__pycache__",
    "lib-dynload",
    "config-3*",
    "sitecustomize.py",
    "EXTERNALLY-MANAGED",
    "test",
    "lib2to3",
)

# No C library: one would have to be compiled first. 103 is what Windows' own launcher exits with.
_PYTHON_EXE = """
#define FOREIGN __declspec(dllimport)
typedef unsigned short text;
FOREIGN text *__stdcall GetCommandLineW(void);
FOREIGN text **__stdcall CommandLineToArgvW(const text *, int *);
FOREIGN void *__stdcall LoadLibraryA(const char *);
FOREIGN void *__stdcall GetProcAddress(void *, const char *);
FOREIGN void __stdcall ExitProcess(unsigned);
void __stdcall start(void) {
    int count;
    text **words = CommandLineToArgvW(GetCommandLineW(), &count);
    void *dll = LoadLibraryA(DLL);
    int (*run)(int, text **) = dll ? GetProcAddress(dll, "Py_Main") : 0;
    ExitProcess(run ? run(count, words) : 103);
}
"""
# Extension modules for any Python 3 (cryptography's) are linked against this one, which forwards all its names.
_PYTHON3_DLL = "int start(void *dll, unsigned reason, void *reserved) { return 1; }"
# uv.exe needs it; wine 8 does not have it.
_PRNG_DLL = """
__declspec(dllimport) unsigned char SystemFunction036(void *, unsigned long);
__declspec(dllexport) int ProcessPrng(void *into, unsigned long long size) { return SystemFunction036(into, size); }
int start(void *dll, unsigned reason, void *reserved) { return 1; }
"""


class Machine(NamedTuple):
    """A kind of processor, as pip and the compiler name it."""

    platform: str
    zig: str


BITS_64, BITS_32 = Machine("win_amd64", "x86_64-windows-gnu"), Machine("win32", "x86-windows-gnu")


class Windows(NamedTuple):
    """A prefix of wine's with a Python in it; `wheels` has what its pip can install."""

    prefix: Path
    wheels: Path

    @property
    def python(self) -> Path:
        """Its python.exe, as Linux sees it."""
        return self.prefix / "drive_c" / HOME.partition("\\")[2] / "python.exe"

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """All that a program may see of this machine, and `more`."""
        clean = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.prefix.parent),
            "USER": "user",
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # Not mscoree: without it no assembly loads.
            "WINEDLLOVERRIDES": "mshtml=",
            "WINEPATH": rf"{HOME};{HOME}\Scripts",
            "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
        }
        return {**clean, **more}

    def start(
        self, words: Sequence[str], environ: Mapping[str, str], cwd: Path, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start a Windows program. On pipes: wine 8 gives Python a handle that is none for a plain file."""
        return subprocess.Popen(
            [str(WINE), *words],
            env=self.environ(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def run(self, *words: str, timeout: float = 300.0, **environ: str) -> str:
        """What a Windows program says on stdout. Raises BrokenTool when it fails, or takes `timeout` seconds."""
        with self.start(words, environ, self.prefix) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise BrokenTool(f"{words[0]} did not end within {timeout:.0f} s") from None
        if process.returncode:
            last = (out + err).decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise BrokenTool(f"{words[0]} under wine ended with {process.returncode}: {last[-1]}")
        return out.decode(errors="replace")

    def alive(self) -> bool:
        """Whether its wineserver runs, as it does while any program does; wine 8's has been seen to abort."""
        return self._server("-k0") == 0

    def stop(self) -> None:
        """End everything that runs in it, also what a wineserver that aborted has left behind."""
        self._server("-k", "-w")
        mark = f"WINEPREFIX={self.prefix}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # ended meanwhile, or somebody else's
                if mark in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), 9)  # SIGKILL has no name in Windows' signal module

    def _server(self, *words: str) -> int:
        return subprocess.run([str(_SERVER), *words], env=self.environ({}), check=False, timeout=60).returncode


def path(name: Path) -> str:
    """`name` as a Windows program sees it."""
    return "Z:" + str(name).replace("/", "\\")


@contextlib.contextmanager
def machine(scratch: Path, say: Callable[[str], None]) -> Iterator[Windows]:
    """A copy of the cached one in the folder `scratch`, which is made first where it is missing; ended afterwards.

    Raises Lacking, BrokenTool.
    """
    template = ready(say)
    scratch.mkdir(parents=True, exist_ok=True)
    copy = Windows(scratch / "prefix", template.wheels)
    shutil.copytree(template.prefix, copy.prefix, symlinks=True)
    try:
        yield copy
    finally:
        copy.stop()


def ready(say: Callable[[str], None]) -> Windows:
    """The cached one of this recipe; made first where it is missing. Raises Lacking, BrokenTool."""
    if not WINE.is_file():
        raise Lacking("wine64")
    cache = _cache()
    folder = cache / f"windows-{_digest()}"
    if not folder.is_dir():
        say(f"making a Windows Python {VERSION} in {folder} (once; again when its recipe changes)")
        _make(folder)
    folder.touch()
    _forget_old(cache)
    return Windows(folder / "prefix", folder / "wheels")


def ready_32_bit() -> Path:
    """The folder of a cached 32-bit Python without packages; made first where it is missing.

    Raises Lacking, BrokenTool.
    """
    cache = _cache()
    folder = cache / f"python32-{_digest()}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix="half-made-", dir=cache) as name:
            made, tools = Path(name, "whole"), Path(name, "tools")
            _pip("install", "--target", str(tools), _COMPILER)
            _put_interpreter(made, made, tools, BITS_32)
            if not folder.is_dir():  # else another process was faster
                made.rename(folder)
    folder.touch()
    _forget_old(cache)
    return folder


def _cache() -> Path:
    """A folder of our own that outlives an empty HOME."""
    if sys.platform == "win32":
        raise Lacking("Linux")
    system, own = Path("/var/cache"), os.geteuid()
    folder = (
        system / "artifacts-keyring" if os.access(system, os.W_OK) else Path(tempfile.gettempdir(), f"windows-{own}")
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != own:
        raise BrokenTool(f"{folder} belongs to someone else; remove it")
    return folder


def _digest() -> str:
    """What is made depends on this file, the requirements and the Python."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [project["project"]["dependencies"], project["dependency-groups"]]
    made_of = [Path(__file__).read_text(encoding="utf-8"), wanted, sys.version, sysconfig.get_path("stdlib")]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _forget_old(cache: Path) -> None:
    for folder in cache.iterdir():
        if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path) -> None:
    """Make it beside `folder` and move it there when it is whole."""
    with tempfile.TemporaryDirectory(prefix="half-made-", dir=folder.parent) as name:
        made = Windows(Path(name, "whole", "prefix"), Path(name, "whole", "wheels"))
        made.prefix.mkdir(parents=True)
        tools = Path(name, "tools")
        _pip("install", "--target", str(tools), _COMPILER)
        _set_up(made)
        _put_python(made, tools)
        _install(made, Path(name, "requirements"))
        # Its byte code is the same; there it takes three times as long.
        _run([sys.executable, "-m", "compileall", "-q", "-j", "0", str(made.python.parent / "Lib")])
        made.run("python.exe", "-c", "import ctypes, ssl, cryptography")
        made.stop()
        if not folder.is_dir():  # else another process was faster
            made.prefix.parent.rename(folder)


def _set_up(made: Windows) -> None:
    made.run("wineboot", "-i", timeout=120)
    made.run("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")


def _put_interpreter(home: Path, system: Path, tools: Path, machine: Machine) -> None:
    """Python in the folder `home`, its DLL in `system`, which Windows looks into."""
    shutil.copytree(sysconfig.get_path("stdlib"), home / "Lib", ignore=_NOT_COPIED)
    for name in ("DLLs", "Scripts", "Lib/site-packages"):
        (home / name).mkdir()
    with zipfile.ZipFile(_dlls(tools, machine)) as archive:
        for member in archive.namelist():
            name = member.removeprefix("deploy_libs/")
            if name in (_DLL, "VCRUNTIME140.dll", "VCRUNTIME140_1.dll"):
                (system / name.lower()).write_bytes(archive.read(member))
            # Through _wmi, platform.platform() would abort wine 8.
            elif name != member and name.endswith((".pyd", ".dll")) and not name.startswith(("_wmi", "api-ms-")):
                (home / "DLLs" / name).write_bytes(archive.read(member))
    _compile(tools, home / "python.exe", _PYTHON_EXE, machine, f'-DDLL="{_DLL}"', "-lkernel32", "-lshell32")


def _put_python(made: Windows, tools: Path) -> None:
    # Where the installer for all users puts the DLL; a virtual environment's python.exe finds it there.
    home, system = made.python.parent, made.prefix / "drive_c/windows/system32"
    _put_interpreter(home, system, tools, BITS_64)
    launchers = home / "Lib/venv/scripts/nt"  # what venv copies; uv wants both
    launchers.mkdir(exist_ok=True)
    for name in ("python.exe", "pythonw.exe"):
        shutil.copy(home / "python.exe", launchers / name)
    _compile(tools, system / "python3.dll", _PYTHON3_DLL, BITS_64, "-shared", str(_forwards(system / _DLL, tools)))
    _compile(tools, system / "bcryptprimitives.dll", _PRNG_DLL, BITS_64, "-shared", "-ladvapi32")


def _dlls(tools: Path, machine: Machine) -> Path:
    """The wheel with the DLLs. Raises Lacking where the index has none for this Python."""
    try:
        (wheel,) = _download(tools, machine, _DLLS)
    except BrokenTool as error:
        if "No matching distribution" in str(error):
            raise Lacking(f"{_DLLS} for Python {VERSION} on Windows, which the package index does not have") from None
        raise
    return wheel


def _forwards(dll: Path, tools: Path) -> Path:
    """A definition file with every name of `dll`."""
    found = lief.PE.parse(str(dll))
    exported = found.get_export() if found else None
    names = {str(entry.name) for entry in exported.entries if entry.name} if exported else set()
    lines = "".join(f"  {name}={dll.stem}.{name}\n" for name in sorted(names))
    path = tools / "python3.def"
    path.write_text(f"LIBRARY python3\nEXPORTS\n{lines}")
    return path


def _compile(tools: Path, into: Path, source: str, machine: Machine, *options: str) -> None:
    file = tools / f"{into.stem}.c"
    file.write_text(source)
    flags = ["-target", machine.zig, "-O1", "-s", "-nostdlib", "-Wl,--entry,start", "-o", str(into)]
    environ = {**os.environ, "PYTHONPATH": str(tools), "ZIG_GLOBAL_CACHE_DIR": str(tools / "cache")}
    _run([sys.executable, "-m", "ziglang", "cc", *flags, str(file), *options], environ)


def _install(made: Windows, requirements: Path) -> None:
    """What the tests need; markers are read for Windows, which pip cannot do from here."""
    uv = [sys.executable, "-m", "uv", "pip"]
    target = ["--python-platform", "windows", "--python-version", VERSION]
    project = str(_ROOT / "pyproject.toml")
    _run([*uv, "compile", *target, "--group", f"{project}:test", project, "--no-header", "-o", str(requirements)])
    _download(made.wheels, BITS_64, "--requirement", str(requirements))
    local = ["--no-index", "--find-links", str(made.wheels), "--no-deps", "--only-binary=:all:"]
    site = made.python.parent / "Lib/site-packages"
    _run([*uv, "install", *target, *local, "--target", str(site), "--requirement", str(requirements)])


def _download(into: Path, machine: Machine, *what: str) -> list[Path]:
    into.mkdir(exist_ok=True)
    only = ["--no-deps", "--only-binary=:all:", "--platform", machine.platform, "--python-version", VERSION]
    _pip("download", *only, "--implementation", "cp", "--dest", str(into), *what)
    return list(into.glob("*.whl"))


def _pip(*words: str) -> None:
    _run([sys.executable, "-m", "pip", *words, "--quiet", "--disable-pip-version-check"])


def _run(command: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
        raise BrokenTool(f"{' '.join(command[:4])} … ended with {done.returncode}: {last[-1]}")

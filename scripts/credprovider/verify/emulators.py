"""How each target's provider is started on a Linux x86-64 machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from artifacts_keyring.provider.layout import PROGRAM
from credprovider.errors import BrokenTool, Lacking

# No emulator of these exists in a package this project could use.
UNRUNNABLE = ("osx-x64", "osx-arm64", "win-arm64")

_DOTNET_MUXER = "dotnetcore2==3.1.23"
_ARM64_PACKAGES = ("libc6", "libgcc-s1", "libstdc++6", "libssl3", "zlib1g")
_WINE_ENVIRONMENT = {
    # Not mscoree: without it no assembly loads.
    "WINEDLLOVERRIDES": "mshtml=",
    "WINEDEBUG": "-all",
}
# On a Windows Python: starts the words after it, and hands on what they say.
_STARTER = (
    "import subprocess, sys; done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True); "
    "sys.stdout.buffer.write(done.stdout); sys.stderr.buffer.write(done.stderr); sys.exit(done.returncode)"
)


@dataclass(frozen=True)
class Runner:
    """How to start a provider: a name for people, its command line, variables for it, the Python that starts it."""

    how: str
    command: Callable[[Path], list[str]]
    environ: dict[str, str] = field(default_factory=dict)
    python: str = f"CPython {sys.version_info.major}.{sys.version_info.minor} for Linux"


@contextmanager
def runner(key: str, root: Path, scratch: Path) -> Iterator[Runner]:
    """The runner for target `key`, whose payload is unpacked at `root`. Raises Lacking, BrokenTool."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Lacking("a Linux x86-64 machine")
    makers = {"linux-x64": _native, "linux-arm64": _qemu, "win-x64": _wine64, "win-x86": _wine32, "any": _dotnet}
    home = scratch / "home"
    home.mkdir()
    made, clean = makers[key](root, scratch, {"HOME": str(home)})
    try:
        yield made
    finally:
        clean()


_Made = tuple[Runner, Callable[[], None]]


def _nothing() -> None:
    return None


def _native(_root: Path, _scratch: Path, environ: dict[str, str]) -> _Made:
    return Runner("natively", lambda provider: [str(provider)], environ), _nothing


def _qemu(_root: Path, scratch: Path, environ: dict[str, str]) -> _Made:
    qemu = _tool("qemu-aarch64-static", "qemu-user-static")
    system = _foreign_packages(scratch / "arm64", "arm64", _ARM64_PACKAGES)
    return Runner("under qemu-user", lambda provider: [qemu, "-L", str(system), str(provider)], environ), _nothing


def _foreign_packages(folder: Path, architecture: str, names: tuple[str, ...]) -> Path:
    """Download packages of another architecture with apt's own lists for it, and unpack them."""
    if _system().get("ID") != "debian":
        # Others keep the packages of other architectures on servers that apt was not told of.
        raise Lacking(f"Debian, whose servers have {architecture} packages, too")
    for part in ("lists/partial", "cache/archives/partial", "root"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Sandbox::User": "",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::State::status": folder / "status",
    }
    apt = [
        _tool("apt-get", "apt"),
        "-qq",
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
    ]
    _run([*apt, "update"], folder)
    _run([*apt, "download", *names], folder)
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
    return folder / "root"


def _wine64(_root: Path, scratch: Path, _environ: dict[str, str]) -> _Made:
    """By a Windows Python, as there: wine has both in it."""
    from credprovider.verify import windows

    stack = ExitStack()
    system = stack.enter_context(windows.machine(scratch / "windows", lambda _line: None))

    def command(provider: Path) -> list[str]:
        return [str(windows.WINE), "python.exe", "-c", _STARTER, f"{windows.path(provider)}.exe"]

    python = f"CPython {windows.VERSION} for Windows, under wine64"
    return Runner("under wine64", command, system.environ({}), python), stack.close


def _wine32(root: Path, scratch: Path, environ: dict[str, str]) -> _Made:
    """By a 32-bit Windows Python, under wine32 in an i386 system: beside an amd64 one its packages rarely fit."""
    from credprovider.verify import windows

    mmdebstrap, unshare = _tool("mmdebstrap", "mmdebstrap"), _tool("unshare", "util-linux")
    _tool("arch-test", "arch-test")
    if sys.platform == "win32" or os.geteuid() != 0:
        raise Lacking("root, for a chroot with wine32")
    system = scratch / "i386"
    options = ["-q", "--architectures=i386", "--variant=essential", "--include=wine32"]
    _run([mmdebstrap, *options, _release(), str(system), *debian_mirror()], scratch)
    for name in ("payload", "home", "python"):
        (system / name).mkdir(exist_ok=True)
    script = (
        'set -e; mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/tmp"; mount --bind "$2" "$1/payload"; '
        'mount --bind "$3" "$1/python"; root=$1; shift 3; exec chroot "$root" sh -c '
        '\'/usr/lib/wine/wine reg add "HKCU\\Software\\Wine" /v Version /d win10 /f >/dev/null 2>&1; '
        'exec /usr/lib/wine/wine "$@"\' wine "$@"'
    )
    inside = ["sh", "-c", script, "sh", str(system), str(root), str(windows.ready_32_bit())]

    def command(provider: Path) -> list[str]:
        name = f"/payload/{provider.relative_to(root).as_posix()}.exe"
        # A process namespace of its own: wineserver ends with it.
        python = ["/python/python.exe", "-c", _STARTER]
        return [unshare, "-m", "-p", "--fork", "--kill-child", *inside, *python, windows.path(Path(name))]

    environ = {**environ, **_WINE_ENVIRONMENT, "HOME": "/home", "WINEPREFIX": "/home/prefix", "WINEARCH": "win32"}
    python = f"32-bit CPython {windows.VERSION} for Windows, under wine32"
    return Runner("under wine32 in an i386 chroot", command, environ, python), _nothing


def _dotnet(_root: Path, scratch: Path, environ: dict[str, str]) -> _Made:
    dotnet = shutil.which("dotnet") or str(assemble_dotnet(_linux_payload(scratch / "linux-x64"), scratch / "dotnet"))
    environ = {**environ, "DOTNET_ROOT": str(Path(dotnet).resolve().parent)}
    return Runner("by dotnet exec", lambda provider: [dotnet, "exec", f"{provider}.dll"], environ), _nothing


def _linux_payload(into: Path) -> Path:
    from credprovider import lockfile
    from credprovider.fetch import sources
    from credprovider.payload import tree

    pinned = lockfile.load(Path(__file__).resolve().parents[3] / lockfile.LOCK_NAME)
    target = pinned.targets["linux-x64"]
    archive = sources.obtain(pinned, target, sources.Settings.from_environ(os.environ), lambda _line: None)
    return tree.unpack(archive, target.tree, into)


def assemble_dotnet(payload: Path, into: Path) -> Path:
    """Make a .NET runtime out of the self-contained linux-x64 `payload`; return its `dotnet`.

    No distribution package and no index has .NET 8, but the payload holds all of its runtime; only
    the muxer and the folders are missing. Raises BrokenTool when the muxer cannot be downloaded.
    """
    deps = json.loads((payload / f"{PROGRAM}.deps.json").read_text(encoding="utf-8"))
    name, library = _runtime_pack(deps)
    version = name.rpartition("/")[2]
    framework = into / "shared" / "Microsoft.NETCore.App" / version
    fxr = into / "host" / "fxr" / version
    for folder in (framework, fxr):
        folder.mkdir(parents=True)
    for file in (*library.get("runtime", {}), *library.get("native", {})):
        if (payload / file).is_file():  # what the pin drops is named there, too
            shutil.copy2(payload / file, framework)
    (framework / "libhostfxr.so").replace(fxr / "libhostfxr.so")
    (framework / "Microsoft.NETCore.App.deps.json").write_text(json.dumps(_framework_deps(name, library, deps)))
    muxer = _muxer(into)
    muxer.chmod(0o755)
    return muxer


def _runtime_pack(deps: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    libraries = next(iter(libraries for libraries in deps["targets"].values() if libraries))
    prefix = "runtimepack."
    found = next(name for name in libraries if name.startswith(f"{prefix}Microsoft.NETCore.App.Runtime"))
    return found[len(prefix) :], libraries[found]


def _framework_deps(name: str, library: dict[str, Any], deps: dict[str, Any]) -> dict[str, Any]:
    return {
        "runtimeTarget": deps["runtimeTarget"],
        "targets": {deps["runtimeTarget"]["name"]: {name: library}},
        "libraries": {name: {"type": "package", "serviceable": True, "sha512": ""}},
    }


def _muxer(into: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(into)]
    _run([*pip, _DOTNET_MUXER], into)
    (wheel,) = into.glob("dotnetcore2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (into / "dotnet").write_bytes(archive.read("dotnetcore2/bin/dotnet"))
    wheel.unlink()
    return into / "dotnet"


def debian_mirror() -> list[str]:
    """The mirror this machine's apt uses, without updates and security, as arguments for mmdebstrap.

    A mirror of the security archive that lags behind fails a whole run; a smoke test needs no updates.
    """
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    addresses = (line.strip().rstrip("/") for line in listed.stdout.splitlines())
    return [address for address in addresses if address.endswith("/debian")][:1]


def _release() -> str:
    """The Debian release to put up: this machine's own, else the stable one."""
    system = _system()
    return system.get("VERSION_CODENAME", "stable") if system.get("ID") == "debian" else "stable"


def _system() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Lacking(f"{name} (package {package})")
    return found


def _run(command: list[str], folder: Path, environ: dict[str, str] | None = None, check: bool = True) -> None:
    variables = {**os.environ, **(environ or {})}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if check and done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
        raise BrokenTool(f"{Path(command[0]).name} ended with {done.returncode}: {last[-1]}")

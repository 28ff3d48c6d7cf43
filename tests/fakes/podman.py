"""A manylinux image without a container registry, for the real cibuildwheel.

podman imports the system that tests/fakes/debian.py makes; everything lives in a folder of its own and needs no daemon.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.fakes import debian

BASE = "localhost/base"
IMAGE = "localhost/manylinux"
CERTIFICATES = "/etc/ssl/certs"
BUNDLE = f"{CERTIFICATES}/ca-certificates.crt"
TOOLS = ("podman", "runc")

_CONTAINERFILE = f"""FROM {BASE}
RUN python3 -m venv /opt/python/cp39-cp39 && /opt/python/cp39-cp39/bin/pip install -q 'build[uv]>=1.2'
"""


def missing() -> list[str]:
    """What this machine lacks to run containers; empty when it lacks nothing."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    return lacking if os.name == "nt" or os.geteuid() == 0 else [*lacking, "root"]


@contextlib.contextmanager
def store(folder: Path) -> Iterator[dict[str, str]]:
    """Podman's configuration and all it keeps below `folder`: the variables that select it."""
    try:
        yield _configure(folder)
    finally:
        # podman mounts its store onto itself, and nobody could remove that.
        subprocess.run(["umount", str(folder / "graph" / "overlay")], check=False, capture_output=True)


def _configure(folder: Path) -> dict[str, str]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1] % 2**31, 32768) or 32768
    (folder / "containers.conf").write_text(
        '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n'
        f'[containers]\nnetns="host"\ndefault_ulimits=["nofile={files}:{files}","nproc={processes}:{processes}"]\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver="overlay"\ngraphroot="{folder}/graph"\nrunroot="{folder}/run"\n'
    )
    return {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }


def make_image(folder: Path, variables: Mapping[str, str]) -> str:
    """Make IMAGE (Debian 11: glibc 2.31, Python 3.9) and show that it runs; return its name."""
    context = folder / "context"
    context.mkdir()
    (context / "Containerfile").write_text(_CONTAINERFILE)
    system = debian.system("bullseye")
    _run("sh", "-c", f"tar -C '{system}' -c . | podman import -q - {BASE}", variables=variables)
    trust = ["-v", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--env", f"PIP_CERT={BUNDLE}"]
    _run("podman", "build", "-q", *trust, "-t", IMAGE, context, variables=variables)
    _run("podman", "run", "--rm", IMAGE, "true", variables=variables)
    return IMAGE


def _run(*command: object, variables: Mapping[str, str] | None = None) -> str:
    words = [str(word) for word in command if str(word)]
    done = subprocess.run(words, env={**os.environ, **(variables or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout

"""Real package clients, each in a virtual environment of its own with our wheel, and how each is called."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from credprovider.verify import installing

from tests.fakes.azure import AzureWorld, Feed
from tests.fakes.azure.feeds import wheel as make_wheel
from tests.fakes.azure.provider import BARE

USER = "VssSessionToken"
DEADLINE = 120.0  # seconds for one run of a client; a busy machine needs twenty
PYTHON = "python.exe" if os.name == "nt" else "python"  # of a virtual environment

# Wraps what keyring calls, in processes of the test only, and changes nothing of it.
SPY = """
import importlib.abc, importlib.util, json, os, sys, time

class Spy(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "artifacts_keyring.backend":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), watch(module.ArtifactsKeyringBackend))[0]
        return spec

def watch(backend):
    for method in ("get_credential", "get_password"):
        setattr(backend, method, watched(method, getattr(backend, method)))

def watched(method, call):
    def recorded(self, service, username):
        begin = time.monotonic()
        answer = call(self, service, username)
        line = {"method": method, "service": service, "username": username, "found": answer is not None,
                "seconds": time.monotonic() - begin, "process": os.getpid()}
        with open(os.environ["LOOK_UP_RECORD"], "a") as record:
            record.write(json.dumps(line) + "\\n")
        return answer
    return recorded

if os.environ.get("LOOK_UP_RECORD"):
    sys.meta_path.insert(0, Spy())
"""


@dataclass(frozen=True)
class Job:
    """What a client is to do: install `packages` from `feeds`, or upload `file` to the first of them.

    `programs` is the folder that holds the client; `keyring` that of a keyring command elsewhere, because
    pip never takes the one beside itself.
    """

    feeds: tuple[Feed, ...]
    packages: tuple[str, ...]
    folder: Path
    file: Path
    ca_file: Path
    programs: Path
    keyring: Path


@dataclass(frozen=True)
class Command:
    """A command line below the environment's folder of programs, and what it needs in its environment."""

    words: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """A row of CLIENTS: `requirement` is what is installed, `command` how it is called.

    `proxied` is false for a client that no proxy variable reaches: it gets feeds on 127.0.0.1 itself.
    """

    name: str
    requirement: str
    uploads: bool
    command: Callable[[Job], Command]
    proxied: bool = True


class LookUp(NamedTuple):
    """One call of our backend by keyring."""

    method: str
    service: str
    username: str | None
    found: bool
    seconds: float
    process: int


class Run(NamedTuple):
    """What came of a client's run."""

    code: int
    output: str
    look_ups: tuple[LookUp, ...]
    provider_runs: int
    seconds: float


def run(client: Client, world: AzureWorld, home: Path, job: Job, more: Mapping[str, str]) -> Run:
    """Run `client` against `world` with stdin closed; raises subprocess.TimeoutExpired past DEADLINE."""
    command = client.command(job)
    record, log = job.folder / "look-ups", job.folder / "log"
    environ = {
        **world.environ(home),
        "PATH": os.pathsep.join([str(job.programs), str(job.keyring), BARE["PATH"]]),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "LOOK_UP_RECORD": str(record),
        "ARTIFACTS_KEYRING_LOG_PATH": str(log),
        **command.environ,
        **more,
    }
    begin = time.monotonic()
    done = subprocess.run(
        [str(job.programs / command.words[0]), *command.words[1:]],
        cwd=job.folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    seconds = time.monotonic() - begin
    return Run(done.returncode, done.stdout, _look_ups(record), _count(log, r"\] run "), seconds)


def _look_ups(record: Path) -> tuple[LookUp, ...]:
    lines = record.read_text("utf-8").splitlines() if record.exists() else []
    return tuple(LookUp(**json.loads(line)) for line in lines)


def _count(log: Path, pattern: str) -> int:
    return len(re.findall(pattern, log.read_text("utf-8"))) if log.exists() else 0


# How each client is called


def _pip(provider: str, user: str = "") -> Callable[[Job], Command]:
    options = ["--no-input", "--keyring-provider", provider] if provider else []

    def command(job: Job) -> Command:
        # A public index beside the feeds needs no user.
        urls = [feed.with_user(user) if user and feed.hosted else feed.url for feed in job.feeds]
        return pip_install(job, *urls, options=options)

    return command


def pip_install(job: Job, first: str, *others: str, options: Sequence[str] = ()) -> Command:
    """pip with these indexes."""
    words = ["pip", "install", "--no-cache-dir", *options, "--target", str(job.folder / "installed")]
    extra = [word for url in others for word in ("--extra-index-url", url)]
    return Command([*words, "--index-url", first, *extra, *job.packages])


# A build backend that needs the packages of the feeds, and makes nothing itself.
BACKEND = """
import pathlib, shutil
{imports}

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return pathlib.Path(shutil.copy("{file}", wheel_directory)).name
"""


def pip_wheel(job: Job, options: Sequence[str]) -> Command:
    """pip builds a wheel of a project, in an environment of its own that needs the packages of the job."""
    folder = job.folder / "project"
    folder.mkdir()
    backend = f'build-backend = "backend"\nbackend-path = ["."]\nrequires = {list(job.packages)}\n'
    (folder / "pyproject.toml").write_text(f"[build-system]\n{backend}")
    imports = "\n".join(f"import {package}" for package in job.packages)
    (folder / "backend.py").write_text(BACKEND.format(imports=imports, file=job.file))
    words = ["pip", "wheel", "--no-cache-dir", *options, "--index-url", job.feeds[0].url]
    return Command([*words, "--wheel-dir", str(job.folder / "built"), str(folder)])


def _uv_with_users(job: Job) -> Command:
    # uv keeps credentials by host and user name, so that on one host each organisation needs a user name of its own.
    first, *others = [feed.with_user(feed.organisation) if feed.hosted else feed.url for feed in job.feeds]
    words = ["uv", "pip", "install", "--no-config", "--no-cache", "--python", str(job.programs / PYTHON)]
    words += ["--keyring-provider", "subprocess", "--target", str(job.folder / "installed"), "--default-index", first]
    return Command([*words, *(word for url in others for word in ("--index", url)), *job.packages])


def _uv_always(job: Job) -> Command:
    config = job.folder / "uv.toml"
    indexes = [_uv_index(feed, default=feed is job.feeds[0]) for feed in job.feeds]
    config.write_text('keyring-provider = "subprocess"\n' + "".join(indexes))
    words = ["uv", "pip", "install", "--config-file", str(config), "--no-cache"]
    words += ["--python", str(job.programs / PYTHON), "--target", str(job.folder / "installed")]
    return Command([*words, *job.packages])


def _uv_index(feed: Feed, default: bool) -> str:
    authenticate = "always" if feed.hosted or feed.on_premises else "never"
    lines = [
        f'name = "{feed.organisation.rpartition("/")[2]}"',
        f'url = "{feed.url}"',
        f'authenticate = "{authenticate}"',
    ]
    return "\n".join(["[[index]]", *lines, f"default = {str(default).lower()}", ""])


def _poetry(job: Job) -> Command:
    priorities = ["primary", "supplemental"]
    sources = "".join(
        f'[[tool.poetry.source]]\nname = "{priority}"\nurl = "{feed.url}"\npriority = "{priority}"\n'
        for priority, feed in zip(priorities, job.feeds)
    )
    _project(job, "shop", f"[tool.poetry]\npackage-mode = false\n{sources}")
    return Command(["poetry", "install", "--no-interaction"], {"POETRY_VIRTUALENVS_IN_PROJECT": "true"})


def _pdm(job: Job) -> Command:
    # A source named "pypi" replaces pdm's default one.
    names = ["pypi", "more"]
    sources = "".join(
        f'[[tool.pdm.source]]\nname = "{name}"\nurl = "{feed.url}"\nverify_ssl = true\n'
        for name, feed in zip(names, job.feeds)
    )
    _project(job, "shop", f"[tool.pdm]\ndistribution = false\n{sources}")
    return Command(["pdm", "--non-interactive", "install"], {"PDM_CHECK_UPDATE": "false"})


def _project(job: Job, name: str, tool: str = "") -> None:
    wanted = ", ".join(f'"{package}"' for package in job.packages)
    this = f"{sys.version_info[0]}.{sys.version_info[1]}"
    lines = [f'name = "{name}"', 'version = "1.0"', f'requires-python = "=={this}.*"', f"dependencies = [{wanted}]"]
    (job.folder / "pyproject.toml").write_text("\n".join(["[project]", *lines, tool]))


def _uv_publish(job: Job) -> Command:
    words = ["uv", "publish", "--no-config", "--trusted-publishing", "never", "--keyring-provider", "subprocess"]
    return Command([*words, "--username", USER, "--publish-url", job.feeds[0].upload_url, str(job.file)])


def _twine(job: Job) -> Command:
    words = ["twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url"]
    return Command([*words, job.feeds[0].upload_url, str(job.file)])


def _hatch(job: Job) -> Command:
    words = ["hatch", "publish", "--no-prompt", "--ca-cert", str(job.ca_file), "-u", USER]
    return Command([*words, "-r", job.feeds[0].upload_url, str(job.file)])


def _poetry_publish(job: Job) -> Command:
    _project(job, "uploaded")
    words = ["poetry", "publish", "--no-interaction", "--dist-dir", str(job.file.parent), "--repository", "feed"]
    return Command(words, {"POETRY_REPOSITORIES_FEED_URL": job.feeds[0].upload_url})


def _pdm_publish(job: Job) -> Command:
    _project(job, "uploaded")
    words = ["pdm", "publish", "--no-build", "--dest", str(job.file.parent), "--repository", job.feeds[0].upload_url]
    return Command(words, {"PDM_CHECK_UPDATE": "false"})


CLIENTS: tuple[Client, ...] = (
    Client("pip", "pip", False, _pip("")),
    Client("pip import", "pip", False, _pip("import")),
    Client("pip subprocess", "pip", False, _pip("subprocess")),
    Client("pip < 26.2 import", "pip<26.2", False, _pip("import")),
    Client("pip < 26.2 subprocess", "pip<26.2", False, _pip("subprocess", USER)),
    Client("uv, user in the URL", "uv", False, _uv_with_users),
    Client("uv, authenticate always", "uv", False, _uv_always),
    Client("poetry", "poetry", False, _poetry),
    # Its own choice of versions: pdm 2.29 also takes a hishel that it cannot run with.
    Client("pdm", "pdm[locked]", False, _pdm),
    Client("uv publish", "uv", True, _uv_publish),
    Client("twine", "twine", True, _twine),
    Client("poetry publish", "poetry", True, _poetry_publish),
    Client("pdm publish", "pdm[locked]", True, _pdm_publish),
    Client("hatch publish", "hatch", True, _hatch, proxied=False),
)


# Environments


def environments(clients: Sequence[Client], ours: Path, into: Path) -> dict[str, Path]:
    """One virtual environment a requirement, with keyring and the wheel `ours`: requirement -> its folder."""
    requirements = sorted({client.requirement for client in clients})
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda wanted: _environment(wanted, ours, into / re.sub(r"\W+", "-", wanted)), requirements)
        return dict(zip(requirements, made))


def _environment(requirement: str, ours: Path, folder: Path) -> Path:
    installing.environment(sys.executable, folder, "keyring", requirement, ours)
    (site(folder) / "_look_up_spy.py").write_text(SPY)
    (site(folder) / "_look_up_spy.pth").write_text("import _look_up_spy\n")
    return folder


def programs(environment: Path) -> Path:
    """The folder of the programs of a virtual environment of this Python."""
    return _place("scripts", environment)


def site(environment: Path) -> Path:
    """The folder of the packages of a virtual environment of this Python."""
    return _place("purelib", environment)


def _place(kind: str, environment: Path) -> Path:
    # Named, because Debian's Python has schemes of its own.
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    return Path(sysconfig.get_path(kind, scheme, {"base": str(environment)}))


def job(folder: Path, feeds: Sequence[Feed], ca_file: Path, environment: Path, keyring: Path) -> Job:
    """A job in the new folder `folder`: the feeds get a package each, and there is one to upload."""
    folder.mkdir()
    packages = tuple(f"package{number}" for number in range(len(feeds)))
    for feed, package in zip(feeds, packages):
        feed.add(package)
    name, content = make_wheel("uploaded", "1.0")
    file = folder / "dist" / name
    file.parent.mkdir()
    file.write_bytes(content)
    return Job(tuple(feeds), packages, folder, file, ca_file, programs(environment), programs(keyring))


def installed(job: Job) -> set[str]:
    """The packages of the job that are installed below its folder."""
    return {package for package in job.packages if any(job.folder.glob(f"**/{package}.py"))}

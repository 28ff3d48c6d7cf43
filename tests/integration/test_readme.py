"""The pages for people against the code: variables, platforms, links, options, files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

import pytest
from credprovider import targets

from artifacts_keyring.cli.installation import VARIABLES, Variable
from artifacts_keyring.provider import layout
from tests.conftest import ROOT
from tests.fakes import readme

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.posix

README, VARIABLE_PAGE = readme.read("README.md"), readme.read("docs/variables.md")
TABLE = targets.TARGETS
SOURCES = [*(ROOT / "artifacts_keyring").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
# The provider's names beside what of them is one word or has a bracket: a shape that nothing else in the code has.
SHAPE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Za-z0-9]+)+|PATH|HOME|CI|DISPLAY|SESSIONNAME|USERPROFILE|LOCALAPPDATA|NETRC")

# What the provider reads.
PROVIDERS = re.compile(r"(?:ARTIFACTS_CREDENTIALPROVIDER|NUGET_CREDENTIALPROVIDER|VSS_NUGET)_\w+")

# Strings of the code that have the shape of a variable, and why no page tells of them.
UNTOLD = {
    "ARTIFACTS_CREDENTIALPROVIDER_": "a prefix",
    "VSS_NUGET_": "a prefix",
    "NUGET_CREDENTIALPROVIDER_": "a prefix",
    "POETRY_CONFIG_DIR": "poetry's own; doctor looks there for its passwords",
    "O_NOFOLLOW": "a flag of the kernel",
    "ARCHIVE_VARIABLE": "a name in __all__",
    "CACHE_VARIABLE": "a name in __all__",
    "MIRROR_VARIABLE": "a name in __all__",
    "OFFLINE_VARIABLE": "a name in __all__",
    "VERSION_CODENAME": "a field of os-release",
    "HOST_GNU_TYPE": "a variable of the interpreter's makefile",
    "LC_ALL": "set for a second, different build only",
    "GITHUB_OUTPUT": "set by GitHub for its own steps",
    "GITHUB_REF": "set by GitHub for its own steps",
    "GITHUB_STEP_SUMMARY": "set by GitHub for its own steps",
    "PIP_CONSTRAINT": "set for the pip that installs cibuildwheel",
    "PIP_DISABLE_PIP_VERSION_CHECK": "set for a pip that we start",
    "PIP_FIND_LINKS": "set for the pip under wine",
    "PIP_NO_INDEX": "set for the pip under wine",
    "UV_OFFLINE": "set for the uv under wine",
    "ZIG_GLOBAL_CACHE_DIR": "set for the compiler of the Windows Python",
    "UV_CONSTRAINT": "set for a uv that we start",
    "UV_INDEX_STRATEGY": "set for a uv that we start",
    "UV_NO_INDEX": "set for a uv that we start",
    "UV_SYSTEM_CERTS": "set for a uv that we start",
}
# Variables that others read, and the pages tell of.
OTHERS = {
    "SOURCE_DATE_EPOCH": "hatchling",
    "CIBW_ARCHS": "cibuildwheel",
    "PIP_NO_INPUT": "pip",
    "PIP_KEYRING_PROVIDER": "pip",
    "PIP_INDEX_URL": "pip",
    "UV_INDEX_FEED_USERNAME": "uv",
    "POETRY_REPOSITORIES_NAME_URL": "poetry",
}


def strings() -> set[str]:
    """Every string constant of the runtime and the scripts."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in nodes if isinstance(node.value, str)}


def told(*pages: str) -> set[str]:
    """Every variable that the pages name, in inline code or assigned in a block."""
    words = {word for page in pages for code in readme.inline(page) for word in re.split(r"[=/% ]", code)}
    assigned = {
        name
        for page in pages
        for block in readme.blocks(page)
        for name in re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[=:]", block.text)
    }
    return {word for word in words | assigned if SHAPE.fullmatch(word)}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_every_runtime_variable_has_its_row(variable: Variable) -> None:
    default = f"`{variable.default}`" if variable.default else ""
    assert f"| `{variable.name}` | {default} | {variable.meaning} |" in VARIABLE_PAGE


def test_every_build_variable_has_its_row() -> None:
    names = {name for name in strings() if name.startswith("ARTIFACTS_CREDENTIAL_PROVIDER_")}
    assert len(names) == 6
    for name in sorted(names):
        assert f"| `{name}` | " in VARIABLE_PAGE, name


def test_every_variable_of_the_code_is_told_of() -> None:
    read = {text for text in strings() if SHAPE.fullmatch(text)}
    assert sorted(read - told(*readme.PAGES) - set(UNTOLD)) == []
    assert sorted(set(UNTOLD) - strings()) == []


def test_every_variable_that_is_told_of_is_in_the_code() -> None:
    named = {name for name in told(*readme.PAGES) if not PROVIDERS.fullmatch(name)}
    assert sorted(named - strings() - set(OTHERS)) == []


def test_the_variables_of_the_provider_are_those_that_it_knows(payload_tree: Callable[[str], Path]) -> None:
    library = (payload_tree("any") / f"{layout.PROGRAM}.dll").read_bytes()
    # Its literals are UTF-16, and each has a length before it.
    texts = (match[0].decode("utf-16-le") for match in re.finditer(rb"(?:[A-Z_]\0){9,}", library))
    known = {text for text in texts if PROVIDERS.fullmatch(text)}
    assert len(known) > 30
    assert sorted(name for name in told("docs/variables.md") if PROVIDERS.fullmatch(name)) == sorted(known)


def test_what_enters_cibuildwheels_containers_is_told() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        passed = tomllib.load(file)["tool"]["cibuildwheel"]["environment-pass"]
    line = re.search(
        r"containers go the archive folder, the cache, the mirror, the offline switch and `(\w+)`", VARIABLE_PAGE
    )
    assert line
    kinds = ("ARCHIVE_DIR", "CACHE_DIR", "MIRROR", "OFFLINE")
    assert sorted(passed) == sorted([line[1], *(f"ARTIFACTS_CREDENTIAL_PROVIDER_{kind}" for kind in kinds)])


def test_the_platform_table_is_the_table_of_targets() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `([\w-]+)` \| (.+?) \| (.+?) \| [^|]+ \|$", readme.read("docs/platforms.md"), re.MULTILINE
    )
    wheels = {
        target.key: f"`{target.tag}`" if target.self_contained else "none: pip takes the sdist" for target in TABLE
    }
    assert rows == [(target.key, wheels[target.key], target.requires) for target in TABLE]


# Links and files


@pytest.mark.parametrize("page", readme.PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in readme.links(page):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https" and parts.hostname in ("github.com", "learn.microsoft.com"), link
            continue
        target = ((ROOT / page).parent / parts.path).resolve() if parts.path else ROOT / page
        assert target.is_file(), link
        assert not parts.fragment or parts.fragment in readme.anchors(str(target.relative_to(ROOT))), link


@pytest.mark.parametrize("page", readme.PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    named = re.compile(r"(?:artifacts_keyring|scripts|tests|benchmarks|licenses|\.github|\.ci)/[\w./-]*")
    made = {"artifacts_keyring/bin/", "artifacts_keyring/bin/legal/"}  # by an editable install
    for code in readme.inline(page):
        for name in (match[0].partition("::")[0] for match in named.finditer(code) if match.start() == 0):
            assert name in made or (ROOT / name).exists(), name


# Options


@lru_cache
def usage(*command: str) -> str:
    """What a command says of itself, on one wide line."""
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return " ".join(done.stdout.split())


def command_of(words: list[str]) -> tuple[str, ...]:
    """What of a command line has a help text of its own, or nothing; foreign programs as modules."""
    if words[:1] in (["pip"], ["cibuildwheel"]):
        words = ["python", "-m", *words]
    if words[:1] == ["artifacts-keyring"]:
        words = ["python", "-m", "artifacts_keyring", *words[1:]]
    if words[:1] not in (["python"], ["python3"]) or len(words) < 2:
        return ()
    if words[1].startswith("scripts/"):
        return (words[1],)
    deep = 4 if words[2:3] in (["pip"], ["artifacts_keyring"]) else 3
    return tuple(words[1:deep]) if words[1] == "-m" else ()


LINES = sorted({line for page in readme.PAGES for line in readme.commands(page) if command_of(line.split())})


@pytest.mark.parametrize("line", LINES)
def test_every_option_exists(line: str) -> None:
    words = line.split()
    if words[0] == "cibuildwheel":
        pytest.importorskip("cibuildwheel", reason="cibuildwheel needs Python 3.11")
    text = usage(*command_of(words))
    for option in (word.partition("=")[0] for word in words if word.startswith("-") and word != "-m"):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), option


def test_every_command_is_told_of() -> None:
    pages = "".join(map(readme.read, readme.PAGES))
    modules = {"environment.py": "starts the others", "native.py": "what ci.yml calls cibuildwheel by"}
    for path in (ROOT / "scripts").glob("*.py"):
        assert path.name in modules or f"scripts/{path.name}" in pages, path.name


def test_exit_codes_are_told() -> None:
    cli = (ROOT / "artifacts_keyring" / "cli" / "main.py").read_text(encoding="utf-8")
    assert "OK, FAILED, USAGE = 0, 1, 2" in cli
    assert "They end with 0 when it is done, 1 when not (a line says why), 2 for bad input." in readme.read(
        "docs/troubleshooting.md"
    )


def test_the_readme_is_a_page_that_a_person_reads() -> None:
    assert len(README.splitlines()) <= 150

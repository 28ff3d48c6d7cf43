"""The README against the code."""

from __future__ import annotations

import re

import pytest
from credprovider import targets

from artifacts_keyring.variables import VARIABLES, Variable
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_every_runtime_variable_has_its_row(variable: Variable) -> None:
    default = f"`{variable.default}`" if variable.default else ""
    assert f"| `{variable.name}` | {default} | {variable.meaning} |" in README


def test_every_build_variable_has_its_row() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts/credprovider").glob("*.py"))
    for name in sorted(set(re.findall(r"\bARTIFACTS_CREDENTIAL_PROVIDER_[A-Z_]+[A-Z]\b", sources))):
        assert f"| `{name}` | " in README, name


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.key)
def test_every_tag_and_rid_is_named(target: targets.Target) -> None:
    assert target.key == targets.NON_SC or (f"`{target.tag}`" in README and f"`{target.key}`" in README)


def test_links_to_files_of_the_repository_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).is_file(), link

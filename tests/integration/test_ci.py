"""What .ci/run stands on: nothing of the machine's reaches it, and nothing is skipped in silence."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from credprovider.errors import Lacking
from credprovider.verify import windows

from tests.conftest import ACCEPTED_SKIPS, ROOT

SKIPPING = f"""
import pytest
def test_ours(): pytest.skip("no such tool here")
def test_accepted(): pytest.skip({ACCEPTED_SKIPS[0]!r})
@pytest.mark.skip(reason="marked")
def test_marked(): pass
@pytest.mark.xfail(strict=True)
def test_known(): assert False
"""


def bare(folder: Path, last: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run .ci/run in `folder` as far as it has started itself again, and `last` there."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("root, which .ci/run is run by")
    first, found, _ = (ROOT / ".ci" / "run").read_text().partition("export CI=true")
    assert found
    (folder / ".ci").mkdir()
    (folder / ".ci" / "run").write_text(first + last)
    command = ["bash", str(folder / ".ci" / "run")]
    return subprocess.run(command, env=environ, input="typed\n", capture_output=True, text=True, check=False)


def test_nothing_of_the_callers_reaches_ci_but_how_packages_are_reached(tmp_path: Path) -> None:
    kept = {"PIP_INDEX_URL": "https://index.example/a b", "HTTPS_PROXY": "http://proxy:1", "SSL_CERT_FILE": "/ca.pem"}
    other = {name: str(tmp_path) for name in ("HOME", "VIRTUAL_ENV", "PYTHONPATH", "PYENV_ROOT", "PIP_CONFIG_FILE")}
    other |= {"ARTIFACTS_CREDENTIAL_PROVIDER_RID": "win-x64", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = bare(tmp_path, 'env; ls -A "$HOME"; cat; exit 7', {**kept, **other})
    assert done.returncode == 7, done.stderr
    # An empty home and no input: no line more than the variables'.
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: seen.pop(name) for name in kept} == kept
    assert set(seen) - {"PWD", "OLDPWD", "SHLVL", "_"} == {"HOME", "LANG", "PATH", "SUDO_UID"}
    assert seen["PATH"] == "/usr/sbin:/usr/bin:/sbin:/bin"
    assert not Path(seen["HOME"]).exists()


@pytest.mark.parametrize(("options", "failed"), [([], 0), (["--no-skips"], 3)], ids=["", "--no-skips"])
def test_a_skip_is_an_error_in_ci_unless_it_is_accepted(tmp_path: Path, options: list[str], failed: int) -> None:
    (tmp_path / "test_some.py").write_text(SKIPPING)
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    pytest_ = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}
    command = [*pytest_, *options, "--continue-on-collection-errors", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == bool(failed), done.stdout + done.stderr
    assert done.stdout.count("accepts no such skip") >= failed
    assert ("no such tool here; tests/conftest.py accepts no such skip" in done.stdout) == bool(failed)
    assert ("could not import 'no_such_module'" in done.stdout) and "1 xfailed" in done.stdout
    assert (f"test_accepted: {ACCEPTED_SKIPS[0]}" in done.stdout) == bool(failed)


@pytest.mark.posix
def test_windows_tests_whose_wineserver_ended_are_told_from_failed_ones(tmp_path: Path) -> None:
    wait = runpy.run_path(str(ROOT / "scripts" / "test.py"))["_wait"]
    try:
        with windows.machine(tmp_path, print) as system:
            for end, code in (("sys.exit(5)", 5), ("time.sleep(600)", None)):
                words = ["python.exe", "-uc", f"import sys, time; print('begun'); {end}"]
                with system.start(words, {}, tmp_path) as process:
                    assert process.stdout is not None
                    assert process.stdout.readline().strip() == b"begun"
                    assert system.alive()
                    if code is None:
                        system._server("-k9")
                    assert wait(process, system) == code
                    system.stop()
                    process.wait(60)
                    assert not system.alive()
    except Lacking as error:
        pytest.skip(f"a Windows Python needs {error}")

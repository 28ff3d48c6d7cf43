"""Which target a build request means, for every way of asking."""

from __future__ import annotations

import re

import pytest
from credprovider import targets
from credprovider.errors import TargetError
from credprovider.targets import CIBUILDWHEEL_VARIABLE, NON_SC_VARIABLE, RID_VARIABLE, Host

ELSEWHERE = Host("freebsd-14.1-release-amd64")


@pytest.mark.parametrize("rid", targets.RIDS)
def test_a_rid_names_its_target(rid: str) -> None:
    assert targets.resolve({RID_VARIABLE: f" {rid} "}, ELSEWHERE) == (targets.by_key(rid), f"{RID_VARIABLE}={rid}")


@pytest.mark.parametrize("rid", ["linux-musl-x64", "Linux-x64", "any", "win", "linux-x64\nlinux-arm64", "ä" * 500])
def test_an_unknown_rid_lists_the_known_ones(rid: str) -> None:
    message = refused({RID_VARIABLE: rid})
    assert all(known in message for known in targets.RIDS)
    assert RID_VARIABLE in message
    assert ascii(rid[:5])[1:-1] in message or rid[:5] in message


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "1", "yes", "on", " true "])
def test_the_portable_shape_can_be_asked_for(value: str) -> None:
    resolved = targets.resolve({NON_SC_VARIABLE: value}, Host("linux-x86_64"))
    assert resolved == (targets.by_key("any"), f"{NON_SC_VARIABLE}={value.strip()}")


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "off", "", "  "])
def test_not_asking_for_the_portable_shape_changes_nothing(value: str) -> None:
    assert targets.resolve({NON_SC_VARIABLE: value}, Host("win32")).target.key == "win-x86"
    assert targets.resolve({NON_SC_VARIABLE: value, RID_VARIABLE: "osx-x64"}, ELSEWHERE).target.key == "osx-x64"


@pytest.mark.parametrize("value", ["ture", "2", "none", "true\nfalse"])
def test_a_value_that_means_nothing_is_refused(value: str) -> None:
    message = refused({NON_SC_VARIABLE: value})
    assert NON_SC_VARIABLE in message and "valid: 1, true" in message


def test_both_variables_contradict_each_other() -> None:
    message = refused({RID_VARIABLE: "linux-x64", NON_SC_VARIABLE: "True"})
    assert f"{RID_VARIABLE}=linux-x64" in message and f"{NON_SC_VARIABLE}=True" in message


def test_a_rid_comes_before_cibuildwheels_identifier() -> None:
    environ = {RID_VARIABLE: "osx-x64", CIBUILDWHEEL_VARIABLE: "cp313-macosx_arm64"}
    assert targets.resolve(environ, ELSEWHERE).target.key == "osx-x64"


def test_the_portable_shape_comes_before_cibuildwheels_identifier() -> None:
    environ = {NON_SC_VARIABLE: "1", CIBUILDWHEEL_VARIABLE: "cp313-macosx_arm64"}
    assert targets.resolve(environ, ELSEWHERE).target.key == "any"


# What cibuildwheel 4.3.3 knows: `cibuildwheel --print-build-identifiers` on each platform, all architectures.
IDENTIFIERS = {
    "manylinux_x86_64": "linux-x64",
    "manylinux_aarch64": "linux-arm64",
    "manylinux_i686": "any",
    "manylinux_armv7l": "any",
    "manylinux_ppc64le": "any",
    "manylinux_riscv64": "any",
    "manylinux_s390x": "any",
    "musllinux_x86_64": "any",
    "musllinux_aarch64": "any",
    "musllinux_i686": "any",
    "musllinux_armv7l": "any",
    "musllinux_ppc64le": "any",
    "musllinux_riscv64": "any",
    "musllinux_s390x": "any",
    "macosx_x86_64": "osx-x64",
    "macosx_arm64": "osx-arm64",
    "macosx_universal2": "any",
    "win32": "win-x86",
    "win_amd64": "win-x64",
    "win_arm64": "win-arm64",
    "android_21_arm64_v8a": "any",
    "ios_13_0_arm64_iphoneos": "any",
    "pyodide_wasm32": "any",
}


@pytest.mark.parametrize("python", ["cp39", "cp314t", "pp311", "gp311_242"])
@pytest.mark.parametrize(("platform", "key"), IDENTIFIERS.items())
def test_cibuildwheels_identifier_decides_and_not_the_host(python: str, platform: str, key: str) -> None:
    resolved = targets.resolve({CIBUILDWHEEL_VARIABLE: f"{python}-{platform}"}, Host("linux-x86_64", "musl", bits=32))
    assert resolved.target.key == key
    assert platform in resolved.reason
    assert (".NET runtime 8" in resolved.reason) == (key == "any")


@pytest.mark.parametrize("identifier", ["manylinux_x86_64", "cp313-", "-win32", "cp313\nwin32"])
def test_an_identifier_that_is_none_is_refused(identifier: str) -> None:
    assert CIBUILDWHEEL_VARIABLE in refused({CIBUILDWHEEL_VARIABLE: identifier})


HOSTS = [
    (Host("linux-x86_64"), "linux-x64"),
    (Host("linux-aarch64"), "linux-arm64"),
    (Host("linux-x86_64", "musl"), "any"),
    (Host("linux-aarch64", "musl"), "any"),
    (Host("linux-x86_64", bits=32), "any"),
    (Host("linux-aarch64", bits=32), "any"),
    (Host("linux-i686", bits=32), "any"),
    (Host("linux-armv7l", bits=32), "any"),
    (Host("linux-riscv64"), "any"),
    (Host("macosx-10.9-x86_64", machine="x86_64"), "osx-x64"),
    (Host("macosx-11-arm64", machine="arm64"), "osx-arm64"),
    (Host("macosx-14.2-arm64", machine="arm64"), "osx-arm64"),
    # Rosetta: an x86-64 interpreter on Apple silicon is a process of x86_64.
    (Host("macosx-11.0-x86_64", machine="x86_64"), "osx-x64"),
    # Cross-compiling (_PYTHON_HOST_PLATFORM): what is built for counts, not what runs.
    (Host("macosx-11.0-arm64", machine="x86_64"), "osx-arm64"),
    (Host("macosx-10.9-universal2", machine="arm64"), "osx-arm64"),
    (Host("macosx-10.13-universal2", machine="x86_64"), "osx-x64"),
    (Host("macosx-10.9-universal2", machine=""), "any"),
    (Host("macosx-10.6-intel", machine="x86_64"), "any"),
    (Host("win-amd64"), "win-x64"),
    (Host("win32", bits=32), "win-x86"),
    (Host("win-arm64"), "win-arm64"),
    (Host("win-arm32", bits=32), "any"),
    (Host("mingw_x86_64_ucrt"), "any"),
    (Host("cygwin-3.5.4-x86_64"), "any"),
    (ELSEWHERE, "any"),
]


@pytest.mark.parametrize(("host", "key"), HOSTS)
def test_otherwise_the_interpreter_decides(host: Host, key: str) -> None:
    resolved = targets.resolve({CIBUILDWHEEL_VARIABLE: " "}, host)
    assert resolved.target.key == key
    if key == "any":
        assert host.platform in resolved.reason or "macosx-10.9-" in resolved.reason
        assert ".NET runtime 8 or newer" in resolved.reason


def test_this_interpreter_is_looked_at_when_none_is_named() -> None:
    assert targets.resolve({}) == targets.resolve({}, targets.this_host())


def test_every_row_is_reached_by_its_native_interpreter_and_by_no_other() -> None:
    native = [key for _, key in HOSTS if key != "any"]
    assert set(native) == set(targets.RIDS)
    for host, key in HOSTS:
        rows = [row.key for row in targets.TARGETS if re.fullmatch(row.platforms, host.platform)]
        assert rows in ([], [key]) or key == "any"


def test_an_unknown_key_lists_the_known_ones() -> None:
    with pytest.raises(TargetError) as caught:
        targets.by_key("linux")
    assert all(key in str(caught.value) for key in targets.KEYS)


def test_the_wheel_tags_are_one_a_target() -> None:
    assert len({target.wheel_tag for target in targets.TARGETS}) == len(targets.TARGETS) == 8
    assert targets.by_key("any").wheel_tag == "py3-none-any"
    assert [target.key for target in targets.TARGETS if not target.self_contained] == ["any"]


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(TargetError) as caught:
        targets.resolve(environ, Host("linux-x86_64"))
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700
    return message

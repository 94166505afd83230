"""The lock is whole: every dependency pinned with hashes, none without a reason on record."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("build.lock", "runtime.lock", "dev.lock")
ENTRY = re.compile(
    r"^([a-z0-9][a-z0-9._-]*)==(\S+)(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def pins(root: Path, name: str) -> dict[str, str]:
    """Gives the versions that a lock pins, by package."""
    text = (root / "requirements" / name).read_text("utf-8")
    return {found[1]: found[2] for found in ENTRY.finditer(text)}


def wanted(root: Path, extra: str | None = None) -> list[Requirement]:
    """Gives what pyproject.toml asks for."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_pinned_with_hashes(root: Path, name: str) -> None:
    """A lock holds versions with hashes and comments, and nothing else: no address, no path, no loose version."""
    text = (root / "requirements" / name).read_text("utf-8")
    rest = [line for line in ENTRY.sub("", text).splitlines() if line and not line.lstrip().startswith("#")]
    assert rest == []
    assert pins(root, name)
    assert re.findall(r"://|--index|--extra|--find|(?:^|\s)/", text) == []


@pytest.mark.parametrize(("name", "extra"), [("runtime.lock", None), ("dev.lock", None), ("dev.lock", "dev")])
def test_the_lock_answers_pyproject(root: Path, name: str, extra: str | None) -> None:
    """Whatever pyproject.toml asks for is locked, at a version that it allows; else run make lock."""
    locked = pins(root, name)
    missing = [
        str(need)
        for need in wanted(root, extra)
        if (version := locked.get(canonicalize_name(need.name))) is None
        or not need.specifier.contains(version, prereleases=True)
    ]
    assert missing == []


def test_the_locks_agree(root: Path) -> None:
    """The tools are locked beside the very versions that run, so tests run what is installed."""
    runtime, development = pins(root, "runtime.lock"), pins(root, "dev.lock")
    assert {name: development.get(name) for name in runtime} == runtime
    assert set(pins(root, "build.lock")) == {"pip", "setuptools"}


def test_every_dependency_has_its_reason(root: Path) -> None:
    """The record of decisions names each dependency that pyproject.toml asks for, and no other."""
    text = (root / "docs/decisions/0002-dependencies.md").read_text("utf-8")
    recorded = set(re.findall(r"^\| ([a-z0-9-]+) \|", text, re.M)) - {"package"}
    asked = {canonicalize_name(need.name) for extra in (None, "dev") for need in wanted(root, extra)}
    assert recorded == asked

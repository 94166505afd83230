"""The import contracts bite: a contract that nothing can break guards nothing."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STRAYS = {
    "layers": "threatshare.cli",
    "stix2": "stix2",
    "web": "flask",
    "taxii": "taxii2client",
    "http": "requests",
    "database": "pysqlite3",
    "scheduler": "apscheduler",
    "terminal": "rich",
    "documents": "pypdf",
    "amendments": "tomlkit",
    "compression": "backports",
    "model_face": "threatshare.model.markings",
    "config_face": "threatshare.config.assets",
}
"""For each contract of .importlinter an import that it forbids to triage."""


def lint(folder: Path) -> str:
    """Runs the linter on the package in a folder and gives what it printed."""
    linter = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    run = subprocess.run(
        [linter, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    return run.stdout


@pytest.fixture
def package(root: Path, tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to be broken."""
    shutil.copytree(root / "src" / "threatshare", tmp_path / "src" / "threatshare")
    shutil.copy(root / ".importlinter", tmp_path)
    return tmp_path


def names(root: Path) -> dict[str, str]:
    """Gives the contracts' titles by id."""
    config = configparser.ConfigParser()
    config.read(root / ".importlinter", "utf-8")
    prefix = "importlinter:contract:"
    return {part.removeprefix(prefix): config[part]["name"] for part in config.sections() if part.startswith(prefix)}


def test_every_contract_can_be_broken(root: Path, package: Path) -> None:
    """An import out of its place breaks the contract that forbids it, in every contract there is."""
    titles = names(root)
    assert set(titles) == set(STRAYS)
    stray = "\n".join(f"    import {module}" for module in STRAYS.values())
    with (package / "src/threatshare/triage/__init__.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\ndef stray() -> None:\n{stray}\n")
    printed = lint(package)
    assert [title for title in titles.values() if f"{title} BROKEN" not in printed] == []


def test_a_module_without_a_layer_is_refused(package: Path) -> None:
    """A new file beside the flows must be given its layer before it passes."""
    (package / "src/threatshare/novelty.py").write_text("", "utf-8")
    assert "threatshare.novelty" in lint(package)

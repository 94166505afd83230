"""The table of what readers make of real files, in the docs, is what they make of them."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_the_table_is_what_the_readers_do(root: Path, samples: Path) -> None:
    """Read again, every folder gives the row that docs/reference/samples.md shows; else write the page anew."""
    page = (root / "docs/reference/samples.md").read_text("utf-8")
    shown = "".join(line for line in page.splitlines(keepends=True) if line.startswith("|"))
    assert shown == runpy.run_path(str(root / "docs/generators/outcomes.py"))["table"](samples)

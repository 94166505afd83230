"""Anchors of the ledger: one line each, readable for ever, and never somebody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import NOW, US, identity_uuid
from threatshare.errors import UsageError
from threatshare.share.anchors import append_anchor, read_anchors
from threatshare.store.ledger import Head

HEADS = [Head(3, "a" * 64), Head(9, "b" * 64), Head(9, "b" * 64)]


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Heads that are appended to a file come back by row number; what stood in the file before stays."""
    file = tmp_path / "anchors"
    for head in HEADS:
        append_anchor(file, US, head, NOW)
    assert read_anchors(file, US) == {3: ["a" * 64], 9: ["b" * 64] * 2}
    lines = file.read_text("ascii").splitlines()
    assert json.loads(lines[0]) == {"at": NOW, "hash": "a" * 64, "node": US, "number": 3}
    assert len(lines) == 3


@pytest.mark.parametrize("line", ["", "nonsense", "{}", '{"at":1,"hash":"a","node":"x","number":"3"}', "[1]", '{"at":'])
def test_a_line_that_is_no_anchor(tmp_path: Path, line: str) -> None:
    """A line that is no anchor, as one that was cut short, is named by file and number."""
    file = tmp_path / "anchors"
    append_anchor(file, US, HEADS[0], NOW)
    with file.open("a") as out:
        out.write(line + "\n")
    with pytest.raises(UsageError, match=rf"{file}:2 is no anchor"):
        read_anchors(file, US)


def test_another_node_s_anchor(tmp_path: Path) -> None:
    """Another node's anchor is refused: it witnesses nothing of this ledger."""
    file = tmp_path / "anchors"
    append_anchor(file, identity_uuid(1), HEADS[0], NOW)
    with pytest.raises(UsageError, match=identity_uuid(1)):
        read_anchors(file, US)

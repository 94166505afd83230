"""Delivering to the reference server, medallion 3.0.0 with its memory backend, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import medallion_process
from builders import make_indicator
from push_builders import Outbox

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
TAXII = "application/taxii+json;version=2.1"


def _content(max_content_length: int) -> dict[str, Any]:
    collection = {"id": COLLECTION, "title": "Shared", "can_read": True, "can_write": True, "media_types": []}
    root = {"title": "Root", "versions": [TAXII], "max_content_length": max_content_length}
    return {
        "/discovery": {"title": "medallion", "default": "/root/", "api_roots": ["/root/"]},
        "root": {"information": root, "status": [], "collections": [collection | {"objects": [], "manifest": []}]},
    }


@pytest.fixture
def medallion(tmp_path: Path) -> Iterator[str]:
    """The reference server, empty; gives its address."""
    file = tmp_path / "content.json"
    file.write_text(json.dumps(_content(2_000)))
    process = subprocess.Popen(
        [sys.executable, medallion_process.__file__, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}/taxii2/"
    process.communicate(timeout=30)


def test_delivered_to_medallion(medallion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference server takes what is delivered, within the limit that it states, and a withdrawal after it."""
    monkeypatch.setenv("MEDALLION_KEY", "key")
    outbox = Outbox(tmp_path, medallion, user="us", password_env="MEDALLION_KEY", remote="Shared")
    outbox.fill(10)
    report = outbox.push()
    assert (report.status, report.sent, report.accepted, report.failed) == ("ok", 10, 10, 0), report
    assert len(outbox.delivered) > 1, "its limit was not heeded"
    outbox.add(make_indicator(1, modified=outbox.clock.micros, revoked=True))
    assert outbox.push().accepted == 1
    outbox.change(url=medallion.replace("/taxii2/", "/root/"))
    again = outbox.push()
    assert (again.status, again.withheld) == ("ok", 2), "the object that is withdrawn never went to this address"
    # Against the standard (TAXII 2.1 §5.5) it counts what it holds already as failed; all of it is kept with its words.
    assert (again.accepted, again.failed, len(outbox.undelivered)) == (0, 9, 11)
    outbox.store.close()

"""Finding the reader for a file: entry points, order, and what happens where there is none."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from threatshare.config import OwnAssets
from threatshare.errors import UsageError
from threatshare.findings.readers import read_file, reader_named, reader_names, recognise
from threatshare.model import Finding, Reject

OWN = OwnAssets()
EVE = (
    b'{"timestamp":"2026-01-02T03:04:05Z","event_type":"alert","src_ip":"198.51.100.7",'
    b'"dest_ip":"10.0.0.1","alert":{}}\n'
)
HEADS = {
    "suricata-eve": EVE,
    "ocsf": b'{"class_uid": 2004, "metadata": {}}',
    "csv": b"type,value\nip,198.51.100.7\n",
    "text": b"198.51.100.7\n",
}


def test_built_in_readers_are_registered_in_order() -> None:
    """Structured formats are asked first, tables before text, and plugins in between."""
    names = reader_names()
    assert names[:2] == ["suricata-eve", "ocsf"]
    assert names[-2:] == ["csv", "text"]


@pytest.mark.parametrize(("name", "head"), HEADS.items(), ids=HEADS)
def test_content_tells_the_format(name: str, head: bytes) -> None:
    """The file's name does not matter, and each reader bears the name it is registered under."""
    reader = recognise(head, "anything.bin")
    assert reader is not None
    assert reader.name == name
    assert reader_named(name).name == name


def test_an_unknown_name_names_the_nearest() -> None:
    """A misspelt format is told the one that was meant, before anything is read."""
    with pytest.raises(UsageError, match="did you mean suricata-eve"):
        reader_named("suricata")
    with pytest.raises(UsageError, match="known here: suricata-eve, ocsf"):
        read_file(io.BytesIO(b""), "quux", OWN)


def test_reads_paths_and_streams(tmp_path: Path) -> None:
    """A path and a pipe give the same findings; a stream is named by a hyphen."""
    path = tmp_path / "eve.json"
    path.write_bytes(EVE * 2)
    from_path = list(read_file(path, None, OWN))
    from_stream = list(read_file(io.BytesIO(EVE * 2), None, OWN))
    assert [item.place for item in from_path] == [f"{path}:1", f"{path}:2"]
    assert [item.place for item in from_stream] == ["-:1", "-:2"]
    assert all(isinstance(item, Finding) for item in from_path + from_stream)


def test_a_named_format_is_not_questioned() -> None:
    """--format text reads JSON as text."""
    (got,) = read_file(io.BytesIO(EVE), "text", OWN, place="x")
    assert isinstance(got, Finding)
    assert got.sensor == "text"


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0", b'{"neither": "nor"}', b"<html></html>"])
def test_an_unknown_format_is_one_reject(data: bytes) -> None:
    """A file that no reader takes does not end the batch, and says what to do."""
    (got,) = read_file(io.BytesIO(data), None, OWN, place="x.bin")
    assert isinstance(got, Reject)
    assert got.place == "x.bin"
    assert "--format" in got.reason


def test_nothing_in_nothing_out(tmp_path: Path) -> None:
    """An empty file holds no findings and is no error; a missing one is a reject."""
    assert list(read_file(io.BytesIO(b"\n \n"), None, OWN)) == []
    (got,) = read_file(tmp_path / "missing", None, OWN)
    assert isinstance(got, Reject)
    assert "cannot be read" in got.reason


def test_listing_readers_imports_none_of_them() -> None:
    """Discovery costs no reader's libraries."""
    code = (
        "import sys; from threatshare.findings.readers import reader_names; assert reader_names();"
        "heavy = ('threatshare.findings.suricata', 'publicsuffix', 'idna', 'stix2');"
        "print([module for module in sys.modules if module.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Finding the reader for a file: entry points, order, and what happens where there is none."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from threatshare.config import OwnAssets
from threatshare.errors import ConfigurationError, UsageError
from threatshare.findings.readers import read_file, reader_named, reader_names, recognise
from threatshare.model import Finding, Reject

OWN = OwnAssets()
EVE = (
    b'{"timestamp":"2026-01-02T03:04:05Z","event_type":"alert","src_ip":"198.51.100.7",'
    b'"dest_ip":"10.0.0.1","alert":{}}\n'
)
UUID = "5f2c8a10-0000-4000-8000-00000000beef"
HEADS: dict[str, bytes] = {
    "wazuh": json.dumps(
        {
            "timestamp": "2026-01-02T03:04:05.000+0000",
            "rule": {"level": 10, "id": "5712", "description": "sshd: brute force", "groups": ["syslog", "sshd"]},
            "agent": {"id": "001", "name": "web", "ip": "10.0.0.1"},
            "manager": {"name": "wazuh"},
            "data": {"srcip": "198.51.100.7", "event_type": "alert", "alert": {}},
        }
    ).encode(),
    "suricata-eve": EVE,
    "ocsf": b'{"class_uid": 2004, "metadata": {}}',
    "guardduty": json.dumps(
        {
            "schemaVersion": "2.0",
            "type": "Recon:EC2/PortProbeUnprotectedPort",
            "resource": {"resourceType": "Instance"},
            "service": {"serviceName": "guardduty", "detectorId": "1", "action": {}, "eventFirstSeen": "2026-01-02"},
        }
    ).encode(),
    "asff": json.dumps(
        {"Findings": [{"SchemaVersion": "2018-10-08", "ProductArn": "a", "AwsAccountId": "1", "GeneratorId": "g"}]}
    ).encode(),
    "scc": b'[{"finding": {"name": "organizations/1/sources/2/findings/3", "category": "C", "resourceName": "r"}}]',
    "defender": b'{"value": [{"id": "1", "evidence": [{"@odata.type": "#microsoft.graph.security.ipEvidence"}]}]}',
    "crowdstrike": b'{"metadata": {"customerIDString": "1", "eventType": "DetectionSummaryEvent"}, "event": {}}',
    "ecs": b'{"@timestamp": "2026-01-02T03:04:05Z", "ecs": {"version": "8.0"}, "event": {"kind": "alert"}}',
    "zeek": b"#separator \\x09\n#set_separator\t,\n#path\tnotice\n#fields\tts\tuid\n#types\ttime\tstring\n",
    "misp": f'{{"Event": {{"uuid": "{UUID}", "info": "i", "threat_level_id": "1", "analysis": "2"}}}}'.encode(),
    "stix": f'{{"type": "bundle", "id": "bundle--{UUID}", "objects": []}}'.encode(),
    "stix1": b'<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" id="x"/>',
    "openioc": b'<ioc xmlns="http://schemas.mandiant.com/2010/ioc" id="x"/>',
    "email": b"From: a@bad.example\nTo: b@corp.example\nSubject: x\nDate: Fri, 2 Jan 2026 03:04:05 +0000\n"
    b"Message-ID: <1@bad.example>\nReceived: from x by y; Fri, 2 Jan 2026 03:04:05 +0000\n\nhello\n",
    "html": b"<!doctype html><html><body><p>hxxp://bad[.]example</p></body></html>",
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\nendobj\n",
    "auth-log": b"Jan  2 03:04:05 host sshd[1]: Failed password for root from 198.51.100.7 port 22 ssh2\n",
    "csv": b"type,value\nip,198.51.100.7\n",
    "text": b"198.51.100.7\n",
}
"""The beginning of a file of each built-in format."""
ALSO = {"wazuh": ["suricata-eve"], "email": ["text"], "csv": ["text"]}
"""What a format is too, which the order decides: Wazuh carries Suricata's alerts, mails and tables are text."""


def test_built_in_readers_are_registered_in_order() -> None:
    """Structured formats are asked first, tables before text, and plugins in between."""
    names = reader_names()
    assert names == [name for name in HEADS if name in names]
    assert names[-2:] == ["csv", "text"]
    with_site = reader_names({"zulu": Takes("zulu"), "alpha": Takes("alpha")})
    assert with_site == [*names[:-2], "alpha", "zulu", "csv", "text"]


class Takes:
    """A site's reader that takes every file, and gives one reject that names it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def recognises(self, head: bytes, filename: str) -> bool:
        return True

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        yield Reject(place, f"{self.name} read {len(stream.read())} bytes")


def test_a_sites_readers_come_behind_the_built_in_ones() -> None:
    """A built-in format is never taken by a site's reader, but a table or a text is; by name it reads anything."""
    site = {"ours": Takes("ours")}
    for name, head in HEADS.items():
        taken = recognise(head, "x", site)
        assert taken is not None
        assert taken.name == (name if name not in ("csv", "text") else "ours")
    (got,) = read_file(io.BytesIO(EVE), "ours", OWN, "x", site)
    assert got == Reject("x", f"ours read {len(EVE)} bytes")
    (got,) = read_file(io.BytesIO(b"one two"), None, OWN, "x", site)
    assert got == Reject("x", "ours read 7 bytes")
    with pytest.raises(UsageError, match="did you mean ours"):
        read_file(io.BytesIO(EVE), "our", OWN, "x", site)


@pytest.mark.parametrize("name", ["csv", "suricata-eve", "zeek", "pdf"])
def test_a_sites_reader_cannot_take_a_built_in_name(name: str) -> None:
    """A file readers/csv.toml is an error at once, also where no reader of that format is installed."""
    with pytest.raises(ConfigurationError, match=f"readers/{name}.toml"):
        read_file(io.BytesIO(EVE), None, OWN, "x", {name: Takes(name)})


@pytest.mark.parametrize("name", HEADS)
def test_content_tells_the_format(name: str) -> None:
    """The file's name does not matter, and each reader bears the name it is registered under."""
    reader = recognise(HEADS[name], "anything.bin")
    assert reader is not None
    assert reader.name == name
    assert reader_named(name).name == name


@pytest.mark.parametrize("name", HEADS)
def test_no_other_reader_takes_a_format(name: str) -> None:
    """Whatever the order, no reader but its own takes a format, save where one format holds another."""
    taken = [one for one in reader_names() if reader_named(one).recognises(HEADS[name], "anything.bin")]
    assert taken == [name, *ALSO.get(name, [])]


def test_an_unknown_name_names_the_nearest() -> None:
    """A misspelt format is told the one that was meant, before anything is read."""
    with pytest.raises(UsageError, match="did you mean suricata-eve"):
        reader_named("suricata")
    with pytest.raises(UsageError, match="known here: wazuh, suricata-eve, ocsf"):
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


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0", b'{"neither": "nor"}', b"<config></config>"])
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
        "heavy = ('threatshare.findings.formats.suricata', 'publicsuffix', 'idna', 'stix2');"
        "print([module for module in sys.modules if module.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

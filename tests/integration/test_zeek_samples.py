"""Zeek's logs on real files: telemetry, certificates and policy yield nothing, matches become sightings."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.zeek import ZeekReader
from threatshare.model import Finding, Reject, Role

NOTHING_KNOWN = OwnAssets()
WHEN = b"1588205199.824370"
MASKED = b"XXXXXXXXXX.XXXXXX"
"""Zeek's own test baselines blank out every time."""

CUT = "analyzer.detect-protocols"
"""What a tool has cut out of a log: columns without Zeek's header."""

EXPECTED: dict[str, dict[str, int]] = {
    "intel.cluster-transparency-with-proxy": {"known-indicator": 2},
    "intel.cluster-transparency__": {"known-indicator": 2},
    "intel.filter-item": {"known-indicator": 1},
    "intel.removal": {"victim-asset": 3},
    "intel.seen.smtp-cluster": {"known-indicator": 1},
    "intel.seen.smtp__": {"known-indicator": 7},
    "intel.whitelisting": {"known-indicator": 20},
    "notice.action-email-admin": {"third-party": 1, "unknown": 1},
    "notice.file-info-multiple-conns": {"victim-asset": 1},
    "http.sql-injection-plus-dvwa2": {"victim-asset": 4},
}
"""What comes out of each file, by a part of its name; nothing of all others."""


def logs(samples: Path) -> list[Path]:
    return [path for path in sorted((samples / "zeek").iterdir()) if path.suffix == ".log"]


def read(data: bytes) -> list[Finding | Reject]:
    return list(ZeekReader().read(io.BytesIO(data), "zeek.log", NOTHING_KNOWN))


def test_every_log_is_recognised(samples: Path) -> None:
    """All 25 logs are taken but the one that is none any more, and nothing else in the samples is."""
    paths = logs(samples)
    assert len(paths) == 25
    assert [CUT in path.name for path in paths] == [
        not ZeekReader().recognises(path.read_bytes()[:65_536], path.name) for path in paths
    ]
    others = [path for path in samples.rglob("*") if path.is_file() and path.parent.name != "zeek"]
    assert len(others) > 100
    assert not [path for path in others if ZeekReader().recognises(path.read_bytes()[:65_536], path.name)]


def test_what_comes_out(samples: Path) -> None:
    """One address is held and 33 matches become sightings; nothing becomes an indicator."""
    total: Counter[str] = Counter()
    for path in logs(samples):
        if CUT in path.name:
            continue
        got = read(path.read_bytes().replace(MASKED, WHEN))
        assert not [item for item in got if isinstance(item, Reject)], path.name
        roles = Counter(seen.role.value for item in got if isinstance(item, Finding) for seen in item.observations)
        assert roles == next((said for part, said in EXPECTED.items() if part in path.name), {}), path.name
        total += roles
    assert total == {"known-indicator": 33, "victim-asset": 8, "third-party": 1, "unknown": 1}
    assert not [role for role in total if Role(role).is_indicator]


def test_a_time_that_is_masked_is_a_reject(samples: Path) -> None:
    """Where a value was found but no time can be read, the record is kept aside."""
    (path,) = [one for one in logs(samples) if "intel.filter-item" in one.name]
    (got,) = read(path.read_bytes())
    assert isinstance(got, Reject)
    assert got.reason == "no time that can be read"


def by_time(line: bytes) -> bytes:
    return line.partition(b'"ts":')[2]


def test_the_logs_of_one_host_in_one_stream(samples: Path) -> None:
    """All of a host's logs mixed, its notice is about a certificate: 1,256 records yield nothing."""
    paths = [path for path in logs(samples) if "NASHUA" in path.name]
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    assert len(lines) == 1256
    lines.sort(key=by_time)
    assert read(b"\n".join(lines)) == []


@pytest.mark.parametrize("note", ["SSH::Password_Guessing", "Custom::Beacon"])
def test_the_same_notice_with_another_note(samples: Path, note: str) -> None:
    """It is the note that decides: with another one, and an outside server, the real record is not silent."""
    (path,) = [one for one in logs(samples) if one.name.endswith("NASHUA_notice.log")]
    data = (
        path.read_bytes().replace(b"SSL::Invalid_Server_Cert", note.encode()).replace(b"192.168.0.4", b"198.51.100.7")
    )
    (got,) = read(data)
    assert isinstance(got, Finding)
    by_value = {seen.observable.value: seen.role for seen in got.observations}
    assert by_value["10.0.1.6"] is Role.VICTIM_ASSET
    assert by_value["198.51.100.7"] is (Role.UNKNOWN if note == "Custom::Beacon" else Role.VICTIM_ASSET)


def test_intelligence_files_are_lists_and_no_findings(samples: Path) -> None:
    """No file of the Intel framework is taken for something that was seen."""
    for path in sorted((samples / "zeek-intel").glob("*.intel")):
        assert not ZeekReader().recognises(path.read_bytes()[:65_536], path.name)
        assert not [item for item in read(path.read_bytes()) if isinstance(item, Finding)]

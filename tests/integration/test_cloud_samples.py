"""The cloud readers on real files: posture yields nothing, and no reader takes another format's file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.asff import AsffReader
from threatshare.findings.formats.crowdstrike import CrowdStrikeReader
from threatshare.findings.formats.guardduty import GuardDutyReader
from threatshare.findings.formats.scc import SccReader
from threatshare.findings.records import HEAD
from threatshare.model import Finding, Reject
from threatshare.ports import Reader

READERS: tuple[Reader, ...] = (GuardDutyReader(), AsffReader(), SccReader(), CrowdStrikeReader())
OWN = OwnAssets()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SOURCE.txt")


def read(reader: Reader, path: Path) -> list[Finding | Reject]:
    with path.open("rb") as stream:
        return list(reader.read(stream, path.name, OWN))


def test_security_hubs_posture_findings_yield_nothing(samples: Path) -> None:
    """Each of the files is recognised, read without a reject, and gives no value at all."""
    paths = files(samples / "asff")
    assert len(paths) >= 20
    for path in paths:
        assert AsffReader().recognises(path.read_bytes()[:HEAD], path.name), path.name
        assert read(AsffReader(), path) == [], path.name


def test_the_guardduty_sample_holds_no_finding(samples: Path) -> None:
    """It is a forwarder's record around an empty event: not recognised, and where it is read, a reject."""
    (path,) = files(samples / "guardduty")
    assert not GuardDutyReader().recognises(path.read_bytes()[:HEAD], path.name)
    (got,) = read(GuardDutyReader(), path)
    assert isinstance(got, Reject)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: str(reader.name))
def test_no_reader_takes_another_formats_file(samples: Path, reader: Reader) -> None:
    """Over every file of the samples, a reader recognises the files of its own format only."""
    taken: Counter[str] = Counter()
    for path in files(samples):
        with path.open("rb") as stream:
            if reader.recognises(stream.read(HEAD), path.name):
                taken[path.relative_to(samples).parts[0]] += 1
    assert set(taken) == ({"asff"} if reader.name == "asff" else set())


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: str(reader.name))
def test_a_reader_that_is_named_for_a_foreign_file_asserts_nothing(samples: Path, reader: Reader) -> None:
    """With --format mistaken, posture findings and alerts of other tools are rejects or nothing, never findings."""
    foreign = [path for folder in ("prowler-ocsf", "suricata-eve", "zeek") for path in files(samples / folder)]
    assert foreign
    for path in foreign:
        assert not [item for item in read(reader, path) if isinstance(item, Finding)], path.name

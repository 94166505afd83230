"""MISP, STIX and OpenIOC as others published them: what comes out of each sample, what is held, what is kept aside.

The figures are those of the table in the documentation: a change here is a change of what leaves.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.misp import MispReader
from threatshare.findings.formats.openioc import OpenIocReader
from threatshare.findings.formats.stix1 import ADVICE, Stix1Reader
from threatshare.findings.formats.stix1_converter import installed
from threatshare.findings.formats.stix_bundle import StixReader
from threatshare.findings.readers import reader_named, reader_names
from threatshare.model import Finding, Kind, Observation, Role, Tlp
from threatshare.ports import Reader
from threatshare.stix.observables import canonical

NOBODY = OwnAssets()
MAKERS = OwnAssets(
    organisations=frozenset({"55f6ea5e-51ac-4344-bc8c-4170950d210f", "55f6ea5e-2c60-40e5-964f-47a8950d210f", "fireeye"})
)
"""As read by the organisations that made the samples: ESET and CIRCL by their UUIDs in MISP."""

READERS: dict[str, Reader] = {
    "misp-events": MispReader(),
    "tweetfeed-misp": MispReader(),
    "stix-mvt": StixReader(),
    "stix-unit42": StixReader(),
    "stix21-idioms": StixReader(),
    "tweetfeed-taxii/taxii/pages": StixReader(),
    "openioc": OpenIocReader(),
    "stix1-elevator": Stix1Reader(),
}
MINE = frozenset({"misp", "stix", "openioc", "stix1"})
LAST = frozenset({"csv", "text"})


@dataclass
class Yield:
    """What one folder yielded."""

    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    rejects: int = 0

    @property
    def observations(self) -> Iterator[Observation]:
        return (seen for one in self.findings for seen in one.observations)

    @property
    def roles(self) -> dict[str, int]:
        return dict(Counter(seen.role.value for seen in self.observations))


def files(samples: Path, folder: str) -> list[Path]:
    return sorted(path for path in (samples / folder).iterdir() if path.name != "SOURCE.txt")


@cache
def read(samples: Path, folder: str, own: OwnAssets = NOBODY) -> Yield:
    result = Yield()
    for path in files(samples, folder):
        result.files += 1
        with path.open("rb") as stream:
            for one in READERS[folder].read(stream, path.name, own):
                if isinstance(one, Finding):
                    result.findings.append(one)
                else:
                    result.rejects += 1
    return result


@pytest.mark.parametrize("folder", READERS)
def test_every_sample_is_recognised_by_its_own_reader_alone(samples: Path, folder: str) -> None:
    """Of all readers of structured formats, exactly the right one takes each file."""
    others = [reader_named(name) for name in reader_names() if name not in MINE | LAST]
    mine: list[Reader] = [MispReader(), StixReader(), OpenIocReader(), Stix1Reader()]
    for path in files(samples, folder):
        head = path.read_bytes()[: 64 * 1024]
        assert [one.name for one in mine + others if one.recognises(head, path.name)] == [READERS[folder].name]


def test_no_other_sample_is_taken(samples: Path) -> None:
    """Alerts, logs, tables and reports are left to their readers."""
    for path in samples.rglob("*"):
        if path.is_file() and str(path.parent.relative_to(samples)) not in READERS:
            head = path.read_bytes()[: 64 * 1024]
            assert not [one for one in READERS.values() if one.recognises(head, path.name)], path


@pytest.mark.parametrize(
    ("folder", "count", "findings", "rejects", "roles"),
    [
        ("misp-events", 16, 257, 0, {"payload": 66, "c2": 3, "unknown": 236}),
        ("tweetfeed-misp", 40, 11_505, 0, {"payload": 6_058, "c2": 5_443, "third-party": 3, "victim-asset": 1}),
        ("stix-mvt", 11, 1_340, 99, {"unknown": 1_340}),
        ("stix-unit42", 25, 745, 15, {"unknown": 745}),
        ("stix21-idioms", 31, 20, 15, {"unknown": 16, "third-party": 8}),
        ("openioc", 6, 35, 6, {"unknown": 35}),
    ],
)
def test_what_each_sample_yields(
    samples: Path, folder: str, count: int, findings: int, rejects: int, roles: dict[str, int]
) -> None:
    """Files, findings, rejects and roles, as read by somebody who made none of them."""
    got = read(samples, folder)
    assert (got.files, len(got.findings), got.rejects, got.roles) == (count, findings, rejects, roles)


IDIOMS: dict[str, tuple[dict[str, int], str]] = {
    # Markings of AIS, read; the value is the hash of the empty file.
    "ais-marking-a-n-f": ({"third-party": 1}, ""),
    "ais-marking-g-n-f": ({"third-party": 1}, ""),
    "ais-marking-w-n-f": ({"third-party": 1}, ""),
    # A private address.
    "block-network-traffic": ({"victim-asset": 1}, ""),
    # Nothing that is marked for detection: a vulnerability, a user agent.
    "cve-in-exploit-target": ({}, ""),
    "network-traffic-request-pattern": ({}, ""),
    "file-hash-reputation-observable": ({}, "could not convert 1 record of"),
    "icmp_pattern": ({}, "made nothing of it"),
    "indicator-w-kill-chain": ({}, "made nothing of it"),
    # Joined by AND: held, though the converter gives the values one by one; in the second, two objects share an id.
    "issue62": ({"unknown": 3, "third-party": 3}, "could not convert 2 records of"),
    "pattern_id_ref_issue": ({"unknown": 1, "victim-asset": 1}, "id another object bears too: 1"),
    # Nobody says that he made it.
    "malware-indicator-for-file-hash": ({"unknown": 1}, ""),
}
"""Of each sample of STIX 1: roles of its values, and the reason of its one Reject, if there is one."""


def read_idiom(path: Path) -> tuple[dict[str, int], str]:
    found = Yield()
    reasons = []
    with path.open("rb") as stream:
        for one in Stix1Reader().read(stream, path.name, NOBODY):
            if isinstance(one, Finding):
                found.findings.append(one)
            else:
                reasons.append(one.reason)
    return found.roles, "; ".join(reasons)


def test_what_each_stix_1_sample_yields(samples: Path) -> None:
    """What the converter and our rules make of each sample: no indicator of somebody else's, each loss named."""
    if installed() is None:
        pytest.skip("needs misp-stix: pip install 'threatshare[stix1]'")
    paths = files(samples, "stix1-elevator")
    with ThreadPoolExecutor(4) as pool:
        got = dict(zip((path.stem.partition("__")[2] for path in paths), pool.map(read_idiom, paths), strict=True))
    assert got.keys() == IDIOMS.keys()
    for name, (roles, reason) in IDIOMS.items():
        assert (got[name][0], bool(got[name][1])) == (roles, bool(reason)), name
        assert reason in got[name][1]


def test_stix_1_samples_without_the_converter(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where misp-stix is not installed, each sample is one reject that says what to do."""
    monkeypatch.setitem(sys.modules, "misp_stix_converter", None)
    for path in files(samples, "stix1-elevator"):
        assert read_idiom(path) == ({}, ADVICE)


def test_makers_may_say_what_others_must_hold(samples: Path) -> None:
    """To those who made them, the events and files that were held are their own; nothing else changes."""
    misp, ioc = read(samples, "misp-events", MAKERS), read(samples, "openioc", MAKERS)
    assert misp.roles == {"payload": 302, "c2": 3}
    assert ioc.roles == {"payload": 22, "c2": 12, "phish-sender": 1}


def test_every_value_comes_from_an_attribute_marked_for_detection(samples: Path) -> None:
    """Even for their makers, no value comes out that only attributes without to_ids name."""
    marked: Counter[str] = Counter()
    for path in files(samples, "misp-events"):
        doc = json.loads(path.read_bytes())
        for event in (one["Event"] for one in doc.get("response", [doc])):
            attributes = event["Attribute"] + [one for obj in event.get("Object", []) for one in obj["Attribute"]]
            marked.update(str(one["value"]).lower() for one in attributes if one["to_ids"])
    values = [seen.observable.value for seen in read(samples, "misp-events", MAKERS).observations]
    assert len(values) == 305
    assert all(value in marked or value.rstrip("/") in marked for value in map(str.lower, values))


def test_tlp_of_the_samples(samples: Path) -> None:
    """The events marked white or clear are, and the others bear no marking."""
    assert {one.tlp for one in read(samples, "tweetfeed-misp").findings} == {Tlp.CLEAR}
    assert Counter(one.tlp for one in read(samples, "misp-events").findings)[Tlp.CLEAR] == 69
    assert {one.tlp for one in read(samples, "stix-mvt").findings} == {None}


def test_misp_and_taxii_say_the_same(samples: Path) -> None:
    """One publisher's MISP feed and TAXII pages agree on what each value that both name is, as far as kinds go."""
    sets = []
    for folder in ("tweetfeed-misp", "tweetfeed-taxii/taxii/pages"):
        sets.append({seen.observable: seen.role for seen in read(samples, folder).observations})
    both = sets[0].keys() & sets[1].keys()
    assert len(both) > 1_000
    assert all(sets[0][value] is sets[1][value] for value in both)


def test_the_event_with_what_is_inside_our_walls(samples: Path) -> None:
    """The one URL of the feed whose host is a private address stays home."""
    (ours,) = [seen for seen in read(samples, "tweetfeed-misp").observations if seen.role is Role.VICTIM_ASSET]
    assert ours.observable.kind is Kind.URL


def test_values_are_canonical(samples: Path) -> None:
    """Whatever the producer wrote, each value is in its one spelling."""
    for folder in ("misp-events", "stix-unit42", "openioc"):
        for seen in read(samples, folder).observations:
            assert canonical(seen.observable.kind, seen.observable.value) == seen.observable

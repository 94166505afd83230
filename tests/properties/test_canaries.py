"""Nothing private gets out: made-up private values, planted in every field of every format, taken through the node.

Each value is planted in a record of its own, that is read by the real reader, ingested and published to a partner.
``THREATSHARE_CANARIES`` sets how many values there are in all; the nightly run plants 10,000.
"""

from __future__ import annotations

import io
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import settings

from builders import (
    NOW,
    make_agreement,
    make_collection,
    make_outlet,
    make_own,
    make_store,
    served,
    take_findings,
)
from canaries import (
    FOLDER,
    MAKERS,
    OUR_DOMAIN,
    OUR_MAIL,
    OUR_NETWORK,
    Canary,
    Field,
    came_out,
    encoded,
    fields,
    pdf,
    planted,
)
from taxii_node import TaxiiNode
from threatshare.config import OwnAssets
from threatshare.exports.blocklist import write_blocklist
from threatshare.exports.bundle import write_bundle
from threatshare.exports.rows import ExportRow
from threatshare.exports.table import write_table
from threatshare.findings.formats.fieldmap import FieldMapReader
from threatshare.findings.formats.fieldmap_settings import FieldMap
from threatshare.findings.readers import reader_named, reader_names
from threatshare.model import CollectionKind, Finding, Kind, Reject, Role, Tlp, moment
from threatshare.policy import gate, privacy
from threatshare.policy.agreements import load_agreements
from threatshare.policy.detectors import DETECTORS, Detector
from threatshare.policy.gate import may_export
from threatshare.ports import Reader
from threatshare.publish import publish
from threatshare.stix.patterns import read_pattern
from threatshare.store.agreements import keep_versions
from threatshare.store.collections import collection_by_alias

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000
TOTAL = int(os.environ.get("THREATSHARE_CANARIES") or (10_000 if NIGHTLY else 1_000))

FORMATS = {file.stem: file for file in sorted(FOLDER.iterdir())} | {"pdf": FOLDER / "text.txt"}
OWN = OwnAssets(
    (ip_network(OUR_NETWORK),),
    (OUR_DOMAIN,),
    (OUR_MAIL,),
    mail_servers=("mx1.mailbox.example",),
    organisations=frozenset({"our soc"}),
)
AGREED = make_agreement(max_tlp="amber")

RECIPIENT = re.compile(
    r"(?i)(?:^|\.)(?:to|cc|bcc|delivered-to|rcpt_to|recipientemailaddress|email_addr|principalemail|assignedto|user|"
    r"victims)(?:\.|$)|^Event\.Attribute\.3\."
)
"""Fields of recipients and victims: a mail address there is never a phisher's own."""
PART_OF_URL = re.compile(r"^/|://|^\w[\w.-]*\.example\b")
"""Texts in whose place a bare name would be a path or a host, and nobody's name by its form."""


def reader_of(name: str) -> Reader:
    """Gives the reader of a format; a test of one that is not there is skipped, visibly."""
    if name == "fieldmap":
        return FieldMapReader("site", msgspec.convert(FIELD_MAP, FieldMap))
    if name not in reader_names():
        pytest.skip(f"no reader named {name} is registered")
    return reader_named(name)


FIELD_MAP = {
    "format": "json",
    "time": {"seen": "when"},
    "title": "headline",
    "value": [{"field": "what", "role_field": "part", "roles": {"c2": "c2", "payload": "payload"}}],
}


@dataclass
class Run:
    """What one format's planted records came to."""

    canaries: list[Canary] = field(default_factory=list)
    to_partner: str = ""
    """Everything that a partner may be given: entries, and files made for partners."""
    inside: str = ""
    released: int = 0
    privacy_rules: Counter[str] = field(default_factory=Counter)
    """Rules of privacy that kept something here."""
    senders: set[str] = field(default_factory=set)
    """Mail addresses that the reader called a phisher's own, planted in no recipient's field."""
    results: list[Finding | Reject] = field(default_factory=list)


def plantings(name: str, count: int, kinds: Sequence[str], only: str) -> Iterator[tuple[Field, Canary, bytes]]:
    """Yields fields whose path matches ``only`` with canaries and the files that hold them, each time the same."""
    rng = Random(crc32(name.encode()))
    places = [one for one in fields(FORMATS[name]) if re.search(only, one.path)]
    for number in range(count):
        place = places[number % len(places)]
        canary = MAKERS[kinds[rng.randrange(len(kinds))]](rng)
        if canary.alone and PART_OF_URL.search(place.text.replace("[.]", ".")):
            continue
        if rng.random() < 0.3:
            canary = encoded(canary, rng)
        file = planted(place, canary, rng)
        yield place, canary, pdf(file.decode().split("\n")) if name == "pdf" else file


def run(folder: Path, name: str, count: int, kinds: Sequence[str] = tuple(MAKERS), only: str = "") -> Run:
    """Plants, reads, ingests and publishes."""
    done = Run()
    reader = reader_of(name)
    clean = FORMATS[name].read_bytes()
    files: list[tuple[Field | None, Canary | None, bytes]] = [
        (None, None, pdf(clean.decode().split("\n")) if name == "pdf" else clean)
    ]
    files += plantings(name, count, kinds, only)
    for place, canary, file in files:
        found = list(reader.read(io.BytesIO(file), f"{name}:planted", OWN))
        done.results += found
        if canary is not None and place is not None:
            done.canaries.append(canary)
            if canary.kind == "mail" and not RECIPIENT.search(place.path):
                done.senders |= _senders(found) & {canary.text}
    store = make_store(folder)
    try:
        partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
        internal = make_collection(store, CollectionKind.INTERNAL)
        siem = make_collection(store, CollectionKind.SIEM)
        take_findings(store, *done.results, own=make_own(assets=OWN))
        facts: dict[str, Any] = {"own": OWN, "purpose": "demo", "privacy_key": b"k" * 32}
        outlets = [make_outlet(one, AGREED if one is partner else None, **facts) for one in (partner, internal, siem)]
        report = publish(store, outlets)
        done.released = report.released["to-north"]
        for alias, _, decision in report.decisions:
            if alias == "to-north":
                done.privacy_rules.update(one.rule for one in decision.reasons if one.verdict != "release")
        bodies = [row[0] for row in store.conn.execute("SELECT body FROM entry WHERE id >> 40 = ?", (partner.number,))]
        reasons = "\n".join(one.text for _, _, decision in report.decisions for one in decision.reasons)
        inside = [one.body for one in served(store, internal)]
        done.inside = repr(inside)
        exported = _exported([one for one in inside if one["type"] == "indicator"], outlets[0].facts)
        bundle = b"".join(write_bundle(map(bytes, bodies), "bundle--00000000-0000-4000-8000-000000000000")).decode()
        # Reasons stay here, but may be logged and shown to anybody who asks why.
        done.to_partner = "\n".join((*(bytes(body).decode() for body in bodies), bundle, exported, reasons))
    finally:
        store.close()
    return done


def _senders(found: Sequence[Finding | Reject]) -> set[str]:
    return {
        seen.observable.value
        for one in found
        if isinstance(one, Finding)
        for seen in one.observations
        if seen.observable.kind is Kind.EMAIL and seen.role is Role.PHISH_SENDER
    }


def _exported(indicators: Sequence[dict[str, Any]], facts: gate.Facts) -> str:
    """Writes the files for partners: a table and a blocklist of what may stand in them."""
    values = [(one, indicator["labels"]) for indicator in indicators for one in read_pattern(indicator["pattern"])]
    at = moment(NOW)
    rows = [
        ExportRow(one, 70, ("own",), at, at, None, Tlp.GREEN)
        for one, roles in values
        if not may_export(one, facts, roles)
    ]
    return "".join((*write_table(rows), *write_blocklist(rows)))


def leaked(done: Run) -> list[Canary]:
    """Gives what came out although it must not; a phisher's own address is threat data and may."""
    return [one for one in came_out(done.canaries, done.to_partner) if one.text not in done.senders]


@pytest.mark.parametrize("name", FORMATS)
def test_no_canary_comes_out(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No planted value reaches a partner, a file for partners, a log or a reason, plain or encoded; the rest does."""
    with caplog.at_level(logging.DEBUG):
        done = run(tmp_path, name, TOTAL // len(FORMATS) + 1)
    assert leaked(done) == []
    assert done.released > 0, "the template itself yields nothing, so nothing was tried"
    written = capfd.readouterr()
    assert came_out(done.canaries, caplog.text + written.out + written.err) == []


def _in_force(folder: Path) -> None:
    """Has the node see its partner's agreement, without which the partner reads nothing."""
    (folder / "agreements").mkdir()
    dates = "signed_on = 2026-01-01\neffective_from = 2026-01-01\nexpires_on = 2026-12-31\n"
    (folder / "agreements" / "north.toml").write_text(f'partner = "north"\n{dates}[outbound]\nmax_tlp = "amber"\n')
    store = make_store(folder)
    try:
        keep_versions(store, folder, load_agreements(folder), moment(NOW).date(), NOW)
    finally:
        store.close()


def test_no_answer_to_a_partner_holds_one(tmp_path: Path) -> None:
    """Neither pages, manifests and versions, nor what the server says to wrong requests, hold a planted value."""
    with TaxiiNode(tmp_path) as node:
        done = run(tmp_path, "text", 200)
        node.account("north", read=["to-north"])
        _in_force(tmp_path)
        collection = collection_by_alias(node.writer, "to-north")
        assert collection is not None
        at = f"/api/collections/{collection.id}"
        got = [node.get(path, "north") for path in ("/taxii2/", "/api/", "/api/collections/", at + "/")]
        got += [node.get(f"{at}/{part}/", "north") for part in ("objects", "manifest")]
        assert {answer.status for answer in got} == {200}
        objects = got[-2].objects
        assert len(objects) == done.released + 1
        got += [node.get(f"{at}/objects/{one['id']}/{part}", "north") for one in objects for part in ("", "versions/")]
        got += [node.get("/api/collections/internal/objects/", "north"), node.get("/api/collections/siem/", "north")]
        wrong = ("added_after=yesterday", "next=none", "match[id]=none", "match[version]=none", "limit=-1")
        got += [node.get(f"{at}/objects/", "north", query) for query in wrong]
        got.append(node.request("POST", f"{at}/objects/", "north", body={"objects": [{"type": "indicator"}]}))
    said = b"\n".join(answer.body + repr(answer.headers).encode() for answer in got).decode()
    assert [one for one in came_out(done.canaries, said) if one.text not in done.senders] == []


def test_the_values_get_as_far_as_the_gate(tmp_path: Path) -> None:
    """What the test above shows is the gate's doing: in our own organisation the planted URLs do arrive."""
    done = run(tmp_path, "csv", 400, only=r"^value\.3$")
    assert len(came_out(done.canaries, done.inside)) > 100
    wanted = {one.rule for one in DETECTORS} - {"privacy-own-address", "privacy-own-name", "privacy-tax-code"}
    assert wanted <= done.privacy_rules.keys()


KIND_OF_RULE = {
    "privacy-mail": "mail",
    "privacy-folder": "folder",
    "privacy-user": "user",
    "privacy-host": "computer",
    "privacy-card": "card",
    "privacy-ssn": "ssn",
    "privacy-phone": "phone",
    "privacy-iban": "iban",
}


@pytest.mark.parametrize("rule", KIND_OF_RULE)
def test_without_its_detector_each_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """The test can fail: with one detector switched off, what only it finds reaches the partner."""
    rest: tuple[Detector, ...] = tuple(one for one in DETECTORS if one.rule != rule)
    monkeypatch.setattr(privacy, "DETECTORS", rest)
    assert leaked(run(tmp_path, "csv", 40, [KIND_OF_RULE[rule]], only=r"^value\.3$"))


def test_without_the_rule_ours_still_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two walls before our own names one alone holds: without privacy detectors, own-asset keeps them here."""
    monkeypatch.setattr(privacy, "DETECTORS", ())
    ours = ["own-mail", "own-address", "own-host"]
    done = run(tmp_path, "csv", 60, ours, only=r"^value\.")
    assert came_out(done.canaries, done.inside + done.to_partner) == []

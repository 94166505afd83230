"""Real feeds come in with nothing lost, as docs/reference/feed-samples.md says; copies of one feed are one voice."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from feed_samples import FOLDERS, HEAD, TABLES, fresh_node, row, shares, static_taxii

from threatshare.feed_settings import FeedSettings, ListSettings
from threatshare.lookup import lookup
from threatshare.store.runs import rejects

DAYS = ("2025-11-01", "2025-11-02", "2025-11-14")
"""For which the samples hold TweetFeed both as CSV and as MISP events."""

_VALUE = re.compile(r"= '((?:[^'\\]|\\.)*)'")


@pytest.fixture(scope="module")
def page(root: Path) -> dict[str, str]:
    """The tables of the page, by the first column's heading and the number of columns."""
    text = (root / "docs/reference/feed-samples.md").read_text("utf-8")
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == len(TABLES)
    return {name: table.rstrip("\n") + "\n" for name, table in zip(TABLES, tables, strict=True)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_row_of_a_folder(folder: str, samples: Path, page: dict[str, str]) -> None:
    """Pulled again into a fresh node, a folder gives the row that the page shows; else write the page anew."""
    shown = [line for line in page["folders"].splitlines(keepends=True) if line.startswith(f"| {folder} |")]
    assert shown == [row(samples, folder)]
    assert page["folders"].startswith(HEAD)
    assert page["folders"].count("\n") == len(FOLDERS) + 2


@pytest.mark.parametrize("name", ["renderings", "copies"])
def test_copies_are_one_voice(name: str, samples: Path, page: dict[str, str]) -> None:
    """Feeds that copy one another raise no score once they share a lineage; the page shows what they did without."""
    made = TABLES[name](samples)
    assert made == page[name]
    rows = [[int(cell.split()[-1]) for cell in line.strip("| ").split(" | ")] for line in made.splitlines()[2:]]
    assert [feeds for feeds, *_ in rows] == list(range(1, len(rows) + 1))
    apart, together = [one[2] for one in rows], [one[3] for one in rows]
    assert apart == sorted(set(apart)), "more feeds that count as independent make a higher score"
    assert max(together) == together[0] == apart[0], "feeds of one lineage do not"


def _objects(file: Path) -> list[dict[str, Any]]:
    held = json.loads(file.read_bytes())
    return (
        [held]
        if isinstance(held, dict) and "objects" not in held
        else held["objects"]
        if isinstance(held, dict)
        else held
    )


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("stix-mvt", "*.stix2"),
        ("stix-unit42", "*.json"),
        ("stix21-idioms", "*.json"),
        ("tweetfeed-taxii", "taxii/pages/*"),
    ],
)
def test_nothing_is_lost(folder: str, files: str, samples: Path) -> None:
    """Every object of every file is stored as it came, or is kept aside whole with a reason, type by type."""
    missing: Counter[tuple[str, str]] = Counter()
    with fresh_node() as node, static_taxii(samples / "tweetfeed-taxii") as taxii:
        node.feeds["all"] = taxii if "taxii" in folder else FeedSettings("stix", path=str(samples / folder))
        report = node.pull_feed("all", lambda _: True)
        stored = {_canonical(body) for (body,) in node.store.conn.execute("SELECT body FROM version")}
        kept = list(rejects(node.store.conn, "all", 100_000))
        aside = {_canonical(one.text) for _, _, one, _ in kept}
        assert all(one.reason for _, _, one, _ in kept)
        assert not stored & aside
        count = 0
        for file in sorted((samples / folder).glob(files)):
            for one in _objects(file):
                count += 1
                if _canonical(json.dumps(one)) not in stored | aside:
                    missing[file.name, one["type"]] += 1
    assert not missing
    assert report.objects == count > 200
    assert report.new + report.changed + report.unchanged + report.rejected == count


def _canonical(text: str | bytes) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def test_renderings_merge(samples: Path, tmp_path: Path) -> None:
    """What a feed says of the same days as CSV and as MISP is about the same observables, each named by both."""
    for kind in ("csv", "misp"):
        (tmp_path / kind).mkdir()
        for file in (samples / f"tweetfeed-{kind}").glob(f"*.{'csv' if kind == 'csv' else 'json'}"):
            if any(_says_day(file, day) for day in DAYS):
                (tmp_path / kind / file.name).write_bytes(file.read_bytes())
    for lineage in (None, "tweetfeed"):
        with fresh_node() as node:
            preset = ListSettings(preset="tweetfeed")
            node.feeds["csv"] = FeedSettings("list", path=str(tmp_path / "csv"), list=preset, lineage=lineage)
            node.feeds["misp"] = FeedSettings("misp", path=str(tmp_path / "misp"), lineage=lineage)
            assert [node.pull_feed(name, lambda _: True).status for name in ("csv", "misp")] == ["ok", "ok"]
            found = shares(node)
            assert {feeds: count for feeds, (count, _) in found.items()} == {2: 885}
            value = node.store.conn.execute("SELECT value FROM observable ORDER BY score DESC LIMIT 1").fetchone()[0]
            (answer,) = lookup(node.store.conn, [value], node.now())
            assert {claim.source for claim in answer.claims} == {"csv", "misp"}


def test_what_merges_is_what_is_alike(samples: Path, page: dict[str, str]) -> None:
    """As many observables have two feeds as values stand in two renderings, counted from the files' text alone."""
    with_commas = (csv.reader(one.open(newline="")) for one in (samples / "tweetfeed-csv").glob("*.csv"))
    events = (json.loads(one.read_bytes())["Event"] for one in (samples / "tweetfeed-misp").glob("*.json"))
    pages = (json.loads(one.read_bytes()) for one in (samples / "tweetfeed-taxii").glob("taxii/pages/*.json"))
    renderings = (
        {row[3] for rows in with_commas for row in rows},
        {one["value"] for event in events for one in event["Attribute"]},
        {_VALUE.findall(one["pattern"])[0] for objects in pages for one in objects if one["type"] == "indicator"},
    )
    named = Counter(value.lower() for one in renderings for value in {text.lower() for text in one})
    (two,) = [line.split(" | ")[1] for line in page["renderings"].splitlines() if line.startswith("| 2 |")]
    assert int(two) == sum(count > 1 for count in named.values())


def _says_day(file: Path, day: str) -> bool:
    with file.open("rb") as stream:
        head = stream.read(300).decode("utf-8", "replace")
    return head.startswith(day) or f"TweetFeed IOCs {day}" in head

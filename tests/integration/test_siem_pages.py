"""The pages on connecting a product: their commands run, and their values work when sent as that product sends them.

The products themselves cannot be run here. What each sends was read in its source, or stands in its maker's
documentation, as the page says.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from requests.auth import HTTPBasicAuth
from taxii2client.v21 import ApiRoot, Collection, Server, as_pages

from nodes import NodeAtWork
from threatshare.cli import cli
from threatshare.model import Tlp
from threatshare.stix.tlp import TLP1_ID, TLP2_ID

SAID = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}.000Z"
"""Lately, since what is told of an address counts for some weeks only."""
TAXII = "application/taxii+json;version=2.1"
PAGES = ("sentinel", "splunk", "elastic", "qradar", "xsoar", "opencti", "misp", "google-secops")
ROW = re.compile(r"^\| `?([^|`]+?)`? \| `([^`]*)` \|$", re.M)
VALUES = [
    *(f"[ipv4-addr:value = '198.51.100.{number}']" for number in range(30)),
    "[ipv6-addr:value = '2001:db8::7']",
    "[domain-name:value = 'login.example.net']",
    "[url:value = 'http://login.example.net/a%20b']",
    "[email-addr:value = 'phish@example.org']",
    "[file:hashes.'SHA-256' = 'aec070645fe53ee3b3763059376134f058cc337247c978add178b6ccdfb0019f']",
]


@dataclass(frozen=True)
class Page:
    """A page with what it says."""

    commands: list[list[str]]
    values: dict[str, str]


@dataclass(frozen=True)
class Site:
    """A node on which every page was followed, and its server."""

    url: str
    keys: dict[str, str]
    ids: dict[str, str]
    pages: dict[str, Page]
    folder: Path
    """Where files are written that a page exports."""

    def typed(self, product: str) -> dict[str, str]:
        """Gives the values of a page as somebody would type them here."""
        page = self.pages[product]
        made = [command[command.index("add") + 1] for command in page.commands if command[:2] == ["collection", "add"]]
        account = next(command[2] for command in page.commands if command[:2] == ["account", "add"])
        return {
            name: value.replace("https://HOST", self.url)
            .replace("/ID/", f"/{self.ids[made[0]]}/")
            .replace("KEY", self.keys[account])
            if value != "ID"
            else self.ids[made[0]]
            for name, value in page.values.items()
        }


def read_page(file: Path) -> Page:
    text = file.read_text("utf-8")
    commands = [shlex.split(line)[1:] for line in re.findall(r"^    (threatshare .+)$", text, re.M)]
    table = text.partition("## What to type in")[2].partition("\n## ")[0]
    return Page(commands, dict(ROW.findall(table)))


def run(directory: Path, arguments: list[str]) -> str:
    done = CliRunner().invoke(cli, ["--node", str(directory), *arguments])
    assert done.exit_code == 0, (arguments, done.output)
    return done.stdout


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    directory = folder / "node"
    who = ["--name", "Acme", "--sector", "energy", "--country", "US", "--area", "US-DC", "--purpose", "demo"]
    run(directory, ["init", str(directory), *who, "--no-own-assets"])
    feed = folder / "feed.json"
    feed.write_text(
        json.dumps({"type": "bundle", "id": "bundle--x", "objects": list(map(intelligence, range(len(VALUES))))})
    )
    run(directory, ["feed", "add", "isac", str(feed), "--reliability", "A"])
    run(directory, ["pull"])
    pages = {name: read_page(root / f"docs/howto/siem/{name}.md") for name in PAGES}
    later = [command for page in pages.values() for command in page.commands if command[0] == "export"]
    keys: dict[str, str] = {}
    for command in (one for page in pages.values() for one in page.commands if one not in later):
        made = run(directory, command)
        if command[:2] == ["account", "add"]:
            keys[command[2]] = re.findall(r"ts_\w+", made)[0]
    run(directory, ["publish"])
    for command in later:
        *export, arrow, file = command
        assert arrow == ">"
        (folder / file).write_text(run(directory, export))
    listed = [json.loads(line) for line in run(directory, ["collection", "list", "--json"]).splitlines()]
    with NodeAtWork(directory).serving() as url:
        yield Site(url, keys, {one["alias"]: one["id"] for one in listed}, pages, folder)


def intelligence(number: int) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": SAID,
        "pattern": VALUES[number],
        "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2099-01-01T00:00:00Z",
        "confidence": 90,
        "object_marking_refs": [TLP2_ID[Tlp.GREEN]],
    }


def patterns(objects: list[dict[str, Any]]) -> set[str]:
    return {one["pattern"] for one in objects if one["type"] == "indicator"}


def get(url: str, auth: tuple[str, str], accept: str = TAXII, **query: str) -> requests.Response:
    answer = requests.get(url, params=query, auth=auth, headers={"Accept": accept}, timeout=20, allow_redirects=False)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == TAXII
    return answer


def test_sentinel(site: Site) -> None:
    """Sentinel is given root, collection id, name and key; it asks for what is newer, page by page, with Basic."""
    typed = site.typed("sentinel")
    auth = typed["Username"], typed["Password"]
    objects = f"{typed['API root URL']}collections/{typed['Collection ID']}/objects/"
    assert get(typed["API root URL"], auth).json()["versions"] == [TAXII]
    found: list[dict[str, Any]] = []
    query = {"limit": "10", "added_after": "2020-01-01T00:00:00.000Z"}
    while True:
        page = get(objects, auth, **query).json()
        found += page["objects"]
        if not page.get("more"):
            break
        query["next"] = page["next"]
    assert patterns(found) == set(VALUES)
    us, *others = found
    assert us["type"] == "identity"
    assert {TLP1_ID[Tlp.CLEAR], TLP2_ID[Tlp.CLEAR]} == set(us["object_marking_refs"])
    assert all({TLP1_ID[Tlp.GREEN], TLP2_ID[Tlp.GREEN]} == set(one["object_marking_refs"]) for one in others)


def test_splunk(site: Site) -> None:
    """Splunk ES reads observed data, and finds a value in each; our Identity comes before them."""
    typed = site.typed("splunk")
    with Collection(
        f"{typed['URL']}collections/{typed['Collection']}/", user=typed["Username"], password=typed["Password"]
    ) as collection:
        us, *found = [one for page in as_pages(collection.get_objects, per_request=10) for one in page["objects"]]
    assert us["type"] == "identity"
    assert {one["type"] for one in found} == {"observed-data"}
    seen = {tuple(one["objects"]["0"].get("hashes", {"": one["objects"]["0"].get("value")}).values()) for one in found}
    assert len(seen) == len(found) == len(VALUES)


def test_elastic(site: Site) -> None:
    """Elastic is given the address of the objects: a date, then `next` alone, then the last date it was told."""
    typed = site.typed("elastic")
    auth = typed["Basic Auth Username"], typed["Basic Auth Password"]
    url, limit = typed["URL API endpoint"].rstrip("/") + "/", typed["Limit"]
    answer = get(url, auth, added_after="2025-01-01T00:00:00Z", limit="10")
    found = list(answer.json()["objects"])
    while "next" in answer.json():
        answer = get(url, auth, next=answer.json()["next"], limit="10")
        found += answer.json()["objects"]
    assert patterns(found) == set(VALUES)
    again = get(url, auth, added_after=answer.headers["X-Taxii-Date-Added-Last"], limit=limit)
    assert again.json()["objects"] == []


def test_qradar(site: Site) -> None:
    """QRadar discovers the collections from the discovery address, finds the one of that title, and reads values."""
    typed = site.typed("qradar")
    auth = typed["Username"], typed["Password"]
    root = get(typed["TAXII endpoint"], auth).json()["default"]
    chosen = [
        one for one in get(f"{root}collections/", auth).json()["collections"] if one["title"] == typed["Collection"]
    ]
    found = get(f"{root}collections/{chosen[0]['id']}/objects/", auth, **{"match[type]": "indicator"}).json()["objects"]
    assert patterns(found) == set(VALUES)
    assert all("name" not in one and "labels" not in one for one in found)


def test_xsoar(site: Site) -> None:
    """XSOAR finds root and collection by name, asks page by page for its types, and knows TLP 1's marking ids."""
    typed = site.typed("xsoar")
    server = Server(typed["Discovery Service URL"], user=typed["Username / API Key"], password=typed["Password"])
    chosen = next(one for one in server.api_roots if one.url.split("/")[-2] == typed["Default API Root to use"])
    collection = next(
        one for one in chosen.collections if one.title == typed["Collection Name To Fetch Indicators From"]
    )
    pages = as_pages(
        collection.get_objects,
        per_request=int(typed["Max STIX Objects Per Poll"]),
        type=typed["STIX Objects To Fetch"].split(","),
    )
    found = [one for page in pages for one in page["objects"]]
    assert patterns(found) == set(VALUES)
    assert all(one["object_marking_refs"] == [TLP1_ID[Tlp.GREEN]] for one in found)
    single = re.compile(r"\[(\w[\w-]*):[\w.'-]+='([^']*)'\]")
    assert all(single.fullmatch(one["pattern"].replace(" ", "")) for one in found), "it reads them without blanks"


def test_opencti(site: Site) -> None:
    """OpenCTI keeps `next` from tick to tick, then a date cut to milliseconds; its connector posts bundles."""
    typed = site.typed("opencti")
    auth = typed["Username"], typed["Password"]
    objects = f"{typed['TAXII server URL']}collections/{typed['TAXII collection']}/objects/"
    query = {"added_after": typed["Import from date"], "limit": "10"}
    found: list[dict[str, Any]] = []
    for _ in range(10):
        answer = get(objects, auth, **query)
        found += answer.json()["objects"]
        if not answer.json()["more"]:
            break
        query["next"] = answer.json()["next"]
    assert patterns(found) == set(VALUES)
    cut = answer.headers["X-TAXII-Date-Added-Last"][:23] + "Z"
    assert get(objects, auth, added_after=cut).json()["objects"] == []
    for number in range(2):
        answer = requests.post(
            f"{typed['TAXII server URL']}collections/{site.ids['from-opencti']}/objects/",
            data=json.dumps({"type": "bundle", "id": "bundle--x", "objects": [intelligence(number)]}),
            auth=auth,
            headers={"Accept": TAXII, "Content-Type": "application/stix+json; version=2.1"},
            timeout=20,
        )
        assert (answer.status_code, answer.json()["success_count"]) == (202, 1)


def test_misp(site: Site) -> None:
    """MISP joins base URL and root, reads the greatest length, and posts envelopes with Basic from its base64 key."""
    typed = site.typed("misp")
    told = re.fullmatch(r"base64 of (.+)", typed["API key"])
    assert told
    key = b64encode(told[1].encode()).decode()
    auth = HTTPBasicAuth(*b64decode(key).split(b":"))
    api_root = f"{typed['Base URL']}/{typed['API root']}"
    with ApiRoot(api_root, auth=auth) as opened:
        most = opened.max_content_length
    envelope = json.dumps({"objects": list(map(intelligence, range(5)))}).encode()
    assert len(envelope) < most
    with Collection(f"{api_root}/collections/{typed['Collection']}", auth=auth) as collection:
        status = collection.add_objects(envelope, wait_for_completion=False)
    assert (status.status, status.success_count) == ("complete", 5)


def test_misp_reads_the_file(site: Site, root: Path) -> None:
    """What the page types makes an event of the exported file, with an attribute for each value."""
    page = (root / "docs/howto/siem/misp.md").read_text("utf-8")
    (typed,) = re.findall(r"^    (misp_stix_converter .+)$", page, re.M)
    program, *arguments = shlex.split(typed)
    script = Path(sys.executable).with_name(program)
    subprocess.run([script, *arguments], cwd=site.folder, check=True, capture_output=True, timeout=60)
    event = json.loads((site.folder / f"{arguments[-1]}.out").read_text("utf-8"))
    told = {one["value"] for one in event["Attribute"]}
    assert {"198.51.100.1", "2001:db8::7", "login.example.net", "phish@example.org"} <= told
    assert len(told) == len(VALUES)


def test_google_secops(site: Site) -> None:
    """Google's script takes the default root, chooses by title, asks for indicators added since the last run."""
    typed = site.typed("google-secops")
    assert typed["TAXII_VERSION"] == "2.1"
    server = Server(
        typed["TAXII_DISCOVERY_URL"], user=typed["TAXII_USERNAME"], password=typed["TAXII_PASSWORD_SECRET_PATH"]
    )
    wanted = typed["TAXII_COLLECTION_NAMES"].split(",")
    found: list[dict[str, Any]] = []
    for collection in (one for one in server.default.collections if one.title in wanted):
        for page in as_pages(
            collection.get_objects, per_request=1000, added_after="2020-01-01T00:00:00Z", type="indicator"
        ):
            if not page.get("objects"):
                break
            found += page["objects"]
    assert patterns(found) == set(VALUES)


def test_every_page_says_how_far_it_was_tried(root: Path) -> None:
    """Each page names where its values come from, that the product was not run, what is lost and what to check."""
    files = sorted((root / "docs/howto/siem").glob("*.md"))
    assert {file.stem for file in files} == set(PAGES)
    for file in files:
        text = " ".join(file.read_text("utf-8").split())
        assert "As documented by its maker (" in text
        assert "not run against the product" in text.lower()
        for heading in ("## What to type in", "## What is lost there", "## What to check first"):
            assert heading in text, (file.name, heading)

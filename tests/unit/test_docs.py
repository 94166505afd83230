"""The documentation keeps up: what the program has is described, what is described can be found."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from msgspec import Struct

from threatshare.cli import cli
from threatshare.config import AssetsFile, Settings
from threatshare.exports.formats import FORMATS
from threatshare.feed_settings import FeedSettings
from threatshare.findings.readers import reader_names
from threatshare.policy.agreements import Agreement
from threatshare.policy.never_share import NeverShareFile
from threatshare.policy.people import PeopleFile
from threatshare.share.push_settings import PushSettings

FENCE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def reference(root: Path) -> str:
    """The text of all reference pages."""
    return "\n".join(page.read_text("utf-8") for page in sorted((root / "docs/reference").glob("*.md")))


@pytest.fixture(scope="module")
def generators(root: Path) -> dict[str, Any]:
    """The functions that write the generated parts of the reference."""
    folder = root / "docs/generators"
    return {"keys": runpy.run_path(str(folder / "settings.py"))["keys"], **runpy.run_path(str(folder / "commands.py"))}


@pytest.mark.parametrize(
    ("shape", "page"),
    [
        (Settings, "configuration.md"),
        (AssetsFile, "configuration.md"),
        (NeverShareFile, "configuration.md"),
        (PeopleFile, "configuration.md"),
        (PushSettings, "configuration.md"),
        (FeedSettings, "configuration.md"),
        (Agreement, "agreement-file.md"),
    ],
)
def test_every_setting_is_documented(root: Path, generators: dict[str, Any], shape: type[Struct], page: str) -> None:
    """Every key of every file of the node directory stands in its reference page."""
    text = (root / "docs/reference" / page).read_text("utf-8")
    named = set(re.findall(r"`\[*([a-z0-9_.]+)\]*(?: = [^`]*)?`", text))
    missing = [key for key in generators["keys"](shape) if key not in named and key.rpartition(".")[2] not in named]
    assert missing == []


def test_every_command_and_option_is_documented(generators: dict[str, Any], root: Path) -> None:
    """Every command has its section in the reference, with every one of its options."""
    text = (root / "docs/reference/command-line.md").read_text("utf-8")
    sections = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    missing = [
        f"{context.command_path} {option}"
        for context in generators["walk"](cli)
        for option in ("", *_options(context.command))
        if option not in sections.get(context.command_path, "") or context.command_path not in sections
    ]
    assert missing == []


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from parameter.opts


def test_every_command_says_what_it_does(generators: dict[str, Any]) -> None:
    """Every command has a help text, and so has each option but ``--json``, which is the same everywhere."""
    silent = [context.command_path for context in generators["walk"](cli) if not context.command.help]
    silent += [
        f"{context.command_path} {parameter.opts[0]}"
        for context in generators["walk"](cli)
        for parameter in context.command.params
        if isinstance(parameter, click.Option)
        and not (parameter.hidden or parameter.help or "--json" in parameter.opts)
    ]
    assert silent == []


def test_every_reader_is_documented(reference: str) -> None:
    """Every format that ingest reads is named in the reference."""
    assert [name for name in reader_names() if f"`{name}`" not in reference] == []


def test_every_export_format_is_documented(root: Path) -> None:
    """Every export format has its section, and the summary that the command line shows."""
    text = (root / "docs/reference/exports.md").read_text("utf-8")
    assert [name for name in FORMATS if f"\n## `{name}`\n" not in text] == []
    assert [form.summary for form in FORMATS.values() if form.summary not in text] == []


def test_every_page_is_reached(root: Path) -> None:
    """Whoever starts at docs/index.md gets to every page by its links."""
    start = root / "docs" / "index.md"
    seen, ahead = {start}, [start]
    while ahead:
        for target in _targets(ahead.pop()):
            if target.suffix == ".md" and target.is_file() and target not in seen:
                seen.add(target)
                ahead.append(target)
    assert [str(page.relative_to(root)) for page in sorted((root / "docs").rglob("*.md")) if page not in seen] == []


def test_every_link_leads_somewhere(root: Path) -> None:
    """No page links to a file or heading that does not exist."""
    dead = [f"{page.relative_to(root)}: {link}" for page in _pages(root) for link in _dead_links(page)]
    assert dead == []


def test_the_glossary_is_in_order(root: Path) -> None:
    """The glossary's words stand in alphabetical order, each once."""
    words = re.findall(r"^\| ([^|]+?) \|", (root / "docs/glossary.md").read_text("utf-8"), re.M)[1:]
    assert words == sorted(set(words), key=str.lower)


def _pages(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def _links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    return [link for link in LINK.findall(text) if "://" not in link and not link.startswith("mailto:")]


def _targets(page: Path) -> Iterator[Path]:
    for link in _links(page):
        yield (page.parent / link.partition("#")[0]).resolve() if not link.startswith("#") else page


def _dead_links(page: Path) -> Iterator[str]:
    for link, target in zip(_links(page), _targets(page), strict=True):
        heading = link.partition("#")[2]
        if not target.exists() or (heading and heading not in _anchors(target)):
            yield link


def _anchors(page: Path) -> set[str]:
    """Gives the anchors that Git hosts make of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

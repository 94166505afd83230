"""`collection add`, `set`, `root` and `list`, as an operator types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from threatshare.cli import cli

WHO = ("--name", "Acme", "--sector", "energy", "--country", "US", "--area", "US-DC", "--no-own-assets")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("node") / "acme"
    assert run(directory, "init", str(directory), *WHO).exit_code == 0
    return directory


def run(node: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--node", str(node), *arguments])


def rows(node: Path, *arguments: str) -> list[dict[str, Any]]:
    done = run(node, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_scripts_rely_on(node: Path) -> None:
    """`collection add --json` gives id, alias and url; the url has the root and the id in it."""
    (made,) = rows(node, "collection", "add", "box", "--title", "Box", "--inbox", "--root", "trust")
    assert {"id", "alias", "url"} <= set(made)
    assert made["url"].endswith(f"/trust/collections/{made['id']}/")
    assert (made["alias"], made["kind"], made["root"]) == ("box", "inbox", "trust")


def test_a_view_is_set_and_shown(node: Path) -> None:
    """Each part of a view is an option; what is not named stays as it was."""
    (made,) = rows(node, "collection", "add", "splunk", "--title", "Splunk", "--siem", "--view", "observed-data")
    assert made["view"] == {"tlp": "2", "form": "observed-data", "fields": "all", "empty_page": "objects"}
    (changed,) = rows(node, "collection", "set", "splunk", "--tlp", "both", "--empty-page", "bare")
    assert changed["view"] == {"tlp": "both", "form": "observed-data", "fields": "all", "empty_page": "bare"}
    assert next(one for one in rows(node, "collection", "list") if one["alias"] == "splunk") == changed
    assert "tlp=both form=observed-data empty_page=bare" in run(node, "collection", "list").stdout


def test_a_root_has_a_title(node: Path) -> None:
    """A title is given, and changed, and no two roots have the same."""
    assert rows(node, "collection", "root", "one", "--title", "First")[0] == {"root": "one", "title": "First"}
    assert run(node, "collection", "root", "one", "--title", "Other").exit_code == 0
    assert run(node, "collection", "root", "two", "--title", "First").exit_code == 0
    refused = run(node, "collection", "root", "one", "--title", "First")
    assert isinstance(refused.exception, Exception)
    assert "two has the title" in str(refused.exception) + refused.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "x", "--title", "X", "--siem", "--inbox"),
        ("add", "x", "--title", "X", "--inbox", "--tlp", "1"),
        ("add", "x", "--title", "X", "--partner", "north", "--view", "observed-data"),
        ("add", "x", "--title", "X", "--root", "taxii2"),
        ("add", "x", "--title", "a.b"),
        ("set", "nowhere", "--tlp", "1"),
        ("set", "siem", "--tlp", "3"),
    ],
)
def test_what_cannot_be(node: Path, arguments: tuple[str, ...]) -> None:
    """What makes no sense is refused with a reason, and nothing is made."""
    before = rows(node, "collection", "list")
    done = run(node, "collection", *arguments)
    assert done.exit_code != 0
    assert str(done.exception) + done.output
    assert rows(node, "collection", "list") == before

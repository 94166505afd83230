"""A node that runs for long goes by what its files say now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from threatshare.config import FindingsSource
from threatshare.errors import ConfigurationError, UsageError
from threatshare.model import Kind, Observable
from threatshare.node import Node, build_node
from threatshare.store.lookups import OWN_ASSET

OURS = Observable(Kind.DOMAIN, "new.example.net")


@pytest.fixture
def node(tmp_path: Path, root: Path) -> Iterator[Node]:
    for name in ("node.toml", "own-assets.toml"):
        shutil.copy(root / "config" / name, tmp_path / name)
    made = build_node(tmp_path)
    yield made
    made.close()


def test_what_has_become_ours_is_ours_at_the_next_run(node: Node) -> None:
    """Own assets are read anew: for the gate, for scores, and for findings that arrive."""
    node.forget_files()
    intake = node.intake
    assert node.cap_of(OURS) != OWN_ASSET
    file = node.directory / "own-assets.toml"
    file.write_text(file.read_text().replace("domains = [", 'domains = ["example.net", ', 1))
    node.outlets()
    assert node.cap_of(OURS) == OWN_ASSET
    assert node.facts().own.owns(OURS)
    assert intake.own().assets.owns(OURS)


def test_without_its_own_assets_nothing_goes_on(node: Node) -> None:
    """A file that is gone or broken stops publishing, and nothing that is ours leaves meanwhile."""
    for text in ("domains = [", None):
        file = node.directory / "own-assets.toml"
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises(ConfigurationError, match="own-assets"):
            node.outlets()


def test_what_must_never_be_shared_is_read_anew(node: Node) -> None:
    """The gate is given the never-share list of this moment."""
    assert not node.facts().never_share
    (node.directory / "never-share.toml").write_text('values = ["45.66.77.88"]\n')
    node.forget_files()
    assert node.facts().never_share.names(Observable(Kind.IPV4, "45.66.77.88"))
    assert len(node.facts().privacy_key) == 32


def test_a_store_is_opened_once(node: Node) -> None:
    """Whichever of many threads needs it first."""
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: node.store, range(8)))
    assert len({id(one) for one in opened}) == 1


def test_a_source_lies_where_the_node_file_says(node: Node) -> None:
    """As seen from the node directory; and its reader must exist."""
    assert node.source(FindingsSource("drop", "watch")).path == node.directory / "drop"
    assert node.source(FindingsSource("/var/log/eve.json", "follow", "csv")).path == Path("/var/log/eve.json")
    with pytest.raises(UsageError, match="no reader"):
        node.source(FindingsSource("x", "follow", "nonsense"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('path = "x"\nknd = "follow"', r"unknown key daemon\.source\[0\]\.knd; did you mean kind\?"),
        ('path = "x"\nkind = "folow"', r"daemon\.source\[0\]\.kind: 'folow' was given"),
        ('kind = "follow"', r"daemon\.source\[0\]: .*path"),
    ],
)
def test_a_source_that_is_misspelt_is_named(node: Node, lines: str, said: str) -> None:
    """File, table, key and value, as for all settings."""
    with (node.directory / "node.toml").open("a") as file:
        file.write(f"\n[[daemon.source]]\n{lines}\n")
    with pytest.raises(ConfigurationError, match=said):
        build_node(node.directory)

"""Files of the node directory that would hang, flood or end whatever reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from threatshare.config import load_assets, load_settings, load_toml
from threatshare.config.toml_files import MOST_BYTES
from threatshare.config.toml_lines import line_of
from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings, load_feed, read_feeds
from threatshare.policy.agreement_files import check, load_agreement, parse_agreement
from threatshare.policy.people import load_people, read_people, text_of

GOOD = 'kind = "list"\npath = "x"\n'
LONG = ".".join(["a"] * 20_000)
TEXTS = {
    "a number of very many digits": "page_size = " + "9" * 5_000,
    "one in hexadecimal digits": "page_size = 0x" + "f" * 5_000,
    "one where text is wanted": "url = 0x" + "f" * 5_000,
    "lists within lists": "a = " + "[" * 3_000,
    "tables within tables": "a = " + "{a=" * 3_000,
    "a key of many parts": f"{LONG} = 1",
    "a quoted key of many parts": f"{LONG.replace('a', chr(34) * 2)} = 1",
    "a table of many parts": f"[{LONG}]",
    "a key of many parts in a table": f"x = {{ {LONG} = 1 }}",
    "a key after another": f"x = 1\nb . {LONG} = 1",
    "blanks": f"page_size = [\n[ 1{' ' * 100_000}2 ],\n]",
    "a name of blanks": f'x = """\na{" " * 100_000}\n"""\npage_size = "x"',
}
READERS: dict[str, Callable[[Path], object]] = {
    "feeds/x.toml": lambda node: load_feed(node / "feeds" / "x.toml"),
    "agreements/x.toml": lambda node: load_agreement(node / "agreements" / "x.toml"),
    "node.toml": load_settings,
    "own-assets.toml": load_assets,
    "people.toml": load_people,
}


@pytest.fixture
def node(tmp_path: Path, root: Path) -> Path:
    """A node directory as it was written."""
    for name in ("feeds", "agreements"):
        (tmp_path / name).mkdir()
    for name in ("node.toml", "own-assets.toml"):
        shutil.copy(root / "config" / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("place", READERS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_a_reader_cannot_read_is_a_fault_of_its_file(node: Path, place: str, text: str) -> None:
    """Whatever the parser stumbles over, or would take very long for, is told as any fault, at once."""
    (node / place).write_text((GOOD if place.startswith("feeds") else "") + text)
    began = monotonic()
    with pytest.raises(ConfigurationError, match=Path(place).name.replace(".", r"\.")) as caught:
        READERS[place](node)
    assert monotonic() - began < 2
    assert len(str(caught.value)) < 12_000


@pytest.mark.parametrize("place", READERS)
def test_what_is_no_regular_file_is_not_waited_for(node: Path, place: str) -> None:
    """A pipe that nobody writes into, a directory, a device without end, and what is larger than anybody writes."""
    file = node / place
    for make in (
        lambda: os.mkfifo(file),
        file.mkdir,
        lambda: file.symlink_to("/dev/zero"),
        lambda: file.write_bytes(b"# " + b"x" * (17 * MOST_BYTES)),
    ):
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
        make()
        with pytest.raises(ConfigurationError):
            READERS[place](node)


def test_others_are_read_beside_them(node: Path) -> None:
    """One such file stops no other feed, and what is said of agreements names it."""
    for number, text in enumerate(TEXTS.values()):
        (node / "feeds" / f"bad{number}.toml").write_text(GOOD + text)
    (node / "feeds" / "good.toml").write_text(GOOD)
    os.mkfifo(node / "feeds" / "pipe.toml")
    os.mkfifo(node / "agreements" / "pipe.toml")
    read = read_feeds(node)
    assert list(read.feeds) == ["good"]
    assert len(read.faults) == len(TEXTS) + 1
    assert "no regular file" in read.faults["pipe"]
    assert any("no regular file" in one for one in check(node))


def test_people_that_cannot_be_read_are_not_passed_over(node: Path) -> None:
    """Nor is what the store remembers of them."""
    assert text_of(node) is None
    os.mkfifo(node / "people.toml")
    with pytest.raises(ConfigurationError, match="no regular file"):
        text_of(node)
    for text in TEXTS.values():
        with pytest.raises(ConfigurationError, match="remembers"):
            read_people(text)
        with pytest.raises(ConfigurationError, match=r"posted\.toml"):
            parse_agreement(text, "posted.toml")


def test_a_file_may_be_linked_and_long_names_stand_in_lists(tmp_path: Path) -> None:
    """What deployments do: a link to a regular file, a name of 34 labels, lines that end as Windows ends them."""
    file = tmp_path / "real.toml"
    name = ".".join("0123456789abcdef" * 2) + ".ip6.arpa"
    file.write_bytes(f'kind = "list"\r\npath = "{name}"\r\n'.encode())
    (tmp_path / "link.toml").symlink_to(file)
    assert load_toml(tmp_path / "link.toml", FeedSettings).path == name


def test_a_line_is_found_beside_very_long_ones() -> None:
    """Blanks without end in a line of another kind take no time."""
    began = monotonic()
    text = "[ a" + " " * 200_000 + "\n" + "b" * 3 + " " * 200_000 + "\nc = 1\n"
    assert line_of(text, "c") == 3
    assert monotonic() - began < 1

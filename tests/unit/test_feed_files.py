"""Feed files that people write: a wrong one is named with its line, and stops nobody else's feed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import structlog

from clocks import FixedClock
from nodes import make_node
from threatshare.config.toml_lines import line_of
from threatshare.daemon import Daemon
from threatshare.errors import ConfigurationError, UsageError
from threatshare.feed_settings import load_feed, read_feeds
from threatshare.node import build_node

GOOD = 'kind = "stix"\npath = "x.json"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kind = "stix\n', r"not valid TOML.*\(at line 1, column 13\)"),
        (GOOD + "relability = 'B'\n", r"unknown key relability; did you mean reliability\? \(at line 3\)"),
        (GOOD + "\nreliability = 'G'\n", r"reliability: 'G' was given.*\(at line 4\)"),
        (
            GOOD + "[list]\n# of values\nfromat = 'csv'\n",
            r"unknown key list\.fromat; did you mean format\? \(at line 5\)",
        ),
        (GOOD + "[list]\nvalue = 0\n", r"list\.value: 0 was given.*\(at line 4\)"),
        (GOOD + "list = { value = 0 }\n", r"list\.value: 0 was given.*\(at line 3\)"),
        (GOOD + "days = [\n 'mon',\n 'tomorrow',\n]\n", r"days\[1\].*\(at line 3\)"),
        (GOOD + "window = ['07:00-07:00']\n", r"begins when it ends.*\(at line 3\)"),
        ("", r"missing required field `kind`"),
        (GOOD + 'url = "https://feed.example/"\n', r"either url or path"),
        (b"\xff\xfe", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    """File, key, value and line stand in the message, as far as there is one."""
    file = tmp_path / "isac.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError, match=rf"isac\.toml.*{said}"):
        load_feed(file)


def test_a_wrong_file_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    """Each file is good or wrong by itself; one that cannot even be opened is wrong too, and so is one called `own`."""
    feeds = tmp_path / "feeds"
    feeds.mkdir()
    for name, text in (("a", GOOD), ("b", "kind"), ("c", GOOD), ("own", GOOD)):
        (feeds / f"{name}.toml").write_text(text)
    (feeds / "d.toml").mkdir()
    read = read_feeds(tmp_path)
    assert list(read.feeds) == ["a", "c"]
    assert sorted(read.faults) == ["b", "d", "own"]
    assert all("Mend it" in one for one in read.faults.values())


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('a = 1\n[b]\na = 2\n[b.c]\n"a" = 3\n', "b.c.a", 5),
        ('a = 1\n[b]\na = 2\n[b.c]\n"a" = 3\n', "a", 1),
        ("[[s]]\nk = 1\n[[s]]\nx = 1\nk = 2\n", "s[1].k", 5),
        ("[[s]]\nk = 1\n[[s]]\nx = 1\n", "s[1].k", 3),
        ("b.c = 1\n", "b.c", 1),
        ("[ b ] # why\n x=1\n", "b.x", 2),
        ("x = 1\n", "y", None),
        ("", "", None),
    ],
)
def test_a_key_is_found_in_its_table(text: str, key: str, line: int | None) -> None:
    """The same key in another table is another key; where it does not stand itself, its table does."""
    assert line_of(text, key) == line


def test_the_daemon_tells_once_and_goes_on(tmp_path: Path) -> None:
    """A wrong file is told when it becomes wrong, when it is wrong otherwise, and when it is mended; others are due."""
    made = make_node(tmp_path / "node")
    feeds = made.directory / "feeds"
    (feeds / "good.toml").write_text(GOOD)
    node = build_node(made.directory, FixedClock())
    daemon = Daemon(node, None, Random(7))
    due = []

    def tick(text: str) -> list[str]:
        (feeds / "bad.toml").write_text(text)
        node.forget_files()
        with structlog.testing.capture_logs() as told:
            due.append(sorted(daemon.pulls.ready(node.feed_files, {}, node.clock())))
        assert all(one["feed"] == "bad" for one in told)
        return [one["event"] for one in told]

    wrong, again = ["feed cannot be scheduled"], ["feed can be scheduled again"]
    assert [tick(text) for text in ("kind", "kind", "kind = 'rss'", GOOD, GOOD)] == [wrong, [], wrong, again, []]
    assert due == [["good"]] * 3 + [["bad", "good"]] * 2
    node.close()


def test_the_name_of_a_wrong_file_stays_a_feeds(tmp_path: Path) -> None:
    """Whoever names such a feed is told what is wrong with it, not that there is none."""
    made = make_node(tmp_path / "node")
    (made.directory / "feeds" / "bad.toml").write_text("kind = 'rss'\n")
    node = build_node(made.directory)
    with pytest.raises(UsageError, match=r"feed bad cannot be used: .*bad\.toml: kind: 'rss' was given.*line 1"):
        node.feed("bad")

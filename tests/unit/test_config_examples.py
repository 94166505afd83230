"""The annotated examples in config/ are what the program reads: complete, valid, and honest about defaults."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import NODEFAULT, Struct

from threatshare.config import AssetsFile, Settings, load_assets, load_settings, load_toml
from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings, load_feed, read_feeds
from threatshare.model import Kind, Observable
from threatshare.policy.agreements import Agreement, load_agreements
from threatshare.policy.never_share import NeverShareFile, load_never_share
from threatshare.share.push_settings import PushSettings
from threatshare.stix.observables import recognise

EXAMPLES: dict[str, type[Struct]] = {
    "node.toml": Settings,
    "own-assets.toml": AssetsFile,
    "feed.toml": FeedSettings,
    "agreement.toml": Agreement,
    "never-share.toml": NeverShareFile,
    "push.toml": PushSettings,
}
OFF = re.compile(r"#(?=[a-z0-9_]+ = )(.*?)(  # example)?", re.DOTALL)
"""A key that is commented out, with its value, and whether that is an example where there is no default."""


@pytest.fixture
def node(tmp_path: Path, root: Path) -> Path:
    """A node directory made of the examples."""
    for name, place in {
        "node.toml": "node.toml",
        "own-assets.toml": "own-assets.toml",
        "feed.toml": "feeds/example.toml",
        "agreement.toml": "agreements/example-isac.toml",
        "never-share.toml": "never-share.toml",
    }.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(root / "config" / name, tmp_path / place)
    return tmp_path


def test_the_examples_make_a_node(node: Path) -> None:
    """A node directory of nothing but the examples is read without a complaint."""
    assert load_settings(node).node.name == "Example Energy"
    assert load_assets(node).owns(Observable(Kind.DOMAIN, "vpn.energy.example"))
    assert read_feeds(node).feeds["example"].collection == "shared-indicators"
    assert load_agreements(node)["example-isac"].signed_on is not None
    assert load_never_share(node).names(recognise("https://www.payroll.example/login")) == "a domain"


MAPPINGS = {"list.types", "list.keep"}
"""Keys whose tables have words of the site's own."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_key_is_shown(root: Path, name: str) -> None:
    """An example shows every key that its file may have, set or commented out, and no other."""
    text = (root / "config" / name).read_text("utf-8")
    shown = dict(_flat(tomllib.loads(_switched_on(text))))
    assert sorted(shown) == sorted(key for key, _ in _defaults(EXAMPLES[name]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_value_is_possible(root: Path, tmp_path: Path, name: str) -> None:
    """Whoever takes the comment sign off a line gets a file that is still read, also of the examples' alternatives."""
    text = (root / "config" / name).read_text("utf-8")
    file = tmp_path / name
    file.write_text(_switched_on(text), "utf-8")
    load_toml(file, EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_commented_out_is_the_default(root: Path, name: str) -> None:
    """A line that is commented out changes nothing when it is switched on, unless it says that it is an example."""
    text = (root / "config" / name).read_text("utf-8")
    off = "\n".join(line for line in text.splitlines() if not line.startswith("#") or not OFF.fullmatch(line))
    given = dict(_flat(tomllib.loads(off)))
    without_examples = "\n".join(line for line in text.splitlines() if not line.endswith("  # example"))
    switched = dict(_flat(tomllib.loads(_switched_on(without_examples))))
    defaults = dict(_defaults(EXAMPLES[name]))
    assert {key: value for key, value in switched.items() if key not in given and value != defaults[key]} == {}


def test_a_feed_needs_one_place(node: Path) -> None:
    """The example's two places exclude each other, as its comment says."""
    file = node / "feeds" / "example.toml"
    file.write_text(file.read_text("utf-8").replace("#path = ", "path = "), "utf-8")
    with pytest.raises(ConfigurationError, match="either url or path"):
        load_feed(file)


def test_the_service_runs_what_exists(root: Path) -> None:
    """The systemd unit starts the installed command on a node directory that it may write."""
    unit = (root / "config/threatshare.service").read_text("utf-8")
    assert "/bin/threatshare --node /var/lib/threatshare daemon\n" in unit
    assert "\nStateDirectory=threatshare\n" in unit


def _switched_on(text: str) -> str:
    lines = (OFF.fullmatch(line) for line in text.splitlines())
    return "\n".join(match[1] if match else line for match, line in zip(lines, text.splitlines(), strict=True))


def _flat(data: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        if isinstance(value, dict) and f"{prefix}{key}" not in MAPPINGS:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from _flat(value[0], f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _defaults(shape: type[Struct], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields every key with its default as TOML has it, also those of tables and lists of tables within."""
    for field in msgspec.structs.fields(shape):
        inner = _struct_in(field.type)
        if inner is not None:
            yield from _defaults(inner, f"{prefix}{field.encode_name}.")
        elif field.default_factory is not NODEFAULT:
            yield prefix + field.encode_name, field.default_factory()
        else:
            default = field.default
            yield prefix + field.encode_name, list(default) if isinstance(default, tuple) else default


def _struct_in(kind: Any) -> type[Struct] | None:
    for one in (kind, *getattr(kind, "__args__", ())):
        if isinstance(one, type) and issubclass(one, Struct):
            return one
    return None

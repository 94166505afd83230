from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clocks import FixedClock
from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.access import Access
from threatshare.feeds.bundles import DiskFeed, WebFeed
from threatshare.feeds.clients import client_for
from threatshare.feeds.misp import MispFeed
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.ports import FeedClient, ListClient

SECRET = "s3cret-Canary"


def _client(tmp_path: Path, **settings: Any) -> FeedClient:
    found = client_for("isac", FeedSettings(**settings), tmp_path, clock=FixedClock())
    assert not isinstance(found, ListClient)
    return found


def test_each_kind_has_its_client(tmp_path: Path) -> None:
    """TAXII and STIX addresses and paths get the client that reads them."""
    assert isinstance(_client(tmp_path, kind="taxii", url="https://taxii.example/taxii2/"), TaxiiFeed)
    assert isinstance(_client(tmp_path, kind="stix", url="https://h.example/a.json"), WebFeed)
    assert isinstance(_client(tmp_path, kind="stix", path="drop"), DiskFeed)
    assert isinstance(_client(tmp_path, kind="misp", url="https://h.example/feed/"), MispFeed)
    assert isinstance(_client(tmp_path, kind="misp", path="drop"), MispFeed)
    for settings in (FeedSettings("list", url="https://h.example/list.txt"), FeedSettings("list", path="drop")):
        assert isinstance(client_for("isac", settings, tmp_path, clock=FixedClock()), ListClient)


def test_paths_are_the_nodes(tmp_path: Path) -> None:
    """A relative path means a place in the node directory, wherever the command is run."""
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.json").write_bytes(b'[{"type":"x"}]')
    (page,) = _client(tmp_path, kind="stix", path="drop").pages(None, 0)
    assert page.objects == [b'{"type":"x"}']


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "taxii", "path": "drop"}, "path needs another kind"),
        ({"kind": "stix", "url": "ftp://h.example/a.json"}, "http or https"),
        ({"kind": "stix", "url": "https:///a.json"}, "http or https"),
        ({"kind": "stix", "url": "https://h.example:99999/a.json"}, "http or https"),
        ({"kind": "taxii", "url": "https://h.example/taxii2/?key=1"}, "query"),
        ({"kind": "taxii", "url": f"https://me:{SECRET}@h.example/"}, "holds a password"),
        ({"kind": "taxii", "url": "http://h.example/", "user": "me"}, "clear text"),
        ({"kind": "taxii", "url": "https://h.example/", "user": "me", "password_env": "NO_SUCH_VARIABLE"}, "not set"),
        ({"kind": "taxii", "url": "https://h.example/", "user": "me", "password_file": "nowhere"}, "cannot be read"),
    ],
)
def test_unusable_settings(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    """Settings that cannot work, or would give a password away, are refused in words that do not hold it."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        _client(tmp_path, **settings)
    assert "feeds/isac.toml" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_unreadable_certificate(tmp_path: Path) -> None:
    """A certificate file that cannot be used is an error of the configuration that names the file."""
    client = _client(tmp_path, kind="taxii", url="https://taxii.example/", ca_file="nowhere.pem")
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        next(client.pages(None, 0))


def test_secrets_do_not_show() -> None:
    """Neither password nor token is in the repr of what holds them."""
    assert SECRET not in repr(Access(user="me", password=SECRET, token=SECRET))


@pytest.mark.parametrize("token", ["", f"{SECRET}\r\nX-Injected: 1", f"{SECRET} two", f"{SECRET}é"])
def test_token_that_no_header_can_carry(token: str) -> None:
    """A token with line ends, blanks or letters beyond ASCII is refused without being quoted."""
    with pytest.raises(ConfigurationError) as caught:
        Access(token=token).authorization()
    assert SECRET not in str(caught.value)

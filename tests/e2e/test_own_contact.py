"""What a node tells everybody of how to reach it: security.txt, without credentials."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from nodes import make_node

TODAY = datetime.now(UTC).date()


def test_we_say_how_to_reach_us(tmp_path: Path) -> None:
    """What [contact] says is served, and printed after RFC 2350; once it has expired, `doctor` says so."""
    node = make_node(tmp_path / "node", name="Example Energy")
    with node.serving() as url, pytest.raises(HTTPError, match="404"):
        urlopen(_security_txt(url), timeout=20)
    file = node.directory / "node.toml"
    expires = TODAY + timedelta(90)
    said = f'[contact]\ncontact = ["mailto:security@example.org"]\nexpires = {expires}\nteam = "Our desk"\n'
    file.write_text(file.read_text().replace("[contact]\n", said))
    with node.serving() as url, urlopen(_security_txt(url), timeout=20) as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.read().decode() == f"Contact: mailto:security@example.org\nExpires: {expires}T23:59:59Z\n"
    text = node.run("partner", "ourselves").stdout
    assert "- 2.1 Name of the Team: Our desk" in text
    assert "- 3.2 Constituency: not stated" in text
    file.write_text(file.read_text().replace(str(expires), str(TODAY - timedelta(1))))
    assert any("security.txt is not served" in one["problem"] for one in node.rows("doctor", code=1))


def _security_txt(url: str) -> str:
    return f"{url.rstrip('/').removesuffix('/taxii2')}/.well-known/security.txt"

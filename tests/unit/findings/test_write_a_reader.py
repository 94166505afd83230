"""The how-to page: its example is run as it stands."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path
from typing import Any

from threatshare.config import OwnAssets
from threatshare.findings.readers import GROUP
from threatshare.model import Finding, Reject
from threatshare.ports import Reader


def blocks(root: Path, language: str) -> list[str]:
    page = (root / "docs" / "howto" / "write-a-reader.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_example_is_a_reader_and_does_what_the_page_says(root: Path) -> None:
    """The page's code reads the page's sample: an attacker, two addresses that stay home, one reject."""
    (code,), (sample,) = blocks(root, "python"), blocks(root, "json")
    names: dict[str, Any] = {"__name__": "honeypot_reader"}
    exec(compile(code, "honeypot_reader.py", "exec"), names)
    reader: Reader = names["HoneypotReader"]()
    data = sample.encode()
    assert reader.recognises(data, "decoys.json")
    first, second, third = reader.read(io.BytesIO(data), "decoys.json", OwnAssets())
    assert isinstance(first, Finding)
    assert [(seen.observable.value, seen.role.value) for seen in first.observations] == [
        ("198.51.100.7", "attacker"),
        ("10.0.0.9", "victim-asset"),
    ]
    assert isinstance(second, Finding)
    assert {seen.role.value for seen in second.observations} == {"victim-asset"}
    assert isinstance(third, Reject)
    assert third.place == "decoys.json:3"


def test_the_entry_point_of_the_page_names_the_example(root: Path) -> None:
    """Group, module and class on the page are the ones that the code has."""
    (text,) = blocks(root, "toml")
    (entries,) = tomllib.loads(text)["project"]["entry-points"].items()
    assert entries == (GROUP, {"honeypot": "honeypot_reader:HoneypotReader"})

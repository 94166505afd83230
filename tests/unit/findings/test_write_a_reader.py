"""The how-to page: its example is run as it stands."""

from __future__ import annotations

import gzip
import io
import re
import tomllib
from pathlib import Path
from typing import Any

from threatshare.config import OwnAssets
from threatshare.findings.readers import GROUP, read_file
from threatshare.model import Finding, Reject
from threatshare.ports import Reader


def blocks(root: Path, language: str) -> list[str]:
    page = (root / "docs" / "howto" / "write-a-reader.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def example(root: Path) -> tuple[Reader, bytes]:
    """The page's reader and the page's sample."""
    (code,), (sample,) = blocks(root, "python"), blocks(root, "json")
    names: dict[str, Any] = {"__name__": "honeypot_reader"}
    exec(compile(code, "honeypot_reader.py", "exec"), names)
    reader: Reader = names["HoneypotReader"]()
    return reader, sample.encode()


def test_the_example_is_a_reader_and_does_what_the_page_says(root: Path) -> None:
    """The page's code reads the page's sample: an attacker and a payload, two that stay home, nothing, one reject."""
    reader, data = example(root)
    assert reader.recognises(data, "decoys.json")
    first, second, third = reader.read(io.BytesIO(data), "decoys.json", OwnAssets())
    assert isinstance(first, Finding)
    assert [seen.role.value for seen in first.observations] == ["attacker", "victim-asset", "payload"]
    assert [seen.observable.value for seen in first.observations][:2] == ["198.51.100.7", "10.0.0.9"]
    assert isinstance(second, Finding)
    assert {seen.role.value for seen in second.observations} == {"victim-asset"}
    assert isinstance(third, Reject)
    assert third.place == "decoys.json:4"


def test_the_example_reads_compressed_files(root: Path) -> None:
    """As the page says, a reader need know nothing of compression."""
    reader, data = example(root)
    own = OwnAssets()
    plain = list(read_file(io.BytesIO(data), "honeypot", own, "x", {"honeypot": reader}))
    assert list(read_file(io.BytesIO(gzip.compress(data)), None, own, "x", {"honeypot": reader})) == plain
    assert len(plain) == 3


def test_the_entry_point_of_the_page_names_the_example(root: Path) -> None:
    """Group, module and class on the page are the ones that the code has."""
    (text,) = blocks(root, "toml")
    (entries,) = tomllib.loads(text)["project"]["entry-points"].items()
    assert entries == (GROUP, {"honeypot": "honeypot_reader:HoneypotReader"})


def test_all_code_of_the_page_is_run(root: Path) -> None:
    """The page has no block of code but those that are run here."""
    page = (root / "docs" / "howto" / "write-a-reader.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^```(\w+)", page, re.MULTILINE)) == ["json", "python", "toml"]

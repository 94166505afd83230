"""Whatever stands in a record, by a tool or by who writes into its log: a reader ends, and loses only that record."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.readers import reader_named
from threatshare.model import Finding, Reject

TEMPLATES = {
    file.stem: [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    for file in sorted((Path(__file__).parents[1] / "canary_templates").glob("*.ndjson"))
    if file.stem != "fieldmap"
}
ODD: tuple[Any, ...] = (
    *(None, True, [], {}, [[[1]]], {"a": {"b": []}}, 0, -1, -0.0, 1e30, -1e300, 2**63, -(2**64), 10**400),
    *("", "inf", "-inf", "nan", "1e400", "9" * 5000, "\0", "\ud800", "%", "jane\u2028doe", "\uff11.\uff12.3.4"),
    *("0000-00-00T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z"),
    *("a" * 10_000 + ".com", "a." * 5_000 + "com", "http://" + "a." * 5_000 + "com/", "http://[::1", "http://%zz/"),
    *("http://a.com:99999999/", "1.2.3.4/0", "::/0", "0.0.0.0", "xn--" + "a" * 60, "xn--\ud800.com"),
)


def spots(doc: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of everything in a document."""
    yield path
    if isinstance(doc, dict):
        for key, value in doc.items():
            yield from spots(value, (*path, key))
    elif isinstance(doc, list):
        for at, value in enumerate(doc):
            yield from spots(value, (*path, at))


def replaced(doc: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Gives a document with something else at a path."""
    if not path:
        return value
    copy = dict(doc) if isinstance(doc, dict) else list(doc)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("name", TEMPLATES)
@given(st.data())
def test_no_record_ends_a_reader(name: str, data: st.DataObject) -> None:
    """With anything at all in any place of a record, the reader goes on to the next, which is read as ever."""
    whole = data.draw(st.sampled_from(TEMPLATES[name]))
    broken = replaced(whole, data.draw(st.sampled_from(list(spots(whole))[1:])), data.draw(st.sampled_from(ODD)))
    text = "\n".join(json.dumps(one) for one in (broken, whole)) + "\n"
    reader = reader_named(name)
    alone = list(reader.read(io.BytesIO(json.dumps(whole).encode()), "a.json", OwnAssets()))
    found = list(reader.read(io.BytesIO(text.encode()), "a.json", OwnAssets()))
    assert all(isinstance(one, Finding | Reject) for one in found)
    assert sum(isinstance(one, Finding) for one in found) >= sum(isinstance(one, Finding) for one in alone)

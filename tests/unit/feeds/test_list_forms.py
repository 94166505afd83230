"""How a list is to be read, guessed from its beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW
from threatshare.feeds.list_forms import form_of, said

ROWS = "\n".join(f"192.0.2.{n}" for n in range(20))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (f"# a list\n{ROWS}\n", {}),
        ("192.0.2.1\t10\n192.0.2.3\t9\n", {}),
        ("10 192.0.2.1\n9 192.0.2.2\n", {"value": 2}),
        ("# hosts\n0.0.0.0 a.example.com\n127.0.0.1\tb.example.com # x\n::1 c.example.com\n", {"value": 2}),
        ("192.0.2.1:443\n[2001:db8::1]:8080\n192.0.2.1:80\n", {"type": "ip:port"}),
        ("192.0.2.0/24 ; SBL1\n198.51.100.0/24 ; SBL2\n", {}),
        ("bad.example.com\nhttp://worse.example.com/a,b\n", {}),
        (
            "id,ip_address,last_seen\n1,192.0.2.1,2026-01-01 00:00:00\n2,192.0.2.2,2026-01-02 00:00:00\n",
            {"format": "csv", "header": "first", "value": "ip_address", "seen": "last_seen"},
        ),
        (
            "id,ip_address,last_seen\n1,192.0.2.1,yesterday\n2,192.0.2.2,today\n",
            {"format": "csv", "header": "first", "value": "ip_address"},
        ),
        (
            '# ours\n# "first","ioc","type"\n"2026","bad.example.com","domain"\n"2026","b.example.net","domain"\n',
            {"format": "csv", "header": "comment", "value": "ioc"},
        ),
        ("a;192.0.2.1;x\nb;192.0.2.5;y\n", {"format": "csv", "delimiter": ";", "value": 2}),
        ("a\tname, b|192.0.2.1|x\nb|192.0.2.5|y\n", {"format": "csv", "delimiter": "|", "value": 2}),
        ("v,v\nx,192.0.2.1\ny,192.0.2.5\n", {"format": "csv", "header": "first", "value": 2}),
        (
            '{"cidr":"192.0.2.0/24","n":1}\n{"cidr":"198.51.100.0/24","n":2}\n',
            {"format": "json-lines", "value": "cidr"},
        ),
        ("#fields\tindicator\tindicator_type\n192.0.2.1\tIntel::ADDR\n", {"preset": "zeek-intel"}),
    ],
)
def test_forms(text: str, terms: dict[str, object]) -> None:
    """Plain lists, columns with names or without, records of JSON: the column that holds values is found."""
    found = form_of(text.encode(), NOW)
    assert found is not None
    assert said(found.terms) == terms
    assert found.share == 1.0


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "Dear all,\nthis is a letter.\n", '{"a": 1}\n{"a": 2}\n', "{\n{"]
)
def test_what_is_no_list(text: str) -> None:
    """Where too few rows hold a value in any column, nothing is guessed."""
    assert form_of(text.encode(), NOW) is None


def test_a_row_that_was_cut_off_does_not_count() -> None:
    """The beginning of a file ends anywhere; its last line is not held against a form."""
    body = "".join(f"host{n}.example.com\n" for n in range(10_000)).encode()
    found = form_of(body[: 64 * 1024], NOW)
    assert found is not None
    assert found.share == 1.0


@given(st.binary(max_size=400) | st.text(alphabet='a1.,;|\t"#{}\n ', max_size=400).map(str.encode))
def test_nothing_breaks_it(head: bytes) -> None:
    """Whatever a server sends, there is a guess that holds for half of the rows, or none."""
    found = form_of(head, NOW)
    assert found is None or 0.5 <= found.share <= 1

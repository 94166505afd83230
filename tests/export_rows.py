"""Builders and strategies of export rows."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from threatshare.errors import BadValue
from threatshare.exports.rows import ExportRow
from threatshare.model import Kind, Observable, Tlp
from threatshare.stix.observables import canonical


def a_row(kind: Kind = Kind.IPV4, value: str = "198.51.100.7", **changes: Any) -> ExportRow:
    """Builds a row that is complete; name only what the test is about."""
    fields: dict[str, Any] = {
        "observable": Observable(kind, value),
        "score": 70,
        "sources": ("partner-feed",),
        "first_seen": datetime(2026, 2, 1, 8, 30, tzinfo=UTC),
        "last_observed": datetime(2026, 2, 27, 23, 59, 59, 123456, tzinfo=UTC),
        "valid_until": datetime(2026, 3, 29, tzinfo=UTC),
        "tlp": Tlp.GREEN,
    }
    return ExportRow(**{**fields, **changes})


SAMPLER = (
    a_row(score=91, sources=("partner-feed", "own-sensors"), tlp=Tlp.AMBER_STRICT),
    a_row(Kind.IPV4, "203.0.113.0/24", score=64),
    a_row(Kind.IPV6, "2001:db8::bad:1", score=55, valid_until=None),
    a_row(Kind.DOMAIN, "login.example.net", score=88, tlp=None),
    a_row(Kind.URL, "http://login.example.net/a?b=1,2", score=88, sources=("one", "two, three")),
    a_row(Kind.EMAIL, "=cmd|calc@mail.example", score=40),
    a_row(Kind.EMAIL, "'quoted@mail.example", score=40),
    a_row(Kind.SHA256, "0123456789abcdef" * 4, score=99, tlp=Tlp.CLEAR),
    a_row(Kind.PATTERN, "[file:name = 'a \"b\".exe' AND file:size = 7]", score=30, sources=()),
)
"""One row of every form that the writers treat in a way of its own; the golden files hold these."""


_LABEL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
_NAME = st.builds("{}.{}.example".format, _LABEL, _LABEL)
_TEXT = st.one_of(
    st.tuples(st.just(Kind.IPV4), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just(Kind.IPV4), st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(8, 32))),
    st.tuples(st.just(Kind.IPV6), st.ip_addresses(v=6).map(str)),
    st.tuples(st.just(Kind.IPV6), st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(16, 128))),
    st.tuples(st.just(Kind.DOMAIN), _NAME),
    st.tuples(st.just(Kind.URL), st.builds("https://{}/{}".format, _NAME, st.text(max_size=20))),
    st.tuples(st.just(Kind.EMAIL), st.builds("{}@{}".format, st.text(min_size=1, max_size=12), _NAME)),
    st.tuples(st.just(Kind.MD5), st.text("0123456789abcdef", min_size=32, max_size=32)),
    st.tuples(st.just(Kind.SHA256), st.text("0123456789ABCDEF", min_size=64, max_size=64)),
    st.tuples(st.just(Kind.PATTERN), st.text(min_size=1, max_size=40)),
)


@st.composite
def _observables(draw: st.DrawFn) -> Observable:
    kind, text = draw(_TEXT)
    try:
        return canonical(kind, text)
    except BadValue:
        reject()


observables = _observables()
"""Canonical observables of every kind, with hostile text wherever their kind lets it through."""

_MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

rows = st.builds(
    ExportRow,
    observable=observables,
    score=st.integers(0, 100),
    sources=st.lists(st.text(min_size=1, max_size=10), max_size=3).map(tuple),
    first_seen=_MOMENTS,
    last_observed=_MOMENTS,
    valid_until=st.none() | _MOMENTS,
    tlp=st.none() | st.sampled_from(Tlp),
)

"""``feeds/NAME.toml``: the sources that we pull, one file each, read closed and typed as ``config`` reads the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from msgspec import Meta, Struct

from threatshare.config import Percent, Positive, Reliability, TlpLabel, at_line, load_toml, toml_text
from threatshare.errors import ConfigurationError

FEEDS_DIR = "feeds"
_OURS = "own"
"""Name of the source of our own indicators (``store.sources.OWN``)."""

Column = Annotated[int, Meta(ge=1, le=500)] | Annotated[str, Meta(min_length=1, max_length=100)]
"""A column by its number from 1, or by its name; of a record of JSON its key, ``.`` between the keys of a path."""

ValueType = Literal["ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr", "mac-addr", "file"]
"""STIX types; which hash a ``file`` is, its length tells."""


Interval = Annotated[str, Meta(pattern="^[1-9][0-9]{0,8}[smhd]$")]
"""A number of seconds, minutes, hours or days."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[str, ...] = get_args(Day)

_MONTHS = tuple("jan feb mar apr may jun jul aug sep oct nov dec".split())
_CRON: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, DAYS),
)
"""The fields of a cron expression, with the numbers and names that each takes; Monday is 0."""
_CRON_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?|([a-z]{3})(?:-([a-z]{3}))?").fullmatch

_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
_WINDOW = f"^{_HOUR}-({_HOUR}|24:00)$"


class ListSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[list]``: how the rows of a list are read, and what they mean."""

    preset: str | None = None
    """Name of a published list (``feed presets`` shows them); what else is said here goes before what it says."""
    format: Literal["lines", "csv", "json-lines"] = "lines"
    """Text, a row a line; CSV with quotes; or a JSON record a line."""
    delimiter: Annotated[str, Meta(min_length=1, max_length=5)] | None = None
    """What stands between columns; without it a comma in CSV, and blanks or tabs in lines."""
    comments: tuple[Annotated[str, Meta(min_length=1, max_length=20)], ...] = ("#", ";", "//")
    """Lines that begin so say nothing."""
    header: Literal["none", "first", "comment"] = "none"
    """Where columns have their names: nowhere, in the first row, or in the last comment before it."""
    value: Column = 1
    """The column of the value; with ``pattern`` it is the group ``value``."""
    pattern: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    """A regular expression that a whole line matches, instead of columns; columns are its groups, by name. A line that
    does not match is kept aside."""
    type: ValueType | Literal["auto", "ip:port"] = "auto"
    """What the values are; ``auto`` tells it from each value's form, ``ip:port`` takes the address before a port."""
    type_column: Column | None = None
    """The column that says what a value is, in the words of ``types``."""
    types: dict[str, ValueType | Literal["auto", "ip:port", "skip"]] = {}
    """What the words of ``type_column`` mean: a type, an address with a port behind it, or that the row is left out."""
    seen: Column | None = None
    """The column of the time when it was last seen; without it, a value was seen when the list was fetched."""
    seen_format: Annotated[str, Meta(min_length=1, max_length=50)] = "iso"
    """``iso`` (RFC 3339, also with a blank for the T and without zone, which is then UTC), ``epoch`` (seconds), or a
    format of strptime, UTC."""
    confidence: Percent | None = None
    """How sure the list is of what it holds; without it unspecified."""
    confidence_column: Column | None = None
    """The column of a confidence 0-100 of each row."""
    keep: dict[str, tuple[str, ...]] = {}
    """Rows are left out whose column, by number or name, has none of these values, e.g. ``url_status = ["online"]``."""
    complete: bool = True
    """Whether the list names all that it stands for: what it no longer names is then withdrawn. A list of the last
    days only is not complete."""
    ends_by_closing: bool = False
    """Whether its server is known to close the connection behind the list, which says neither its length nor comes in
    chunks. Unless this is said, such a list counts as whole once it has come twice the same: it may be cut off."""


class FeedSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """``feeds/NAME.toml``: a source that we pull."""

    kind: Literal["taxii", "taxii20", "stix", "misp", "list"]
    """A server of TAXII 2.1 or 2.0, a STIX bundle (2.0 or 2.1), a MISP feed, or a list of values, plain or CSV."""
    url: str | None = None
    """Address of the server, API root, collection, bundle, MISP feed or event, or list."""
    path: str | None = None
    """A bundle, MISP event or list on disk, or a directory of such."""
    collection: str | None = None
    """TAXII: collection id or title, where the address names an API root or a server."""
    user: str | None = None
    """Name for Basic authentication."""
    password_env: str | None = None
    """Environment variable that holds the password."""
    password_file: str | None = None
    """File that holds the password."""
    token_env: str | None = None
    """Environment variable that holds a Bearer token."""
    client_cert: str | None = None
    """Our TLS certificate, a PEM file."""
    client_key: str | None = None
    """The certificate's key, a PEM file."""
    ca_file: str | None = None
    """Authorities that may vouch for the server, a PEM file; None: the public ones."""
    allow_private_address: bool = False
    """Whether the feed's host may be a private, link-local or loopback address."""
    reliability: Reliability = "C"
    """Admiralty scale: A reliable to E unreliable, F cannot be judged."""
    default_tlp: TlpLabel = "amber+strict"
    """Marking of objects that carry none."""
    lineage: str | None = None
    """Name of the aggregate that this feed copies; feeds of one lineage count once in a score."""
    every: Interval = "15m"
    """Interval in seconds, minutes, hours or days."""
    cron: str | None = None
    """Five fields, UTC, Monday is 0 or mon; replaces ``every``."""
    jitter_seconds: Annotated[int, Meta(ge=0)] = 30
    """Runs start up to so much later, so that not all begin at once."""
    window: tuple[Annotated[str, Meta(pattern=_WINDOW)], ...] = ()
    """Only then does a run begin: hours of the day, UTC, e.g. ``22:00-06:00``, which ends on the next day; empty: at
    any hour."""
    days: tuple[Day, ...] = ()
    """Only on these days, UTC, does a window begin; empty: on any."""
    failures_until_rest: Positive = 10
    """After so many failed runs in a row the feed rests, then one run is tried."""
    rest: Interval = "6h"
    """How long it rests, in seconds, minutes, hours or days."""
    page_size: Positive = 1_000
    """Objects asked for in one request."""
    page_deadline_seconds: Positive = 60
    """A page that takes longer ends the run."""
    run_deadline_seconds: Positive = 3_600
    """A run that takes longer ends, behind a page; the next goes on from there."""
    max_page_bytes: Positive = 32 * 1024 * 1024
    """Limit of one page, on the wire and after inflating."""
    max_pages: Positive = 100_000
    """Pages of one run at most."""
    enabled: bool = True
    """False: pulled only when named on the command line."""
    list: ListSettings | None = None
    """Table ``[list]``: how its rows are read."""


class FeedFiles(NamedTuple):
    """Every ``feeds/NAME.toml``, by name; no name is in both."""

    feeds: dict[str, FeedSettings]
    faults: dict[str, str]
    """Of files that cannot be used: file, line, what is wrong and what to do. Such a feed is there, and not pulled."""


def read_feeds(node_dir: Path) -> FeedFiles:
    """Reads every ``feeds/NAME.toml``; one that is wrong does not keep the others from being read."""
    read = FeedFiles({}, {})
    for file in sorted((node_dir / FEEDS_DIR).glob("*.toml")):
        try:
            read.feeds[file.stem] = load_feed(file)
        except ConfigurationError as problem:
            read.faults[file.stem] = f"{problem}. {_UNTIL_MENDED}"
    return read


_UNTIL_MENDED = "Mend it: until then the feed is not pulled, and what it has said stays"


def load_feed(file: Path) -> FeedSettings:
    """Reads one feed file; a feed has either an address or a path. Raises ConfigurationError."""
    feed = load_toml(file, FeedSettings)
    if file.stem == _OURS:
        raise ConfigurationError(f"{file}: no feed can be called {_OURS!r}, as our own indicators are; rename the file")
    check_feed(feed, str(file), toml_text(file) if feed.window or feed.cron else "")
    return feed


def check_feed(feed: FeedSettings, place: str, text: str = "") -> None:
    """Raises ConfigurationError for settings that are each right and do not go together, or a window that is none.

    ``text``: that of the file, for the line.
    """
    if (feed.url is None) == (feed.path is None):
        raise ConfigurationError(f"{place}: a feed needs either url or path, and not both")
    empty = next((one for one in feed.window if len(set(one.split("-"))) == 1), None)
    if empty is not None:
        where = at_line(text, "window")
        raise ConfigurationError(f"{place}: window {empty!r} begins when it ends; leave window out for any hour{where}")
    fault = None if feed.cron is None else cron_fault(feed.cron)
    if fault is not None:
        raise ConfigurationError(f"{place}: cron {feed.cron!r}: {fault}{at_line(text, 'cron')}")


def cron_fault(expression: str) -> str | None:
    """Says what is wrong with a cron expression; None where nothing is."""
    fields = expression.split()
    if len(fields) != len(_CRON):
        return f"it has {len(fields)} fields; minute, hour, day of the month, month and day of the week are wanted"
    for text, (name, least, most, words) in zip(fields, _CRON, strict=True):
        wrong = next((one for one in text.split(",") if not _is_cron_part(one, least, most, words)), None)
        if wrong is not None:
            return f"{wrong!r} is no {name}: *, {least}-{most}, ranges, lists and steps (*/2) are taken"
    return None


def _is_cron_part(text: str, least: int, most: int, words: tuple[str, ...]) -> bool:
    part = _CRON_PART(text.lower())
    if part is None:
        return False
    if part[4] is not None:
        ends = [one for one in (part[4], part[5]) if one is not None]
        return all(one in words for one in ends) and words.index(ends[0]) <= words.index(ends[-1])
    first, last = (least, most) if part[1] is None else (int(part[1]), int(part[2] or (most if part[3] else part[1])))
    return least <= first <= last <= most and (part[3] is None or 0 < int(part[3]) <= last - first)

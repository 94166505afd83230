"""The register of partners: one line each for a list, and everything about one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from threatshare.report.sheet import Block, Sheet


@dataclass(frozen=True, slots=True)
class Called:
    """A contact, and whether it is still known to answer."""

    role: str
    name: str
    channel: str
    verified_on: date | None
    """The later day of paper and store."""
    due: date | None
    """By when it is to be tried again; None: it was never verified."""
    overdue: bool


@dataclass(frozen=True, slots=True)
class Owed:
    """Feedback that we owe a partner on what has come since the last check-in."""

    false_positives: int = 0
    """Disputes of our indicators that nobody has answered."""
    overdue: int = 0
    """Of these, longer than agreed."""
    sightings: int = 0
    """Sightings of its indicators that it was not sent, where it is to be told of them."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in from a partner and goes out to it."""

    collections: tuple[str, ...]
    """Aliases of the collections for it."""
    sources: tuple[str, ...]
    """Feeds and accounts that brought something of it."""
    pulled_at: datetime | None
    """When a feed of it was last pulled without a fault."""
    posted_at: datetime | None
    """When an account of it last posted."""
    collected_at: datetime | None
    """When an account was last sent news of its collections."""
    pushed_at: datetime | None
    """When a delivery to its server last went well."""
    claims: int
    """Values that it stands for now."""
    unique_share: float | None
    """Of these, how many nobody else claims; None: there are none."""
    false_positive_share: float | None
    """Of these, how many are our own, known benign, or called false positives by people here."""
    released: int
    withdrawn: int
    held: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One partner; without an agreement there is nothing to say beyond the first three."""

    partner: str
    problems: tuple[str, ...]
    """Why nothing may leave for it now."""
    traffic: Traffic
    type: str = "-"
    kind: str = "-"
    """Of the agreement."""
    in_force_until: date | None = None
    signed_on: date | None = None
    event: str | None = None
    """What cooperation is limited to, with its days; None: to nothing."""
    contacts: tuple[Called, ...] = ()
    owed: Owed = Owed()
    next_review: date | None = None
    last_checkin: date | None = None
    next_checkin: date | None = None
    last_exercise: str | None = None
    """Name and first day of the last joint exercise."""
    next_exercise: date | None = None
    to_see_to: tuple[str, ...] = ()
    """What is due or past."""

    @property
    def overdue(self) -> int:
        """How many contacts nobody has tried in time."""
        return sum(one.overdue for one in self.contacts)


COLUMNS = (
    *("partner", "type", "in_force", "contacts", "last_in", "last_out", "claims", "unique", "false_positives"),
    *("released", "withdrawn", "held", "owed", "review", "check-in", "exercise"),
)


def line(entry: Entry) -> tuple[str, ...]:
    """Gives a partner's line of the list, in the order of COLUMNS."""
    traffic = entry.traffic
    return (
        entry.partner,
        entry.type,
        f"until {entry.in_force_until}" if entry.in_force_until else "no",
        f"{entry.overdue} of {len(entry.contacts)} overdue" if entry.overdue else str(len(entry.contacts)),
        _day(_latest(traffic.pulled_at, traffic.posted_at)),
        _day(_latest(traffic.collected_at, traffic.pushed_at)),
        str(traffic.claims),
        share(traffic.unique_share),
        share(traffic.false_positive_share),
        str(traffic.released),
        str(traffic.withdrawn),
        str(traffic.held),
        str(entry.owed.false_positives + entry.owed.sightings),
        _day(entry.next_review),
        _day(entry.next_checkin),
        _day(entry.next_exercise),
    )


def told(entry: Entry) -> Mapping[str, Any]:
    """Gives an entry as JSON takes it; days and moments as text."""
    found: dict[str, Any] = asdict(entry)
    traffic = found.pop("traffic")
    return {name: _plain(value) for name, value in (found | traffic | {"overdue_contacts": entry.overdue}).items()}


def sheet(entry: Entry) -> Sheet:
    """Gives all that is known of one partner as a page for ourselves."""
    force = f"in force until {entry.in_force_until}" if entry.in_force_until else "not in force: nothing leaves"
    return Sheet(
        entry.partner,
        "For our own organisation",
        f"{entry.type}; agreement ({entry.kind}) {force}.",
        tuple(block for block in _blocks(entry) if block.facts or block.rows or block.lines),
    )


def share(part: float | None) -> str:
    """Writes a share as a whole percentage; a dash for none."""
    return "-" if part is None else f"{part:.0%}"


def _blocks(entry: Entry) -> Sequence[Block]:
    traffic = entry.traffic
    return (
        Block("To see to", lines=(*entry.problems, *entry.to_see_to)),
        Block(
            "Agreement",
            (
                ("signed", _day(entry.signed_on)),
                ("limited to", entry.event or "nothing"),
                ("next review", _day(entry.next_review)),
                ("last check-in", _day(entry.last_checkin)),
                ("next check-in", _day(entry.next_checkin)),
                ("last joint exercise", entry.last_exercise or "-"),
                ("next joint exercise", _day(entry.next_exercise)),
            ),
        ),
        Block(
            "Contacts",
            columns=("role", "name", "channel", "verified", "due"),
            rows=tuple(
                (one.role, one.name, one.channel, _day(one.verified_on), _day(one.due) + (", overdue" * one.overdue))
                for one in entry.contacts
            ),
        ),
        Block(
            "In",
            (
                ("comes by", ", ".join(traffic.sources) or "nothing yet"),
                ("last pulled", _moment(traffic.pulled_at)),
                ("last posted", _moment(traffic.posted_at)),
                ("values claimed now", str(traffic.claims)),
                ("claimed by nobody else", share(traffic.unique_share)),
                ("wrong: ours, benign, false positive", share(traffic.false_positive_share)),
            ),
        ),
        Block(
            "Out",
            (
                ("goes through", ", ".join(traffic.collections) or "no collection"),
                ("released", str(traffic.released)),
                ("withdrawn", str(traffic.withdrawn)),
                ("held", str(traffic.held)),
                ("last sent news", _moment(traffic.collected_at)),
                ("last pushed", _moment(traffic.pushed_at)),
            ),
        ),
        Block(
            "Feedback owed since the last check-in",
            (
                ("disputes without an answer", f"{entry.owed.false_positives}, {entry.owed.overdue} overdue"),
                ("sightings not sent back", str(entry.owed.sightings)),
            ),
        ),
    )


def _latest(*moments: datetime | None) -> datetime | None:
    return max((one for one in moments if one is not None), default=None)


def _day(day: date | None) -> str:
    return "-" if day is None else f"{day:%Y-%m-%d}"


def _moment(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}Z"


def _plain(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}Z"
    return str(value) if isinstance(value, date) else value

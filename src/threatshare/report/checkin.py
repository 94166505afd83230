"""The page of a check-in: what was shared, received, confirmed, disputed, withdrawn since the last, and whom to call.

``handover`` makes the page for the partner. It says nothing but counts, ids that the partner was sent by us or sent us
itself, and what stands in the agreement: no values, nothing of other partners or our own assets, and of our own reasons
only the kind. ``internal`` adds what is ours to know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from threatshare.policy.disguise import UNTOLD
from threatshare.report.register import Called
from threatshare.report.sheet import Block, Sheet

FEWEST = 20
"""With fewer new values a partner is not told how many of them others knew: it could find out what we know."""
_SHOWN = 5
"""Ids, kinds and reasons that one line or block names at most."""
_ID = re.compile(r"[a-z0-9-]+--[0-9a-f-]{36}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

_WHY = {
    "agreement-in-force": "by agreement",
    "marking-ceiling": "by marking",
    "marking-unknown": "by marking",
    "marking-terms": "by marking",
    "onward": "by agreement",
    "onward-terms": "by agreement",
    "no-echo": "by agreement",
    "minimum-score": "by score",
    "maximum-age": "by age",
    "validity": "by age",
    "object-type": "by agreement",
    "approval": "by agreement",
}
"""What a partner is told of the rule for which something was withdrawn; of any other, that there were other reasons.

That a value was taken back since it is an asset of ours, or private, would tell it so."""
_OTHER = "for other reasons"
PASSED = frozenset({"withdrawal", "served-bytes"})
"""Rules that every withdrawal names, which tell nothing of its cause."""


@dataclass(slots=True)
class Shared:
    """What went to the partner."""

    new: int = 0
    """Objects of which it held no version before."""
    changed: int = 0
    """Further versions."""
    kinds: Counter[str] = field(default_factory=Counter)
    bands: Counter[str] = field(default_factory=Counter)
    """By the band of the confidence that the object states (STIX 2.1, Appendix A)."""
    techniques: Counter[str] = field(default_factory=Counter)
    withdrawn: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    """Ids of rules; a withdrawal may have several."""
    held: int = 0
    """What waits for a person or a date now."""
    collected_at: datetime | None = None
    pushed_at: datetime | None = None


@dataclass(slots=True)
class Received:
    """What came from the partner."""

    new: int = 0
    changed: int = 0
    revoked: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason, as it was kept."""
    values: int = 0
    """New values that were looked into for the next four."""
    first: int = 0
    """Of these, it told us first."""
    unique: int = 0
    """Of these, nobody else tells us."""
    ahead_days: float | None = None
    """Median of how long before the next who told us, where there was one."""
    behind_days: float | None = None
    """Median of how long after the first who told us, where it was not itself."""


@dataclass(frozen=True, slots=True)
class Said:
    """An opinion on an indicator."""

    object_id: str
    """Of the indicator."""
    opinion: str
    """A word of STIX 2.1's opinion-enum."""


@dataclass(slots=True)
class Answers:
    """What each side said of the other's indicators; ids are those of the indicators."""

    seen_by_us: list[str] = field(default_factory=list)
    """We saw theirs, and they were sent it."""
    seen_untold: list[str] = field(default_factory=list)
    """We saw theirs, and they were not sent it."""
    seen_by_them: list[str] = field(default_factory=list)
    by_us: list[Said] = field(default_factory=list)
    """Sent to them."""
    by_us_untold: list[Said] = field(default_factory=list)
    by_them: list[Said] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A dispute of one of our indicators that nobody has answered."""

    object_id: str
    since: datetime
    due: datetime | None
    """By when an answer was promised; None: nothing was."""


@dataclass(frozen=True, slots=True)
class Digest:
    """All that a check-in is about."""

    partner: str
    us: str
    """How we appear on the partner's page."""
    tlp: str
    """Marking of the partner's page."""
    begins: datetime
    ends: datetime
    shared: Shared
    received: Received
    answers: Answers
    unanswered: tuple[Unanswered, ...]
    sightings_back: bool
    """Whether the partner is to be told of all our sightings of its indicators."""
    days: tuple[tuple[str, date], ...]
    theirs: tuple[Called, ...]
    ours: tuple[tuple[str, str], ...]
    """How to reach us: by what, and where."""
    problems: tuple[str, ...]
    to_see_to: tuple[str, ...]
    note: str
    """What was noted at the last check-in."""


def disputes(said: Iterable[Said]) -> list[Said]:
    """Gives the opinions that disagree: STIX's way of reporting a false positive."""
    return [one for one in said if one.opinion in ("disagree", "strongly-disagree")]


def handover(digest: Digest) -> Sheet:
    """Gives the page that is handed to the partner."""
    return _sheet(digest, f"TLP:{digest.tlp.upper()}", "Check-in", _outside(digest))


def internal(digest: Digest) -> Sheet:
    """Gives the fuller page for ourselves."""
    marking = f"TLP:{'RED' if digest.tlp == 'red' else 'AMBER+STRICT'}; for our own organisation, not to be handed over"
    return _sheet(digest, marking, "Check-in, internal page", (*_inside(digest), *_outside(digest, full=True)))


def _sheet(digest: Digest, marking: str, title: str, blocks: Iterable[Block]) -> Sheet:
    lead = f"From {_moment(digest.begins)} to {_moment(digest.ends)}, as {digest.us} has it on record."
    kept = tuple(block for block in blocks if block.facts or block.rows or block.lines)
    return Sheet(f"{title}: {digest.us} and {digest.partner}", marking, lead, kept)


def _outside(digest: Digest, full: bool = False) -> Iterator[Block]:
    us, them = digest.us, digest.partner
    yield Block(f"Shared by {us}", tuple(_shared(digest.shared, full)))
    yield Block(f"Received from {them}", tuple(_received(digest.received, full)))
    yield Block("Indicators confirmed and disputed", tuple(_answers(digest, full)))
    yield Block("Feedback owed", lines=tuple(_owed(digest)))
    yield Block("Days ahead", tuple((what, f"{day}") for what, day in digest.days))
    yield Block(f"Whom to call at {us}", digest.ours)
    yield Block(
        f"Whom to call at {them}",
        columns=("for", "who", "where", "verified"),
        rows=tuple(
            (one.role, one.name, one.channel, f"{one.verified_on or 'never'}{', overdue' * one.overdue}")
            for one in digest.theirs
        ),
    )


def _inside(digest: Digest) -> Iterator[Block]:
    answers = digest.answers
    yield Block("To see to", lines=(*digest.problems, *digest.to_see_to))
    yield Block("Noted at the last check-in", lines=(digest.note,) if digest.note else ())
    untold = [
        ("sightings not sent back", _with_ids(answers.seen_untold)),
        ("our opinions not sent", _with_ids(one.object_id for one in answers.by_us_untold)),
        ("held by the gate now", str(digest.shared.held)),
    ]
    yield Block("Not on the partner's page", tuple(untold))


def _shared(shared: Shared, full: bool) -> Iterator[tuple[str, str]]:
    yield "new", _with_kinds(shared.new, shared.kinds)
    yield "further versions", str(shared.changed)
    if shared.bands:
        yield "by stated confidence", _listed(shared.bands)
    if shared.techniques:
        yield "techniques most named", _listed(shared.techniques)
    causes = shared.causes if full else _grouped(shared.causes)
    yield "withdrawn", _with_kinds(shared.withdrawn, causes)
    if shared.collected_at is not None:
        yield "last collected", _moment(shared.collected_at)
    if shared.pushed_at is not None:
        yield "last delivered", _moment(shared.pushed_at)


def _received(received: Received, full: bool) -> Iterator[tuple[str, str]]:
    yield "new", _with_kinds(received.new, received.kinds)
    yield "changed", str(received.changed)
    yield "revoked", str(received.revoked)
    told = received.rejected if full else Counter({k: n for k, n in received.rejected.items() if k != UNTOLD})
    yield "not taken", _with_kinds(told.total(), told if full else _without_values(told))
    if received.values and (full or received.values >= FEWEST):
        yield "new values told to us first", _part(received.first, received.values)
        yield "told to us by nobody else", _part(received.unique, received.values)
        if received.ahead_days is not None:
            yield "ahead of the next, median", f"{received.ahead_days:.1f} days"
        if received.behind_days is not None:
            yield "after the first, median", f"{received.behind_days:.1f} days"


def _answers(digest: Digest, full: bool) -> Iterator[tuple[str, str]]:
    us, them, answers = digest.us, digest.partner, digest.answers
    yield f"{them}'s, seen by {us}", _with_ids(answers.seen_by_us + (answers.seen_untold if full else []))
    yield f"{us}'s, seen by {them}", _with_ids(answers.seen_by_them)
    by_us = answers.by_us + (answers.by_us_untold if full else [])
    for owner, judge, said in ((them, us, by_us), (us, them, answers.by_them)):
        against = disputes(said)
        yield f"{owner}'s, disputed by {judge}", _with_ids(one.object_id for one in against)
        if len(said) > len(against):
            yield f"{owner}'s, other opinions by {judge}", str(len(said) - len(against))


def _owed(digest: Digest) -> Iterator[str]:
    for one in digest.unanswered[:_SHOWN]:
        due = f", an answer was due on {_moment(one.due)}" if one.due is not None else ""
        yield f"{one.object_id}: disputed on {_moment(one.since)}{due}"
    if len(digest.unanswered) > _SHOWN:
        yield f"{len(digest.unanswered) - _SHOWN} more disputes without an answer"
    if digest.sightings_back and digest.answers.seen_untold:
        yield f"{len(digest.answers.seen_untold)} sightings of {digest.partner}'s indicators not sent yet"


def _grouped(causes: Mapping[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for rule, count in causes.items():
        found[_WHY.get(rule, _OTHER)] += count
    return found


def _without_values(reasons: Mapping[str, int]) -> Counter[str]:
    """Puts reasons together that differ only in the id or value that they name."""
    found: Counter[str] = Counter()
    for reason, count in reasons.items():
        found[_QUOTED.sub("…", _ID.sub("…", reason)).removeprefix("…: ")] += count
    return found


def _with_kinds(total: int, kinds: Counter[str]) -> str:
    return f"{total} ({_listed(kinds)})" if total and kinds else str(total)


def _listed(counts: Counter[str]) -> str:
    # Of equal counts the first by name, so that a page is the same whenever it is made.
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    more = sum(count for _, count in ranked[_SHOWN:])
    return ", ".join([*(f"{count} {name}" for name, count in ranked[:_SHOWN]), *([f"{more} others"] if more else [])])


def _with_ids(ids: Iterable[str]) -> str:
    known: Sequence[str] = sorted(set(ids))
    if not known:
        return "0"
    more = f", and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{len(known)}: {', '.join(known[:_SHOWN])}{more}"


def _part(some: int, of: int) -> str:
    return f"{some} of {of} ({some / of:.0%})"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"

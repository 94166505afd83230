"""The gate's rules on incident reports: what they name the audience has, and people have read what they say.

They have the form of ``policy.rules``. A report is the only object of ours with free text in it, which no allow-list
can vouch for. So its text goes to another organisation only in the very version that people have released: the
rule's id bears a digest of it, and a release of one version says nothing of the next. How many it takes is said in
``policy.approvals``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec

from threatshare.model import Reason, Verdict
from threatshare.policy.candidates import Audience, Candidate, Facts
from threatshare.policy.disguise import Disguise

Reasons = tuple[Reason, ...]

REFERENCES = "references"
REPORT_TEXT = "report-text"
"""The ids of this rule are these words, a hyphen, and sixteen hexadecimal digits of the version that it holds."""

REPORTS = frozenset({"report", "grouping"})
"""Types of object with free text and references."""
NEVER_LIFTED = frozenset({REFERENCES})
"""Rules that hold, and that no person lifts: what an audience does not have, nobody's word gives it."""

_NO_REPORT = (Reason(REFERENCES, Verdict.RELEASE, "no report, and names nothing"),)
_ALL_THERE = (Reason(REFERENCES, Verdict.RELEASE, "the audience has all that it names"),)
_NO_TEXT = (Reason(REPORT_TEXT, Verdict.RELEASE, "no report, and without free text"),)
_INSIDE = (Reason(REPORT_TEXT, Verdict.RELEASE, "stays in our own organisation"),)
_ID_IN_BYTES = re.compile(rb"[a-z][a-z-]{0,40}--[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NO_REFERENCE = (b"report--", b"grouping--", b"identity--", b"marking-definition--")

_write = msgspec.json.Encoder().encode


def references(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Holds a report until its audience has everything that it names; no person lifts that."""
    if candidate.type not in REPORTS:
        return _NO_REPORT
    named = candidate.content.get("object_refs")
    if not isinstance(named, list) or not named or candidate.references is None:
        text = "what it names cannot be told, or whether its audience has that"
        return (Reason(REFERENCES, Verdict.REFUSE, text),)
    missing = sum(one not in candidate.references for one in named)
    if not missing:
        return _ALL_THERE
    text = (
        f"{missing} of the {len(named)} objects that it names are not released to {audience.name}; held: it goes by "
        "itself once they are, and no person can release it before. `threatshare incident show` tells which are missing"
    )
    return (Reason(REFERENCES, Verdict.HOLD, text),)


def report_text(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Holds every version of a report for another organisation until people have released that very version."""
    if candidate.type not in REPORTS:
        return _NO_TEXT
    if audience.inside:
        return _INSIDE
    text = (
        "free text, which has to be read before it goes to another organisation; held: `threatshare incident show` "
        "shows it; once two persons have named it in `threatshare review approve`, this version goes, and no other"
    )
    edition = candidate.edition or edition_of(candidate.content, audience.disguise)
    return (Reason(text_rule(edition), Verdict.HOLD, text),)


def edition_of(content: Mapping[str, Any], disguise: Disguise | None = None) -> str:
    """Gives what tells one version of a report from every other: sixteen hexadecimal digits of all that it says.

    Under a ``disguise`` it is another: what was read for a reader who knows us was not read for one who must not.
    """
    worn = b"" if disguise is None else disguise.identity.encode()
    return sha256(_write(content) + worn).hexdigest()[:16]


def text_rule(edition: str) -> str:
    """Gives the id of the rule that holds one version of a report."""
    return f"{REPORT_TEXT}-{edition}"


def as_report(
    candidate: Candidate, content: Mapping[str, Any], held: Iterable[str], disguise: Disguise | None = None
) -> Candidate:
    """Gives the candidate of a report with what its rules ask for.

    ``content`` is the report as we wrote it, ``held`` what its audience holds, by the ids that it knows, ``disguise``
    the one under which that audience knows us. What people
    have released counts only where they released this very version: what held an earlier version for its text may be
    private in another way now.
    """
    edition = edition_of(content, disguise)
    approved = candidate.approved if text_rule(edition) in candidate.approved else {}
    return replace(candidate, references=frozenset(held), edition=edition, approved=approved)


def strangers(body: bytes, candidate: Candidate) -> int:
    """Counts ids in the bytes of a report that its audience does not have, whatever property they stand in."""
    if candidate.type not in REPORTS:
        return 0
    found = {one for one in _ID_IN_BYTES.findall(body) if not one.startswith(_NO_REFERENCE)}
    return len(found - {one.encode() for one in candidate.references or ()})

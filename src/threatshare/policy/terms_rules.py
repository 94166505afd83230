"""The gate's rules on further terms of agreements: approval by a person, greatest age, and what sources let go on.

They have the form of ``policy.rules``; each speaks on every object.
"""

from __future__ import annotations

from collections.abc import Iterator

from threatshare.errors import BadValue
from threatshare.model import Reason, Verdict, moment
from threatshare.policy.agreements import Agreement
from threatshare.policy.candidates import OWN, Audience, Candidate, Facts
from threatshare.stix.timestamps import read_timestamp

Reasons = tuple[Reason, ...]

APPROVAL = "approval"
MAXIMUM_AGE = "maximum-age"
ONWARD_TERMS = "onward-terms"


def _passes(rule: str, text: str) -> Reasons:
    return (Reason(rule, Verdict.RELEASE, text),)


def _refuses(rule: str, text: str) -> Reason:
    return Reason(rule, Verdict.REFUSE, text)


_NO_APPROVAL = _passes(APPROVAL, "needs no person's approval")


def approval(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Holds every object for a person where the agreement says so; what carries no intelligence goes along."""
    agreement = audience.agreement
    if agreement is None or agreement.outbound.approval == "auto" or candidate.goes_along:
        return _NO_APPROVAL
    text = (
        f"the agreement with {agreement.partner} lets go only what a person has approved (outbound.approval);"
        f" held: `threatshare review approve`, with name and reason, lets it go"
    )
    return (Reason(APPROVAL, Verdict.HOLD, text),)


_YOUNG_ENOUGH = _passes(MAXIMUM_AGE, "no greatest age is agreed, or it is not reached")


def maximum_age(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Refuses what was last changed more days ago than the agreement allows; also what already stands there."""
    limit = audience.agreement.outbound.max_age_days if audience.agreement is not None else None
    if limit is None or candidate.goes_along:
        return _YOUNG_ENOUGH
    try:
        changed = moment(read_timestamp(str(candidate.content.get("modified") or candidate.content.get("created"))))
    except BadValue:
        return (_refuses(MAXIMUM_AGE, "its last change bears no time that can be read"),)
    days = (facts.today - changed.date()).days
    if days > limit:
        text = f"last changed {days} days ago; the agreement allows {limit} (outbound.max_age_days)"
        return (_refuses(MAXIMUM_AGE, text),)
    return _YOUNG_ENOUGH


_AS_AGREED = _passes(ONWARD_TERMS, "nothing of others', or as its source wants it passed on")


def onward_terms(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Passes on what others gave us only to the partners, and only under the name, that its source wants.

    Looks at the agreement with who brought it and at that with who said it first. Feedback to the source itself,
    and our own organisation, are not passing on.
    """
    if audience.inside:
        return _AS_AGREED
    giver = candidate.source if candidate.source != OWN else candidate.about
    sources = {one.partner: one for sender in (giver, candidate.origin) for one in facts.agreements_with(sender)}
    reasons = [reason for one in sources.values() for reason in _against(one, candidate, audience, facts)]
    return tuple(reasons) or _AS_AGREED


def _against(source: Agreement, candidate: Candidate, audience: Audience, facts: Facts) -> Iterator[Reason]:
    partner = audience.agreement.partner if audience.agreement is not None else None
    if partner == source.partner:
        return
    name, inbound = f"agreement with {source.partner}, from whom it came,", source.inbound
    if inbound.onward_partners is not None and partner not in inbound.onward_partners:
        yield _refuses(ONWARD_TERMS, f"the {name} does not let it go on to {partner or 'this audience'}")
    if inbound.onward_attribution == "must-not":
        yield _refuses(ONWARD_TERMS, f"the {name} forbids naming it, and ids of its objects do")
    maker = candidate.content.get("created_by_ref")
    if inbound.onward_attribution == "must" and maker in (None, facts.our_identity):
        yield _refuses(ONWARD_TERMS, f"the {name} wants to be named, and this does not name its creator")

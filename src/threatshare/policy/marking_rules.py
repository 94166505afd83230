"""What markings other than TLP ask of us: of the gate a rule of its own, of blocking exports a reason for each claim.

Each source's marking binds what that source said, and nothing else: a value that one source lets us block is
blocked on its word alone, whatever another says of the same value.
"""

from __future__ import annotations

from datetime import UTC, datetime, time

from threatshare.model import Claim, Marking, Micros, Reason, Tlp, Verdict, micros
from threatshare.policy.agreements import Agreement, standing
from threatshare.policy.candidates import OWN, Audience, Candidate, Facts
from threatshare.policy.rules import Reasons, hold, refuse

MARKING_TERMS = "marking-terms"

_NO_ACTION = frozenset({"none", "contact-for-instruction"})
_NO_BLOCKING_PAP = frozenset({"amber", "red"})

_INSIDE = (Reason(MARKING_TERMS, Verdict.RELEASE, "stays in our own organisation"),)
_NO_TERMS = (Reason(MARKING_TERMS, Verdict.RELEASE, "no marking says more than its TLP"),)
_OBEYED = (Reason(MARKING_TERMS, Verdict.RELEASE, "as its markings allow"),)


def marking_terms(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants every policy that an object bears to hold today and to let it go on as it is; statements wait for a person.

    What we made bears no policies. PAP says what may be done, not who may know, so it goes along and stops nothing.
    """
    if audience.inside:
        return _INSIDE
    marking = candidate.marking
    if not marking.policies and not marking.statements:
        return _NO_TERMS
    reasons = [refuse(MARKING_TERMS, text) for text in _against(marking, candidate, audience, facts)]
    if marking.statements:
        reasons.append(hold(MARKING_TERMS, "bears a statement that only a person can read"))
    return tuple(reasons) or _OBEYED


def _against(marking: Marking, candidate: Candidate, audience: Audience, facts: Facts) -> list[str]:
    found = []
    if not marking.resharing:
        found.append("its ACS marking does not let it go to anybody else")
    tlp, ceiling = marking.policy_tlp, audience.ceiling
    if tlp is not None and (ceiling is None or tlp > ceiling or (tlp > Tlp.GREEN and candidate.source != OWN)):
        found.append(f"its policy lets it go no further than TLP:{tlp.label.upper()} does")
    if not _holds_on(marking, facts):
        found.append("a policy that it bears has not begun, or has ended, and allows nothing then")
    if marking.must_not_name:
        found.append("its policy forbids to show who gave it, and an object names its creator")
    if marking.must_name and "created_by_ref" not in candidate.content:
        found.append("its policy demands to name who gave it, and the object does not")
    return found


def _holds_on(marking: Marking, facts: Facts) -> bool:
    """Tells whether its policies hold through the whole of today: decisions are as old as the day."""
    return all(marking.holds_at(micros(datetime.combine(facts.today, at, UTC))) for at in (time.min, time.max))


def why_not_blocked(claim: Claim, facts: Facts, now: Micros) -> str | None:
    """Gives the reason for which a claim's value must not be blocked on its word; None where it may.

    ``facts`` brings the agreements: with whoever sent it, and with whoever said it first.
    """
    if not claim.marking.may_block_at(now):
        return "its marking (PAP, IEP or ACS)"
    for agreement in (*facts.agreements_with(claim.source), *facts.agreements_with(claim.origin)):
        if not _may_block(agreement):
            return f"the agreement with {agreement.partner} (inbound)"
        if standing(agreement, facts.today):
            return f"the agreement with {agreement.partner} (not in force)"
    return None


def _may_block(agreement: Agreement) -> bool:
    inbound = agreement.inbound
    return (
        inbound.may_block
        and inbound.permitted_actions not in _NO_ACTION
        and (inbound.pap_default or "clear") not in _NO_BLOCKING_PAP
    )

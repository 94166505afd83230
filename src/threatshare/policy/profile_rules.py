"""The gate's rule ``profile``: an object for a partner keeps to the profile that the agreement names.

The gate sees one object at a time, so it asks what can be asked of one: what wants all objects together (one submitter,
its place) is for whoever puts the submission together, and is said to be left to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from threatshare.model import Reason, Verdict
from threatshare.policy.agreements import Agreement
from threatshare.policy.candidates import Audience, Candidate, Facts
from threatshare.policy.profile_bundles import Bundle, Member, NodeFacts, Record, RecordKind
from threatshare.policy.profiles import Fault, Profile, Report, check

PROFILE = "profile"
"""Rule id; a person's release names it."""

_INSIDE = (Reason(PROFILE, Verdict.RELEASE, "our own organisation: no profile"),)
_NONE_AGREED = (Reason(PROFILE, Verdict.RELEASE, "the agreement names no profile"),)
_VERDICT = {"block": Verdict.REFUSE, "queue": Verdict.HOLD}


def profile_reasons(
    candidate: Candidate, audience: Audience, facts: Facts, name: str | None, profiles: Mapping[str, Profile]
) -> tuple[Reason, ...]:
    """Gives what the profile of an audience has against an object: what blocks refuses, what queues holds.

    ``name`` is the profile that the audience's agreement names, None where it names none; ``profiles`` are all there
    are. A name without a profile refuses.
    """
    if audience.inside:
        return _INSIDE
    if name is None:
        return _NONE_AGREED
    profile = profiles.get(name)
    if profile is None:
        return (Reason(PROFILE, Verdict.REFUSE, f"the agreement names the profile {name}, which does not exist"),)
    report = _alone(candidate, audience, facts, profile)
    reasons = tuple(_reason(name, one) for one in report.faults if one.on_fail in _VERDICT)
    return reasons or (Reason(PROFILE, Verdict.RELEASE, f"keeps to {name} version {profile.version} as one object"),)


def facts_for(agreement: Agreement | None, facts: Facts, name: str = "") -> NodeFacts:
    """Gives what checks are told of a node and an agreement; ``name`` is our own."""
    return NodeFacts(
        own=facts.own,
        identity=facts.our_identity,
        name=name,
        consent=agreement.outbound.consent or "" if agreement is not None else "",
        today=facts.today,
        records=records_of(agreement),
    )


def records_of(agreement: Agreement | None) -> Mapping[RecordKind, tuple[Record, ...]]:
    """Gives the dated records of an agreement: itself, if it is signed, and its legal bases."""
    if agreement is None:
        return {}
    signed = Record(agreement.partner, agreement.effective_from, agreement.expires_on)
    return {
        "agreement": (signed,) if agreement.signed_on is not None else (),
        "legal-basis": tuple(Record(one.name, one.begins, one.ends) for one in agreement.legal_basis),
    }


def _alone(candidate: Candidate, audience: Audience, facts: Facts, profile: Profile) -> Report:
    """Asks what can be asked of one object; of our Identity also what is asked of Identities."""
    asked = {"objects", "identities"} if candidate.type == "identity" else {"objects"}
    rules = tuple(one for one in profile.rules if one.asks.asked_of in asked)
    bundle = Bundle((Member("", candidate.content, candidate.observables),))
    return check(replace(profile, rules=rules), bundle, facts_for(audience.agreement, facts))


def _reason(name: str, fault: Fault) -> Reason:
    text = f"{name} {fault.rule}: {fault.pointer or 'the object'} {fault.found}; to mend it: {fault.mend}"
    if fault.on_fail == "queue":
        text += f"; held: a person who releases {PROFILE} by name, lets it go"
    return Reason(PROFILE, _VERDICT[fault.on_fail], text)

"""The gate's rule ``profile``: an object for a partner keeps to the profile that the agreement names.

The gate sees one object at a time, so it asks what can be asked of one. What wants objects together (one submitter,
its place) is asked of our introduction before the first object of a run (``introduction_reasons``), and of each
envelope before it is sent (``share.submissions``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from threatshare.model import CollectionKind, Reason, Verdict
from threatshare.policy.agreements import Agreement
from threatshare.policy.candidates import Audience, Candidate, Facts, profile_for
from threatshare.policy.disguise import consent_of
from threatshare.policy.profile_bundles import Bundle, Member, NodeFacts, Record, RecordKind
from threatshare.policy.profile_checks import Asked
from threatshare.policy.profiles import Fault, Report, check

PROFILE = "profile"
"""Rule id; a person's release names it."""
RECORDS = "legal-basis-in-force"
"""The check whose outcome changes with the day."""

Reasons = tuple[Reason, ...]

_NO_PARTNER = (Reason(PROFILE, Verdict.RELEASE, "no partner's collection: no profile"),)
_NONE_AGREED = (Reason(PROFILE, Verdict.RELEASE, "the agreement names no profile"),)
_VERDICT = {"block": Verdict.REFUSE, "queue": Verdict.HOLD}
_OF_OBJECT: frozenset[Asked] = frozenset({"objects"})
_OF_IDENTITY: frozenset[Asked] = frozenset({"objects", "identities"})


def profile(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants each object for a partner to keep to the profile that the agreement names.

    What the profile blocks is refused, what it queues is held. A name without a profile that can be read refuses.
    """
    name = named(audience)
    if audience.kind is not CollectionKind.PARTNER:
        return _NO_PARTNER
    if name is None:
        return _NONE_AGREED
    wanted = profile_for(audience, facts)
    if wanted is None:
        return (Reason(PROFILE, Verdict.REFUSE, missing(name)),)
    bundle = Bundle((Member("", candidate.content, candidate.observables),))
    asked = _OF_IDENTITY if candidate.type == "identity" else _OF_OBJECT
    report = check(wanted, bundle, facts_for(audience, facts), asked)
    reasons = tuple(_reason(name, one) for one in report.faults if one.on_fail in _VERDICT)
    return reasons or _keeps_to(report)


def named(audience: Audience) -> str | None:
    """Gives the name of the profile that an audience's agreement names."""
    return audience.agreement.outbound.profile if audience.agreement is not None else None


def missing(name: str) -> str:
    """Says that a profile which an agreement names is not there."""
    return f"the agreement names the profile {name}, which does not exist or cannot be read: see `threatshare doctor`"


def introduction_reasons(introduction: Sequence[Mapping[str, Any]], audience: Audience, facts: Facts) -> Reasons:
    """Gives what an audience's profile has against our introduction as a whole; empty where nothing, or no profile."""
    wanted = profile_for(audience, facts)
    if wanted is None:
        return ()
    bundle = Bundle(tuple(Member("", one) for one in introduction))
    report = check(wanted, bundle, facts_for(audience, facts))
    return tuple(_reason(wanted.name, one) for one in report.faults if one.on_fail == "block")


def records_standing(audience: Audience, facts: Facts) -> tuple[str, ...]:
    """Gives what is not in force today of the records that an audience's profile wants; it changes with the day."""
    wanted = profile_for(audience, facts)
    if wanted is None:
        return ()
    dated = replace(wanted, rules=tuple(one for one in wanted.rules if one.check == RECORDS))
    return tuple(one.found for one in check(dated, Bundle(), facts_for(audience, facts)).faults)


def facts_for(audience: Audience, facts: Facts) -> NodeFacts:
    """Gives what checks are told of a node and an audience's agreement."""
    agreement = audience.agreement
    certificates = facts.certificates.get(agreement.partner) if agreement is not None else None
    consent = consent_of(agreement.outbound) if agreement is not None else None
    records = records_of(agreement, certificates)
    return NodeFacts(facts.own, facts.our_identity, facts.our_name, consent or "", facts.today, records)


def records_of(
    agreement: Agreement | None, certificates: tuple[Record, ...] | None = None
) -> Mapping[RecordKind, tuple[Record, ...]]:
    """Gives the dated records of an exchange: the agreement itself if it is signed, its legal bases, our certificates.

    ``certificates``: those with which we deliver; None where their dates are not known, which counts as not looked up.
    """
    if agreement is None:
        return {}
    signed = Record(agreement.partner, agreement.effective_from, agreement.expires_on)
    found: dict[RecordKind, tuple[Record, ...]] = {
        "agreement": (signed,) if agreement.signed_on is not None else (),
        "legal-basis": tuple(Record(one.name, one.begins, one.ends) for one in agreement.legal_basis),
    }
    return found if not certificates else found | {"certificate": certificates}


def _keeps_to(report: Report) -> Reasons:
    text = f"keeps to {report.profile} version {report.version} as one object"
    unseen = [f"{one.rule} {one.why}" for one in report.not_checked]
    return (Reason(PROFILE, Verdict.RELEASE, text + (f"; not checked: {'; '.join(unseen)}" if unseen else "")),)


def _reason(name: str, fault: Fault) -> Reason:
    where = fault.pointer or ("the object" if fault.object else "")
    text = f"{name} {fault.rule}: {f'{where} {fault.found}'.strip()}; to mend it: {fault.mend}"
    if fault.on_fail == "queue":
        text += f"; held: a person who releases {PROFILE} by name, lets it go"
    return Reason(PROFILE, _VERDICT[fault.on_fail], text)

"""The gate: deny by default, every reason shown, and one way out.

``decide`` is a pure function of an object, an audience and the facts: it asks every rule and gives the
most restrictive verdict with all reasons. ``clear`` turns a release into a ``Cleared``, the only type
that collections and partners accept; before that it reads the very bytes that would leave once more,
by another way than the rules do, so that a mistake in one of the two does not let a marking through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NoReturn, final

import msgspec

from threatshare.errors import BadValue
from threatshare.model import CollectionKind, Decision, Marking, Micros, Observable, Reason, Tlp, Verdict
from threatshare.policy import profile_rules, report_rules, rules, terms_rules
from threatshare.policy.agreements import Agreement, standing
from threatshare.policy.approvals import approval_key
from threatshare.policy.candidates import (
    OWN,
    Audience,
    Candidate,
    Facts,
    candidate_of,
    identity_for,
    profile_for,
)
from threatshare.policy.disguise_rules import anonymity
from threatshare.policy.marking_rules import marking_terms
from threatshare.policy.markings import NOT_DEFINED, marking_of
from threatshare.policy.never_share import NeverShare
from threatshare.policy.privacy import never_share, privacy
from threatshare.policy.profiles import digest
from threatshare.policy.served import SERVED_BYTES, second_look, version_of
from threatshare.stix.exercise import bears_label, defines_exercise
from threatshare.stix.patterns import pattern_of
from threatshare.stix.received import Received
from threatshare.stix.repeated import repeated_property
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP_IDS

__all__ = [
    "OWN",
    "RULES",
    "SERVED_BYTES",
    "Audience",
    "Candidate",
    "Cleared",
    "Facts",
    "candidate_of",
    "clear",
    "clear_withdrawal",
    "decide",
    "may_exchange",
    "may_exchange_live",
    "may_export",
    "policy_of",
]

Rule = Callable[[Candidate, Audience, Facts], tuple[Reason, ...]]

RULES: tuple[Rule, ...] = (
    rules.agreement_in_force,
    rules.exercise,
    rules.marking_ceiling,
    rules.marking_unknown,
    marking_terms,
    rules.no_echo,
    rules.onward,
    terms_rules.onward_terms,
    rules.own_assets_declared,
    rules.own_asset,
    never_share,
    rules.reserved,
    rules.allowed_fields,
    anonymity,
    privacy,
    rules.validity,
    rules.minimum_score,
    terms_rules.maximum_age,
    rules.object_type,
    report_rules.references,
    report_rules.report_text,
    terms_rules.approval,
    profile_rules.profile,
)
"""In the order in which reasons are shown; the verdict does not depend on it."""

RULES_VERSION = 6
"""Raised with every change of what the rules let out: what was released is then examined anew."""

WITHDRAWAL = "withdrawal"
"""Rule id of withdrawals."""

_WITHDRAWN_DIFFERS = frozenset({"modified", "revoked", "valid_from", "valid_until"})
_RED = tuple(ref.encode() for ref, tlp in TLP_IDS.items() if tlp is Tlp.RED)
_TOKEN = object()

_read = msgspec.json.Decoder(dict[str, Any]).decode
_write = msgspec.json.Encoder().encode


@final
class Cleared:
    """One object that the gate lets out to one audience. Only the gate makes it; nothing changes it."""

    __slots__ = ("audience", "body", "decision", "object_id", "spec_version", "type", "version")

    object_id: str
    version: Micros
    """``modified``, or ``created`` where it has none."""
    type: str
    spec_version: str
    body: bytes
    """What is stored and served, to the byte."""
    audience: str
    """Alias of the collection that it was cleared for."""
    decision: Decision

    def __init__(self, token: object, content: dict[str, Any], body: bytes, audience: str, decision: Decision) -> None:
        if token is not _TOKEN:
            raise TypeError("only the gate makes Cleared: call threatshare.policy.gate.clear")
        put = object.__setattr__
        put(self, "object_id", str(content["id"]))
        put(self, "version", read_timestamp(str(content.get("modified") or content.get("created"))))
        put(self, "type", str(content["type"]))
        put(self, "spec_version", str(content.get("spec_version", "2.1")))
        put(self, "body", body)
        put(self, "audience", audience)
        put(self, "decision", decision)

    def __init_subclass__(cls) -> None:
        raise TypeError("Cleared has no subclasses")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Cleared is never changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Cleared is never changed: {name}")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Cleared is neither copied nor pickled: it is made by the gate, for one audience")

    def __repr__(self) -> str:
        return f"Cleared({self.object_id} for {self.audience})"


def decide(candidate: Candidate, audience: Audience, facts: Facts) -> Decision:
    """Decides whether an object may leave for an audience; the most restrictive verdict, with every rule's reasons.

    Where a rule holds the object and a person has released it from that rule, the reason releases and names the
    person. What a rule refuses nobody releases, nor what a report names and its audience does not have.
    """
    reasons: list[Reason] = []
    for rule in RULES:
        reasons += rule(candidate, audience, facts)
    if candidate.approved:
        reasons = [_released(one, candidate.approved) for one in reasons]
    return Decision(_strictest(reasons), tuple(reasons))


def clear(candidate: Candidate, body: bytes, audience: Audience, facts: Facts) -> Cleared | Decision:
    """Clears the bytes of an object for an audience, or gives the decision that keeps it here."""
    decision = decide(candidate, audience, facts)
    if decision.verdict is not Verdict.RELEASE:
        return decision
    found = second_look(candidate, body, audience)
    if isinstance(found, dict):
        return Cleared(_TOKEN, found, body, audience.name, decision)
    return Decision(Verdict.REFUSE, (*decision.reasons, *found))


def clear_withdrawal(
    body: bytes, released: bytes, audience: Audience, facts: Facts, identity: str | None = None
) -> Cleared | Decision:
    """Clears a revoked version of what the audience already has.

    ``released`` is the version that was served to it last, as the store holds it. A withdrawal says
    nothing new, so it goes out also where the object itself no longer may: under an expired
    agreement, a lowered ceiling, for what turned out to be ours. It must be of our own making and
    differ from the released version in nothing but its time, its validity and ``revoked``. ``identity`` is the one
    under which it was released, where that is not the one that the audience knows us by now.
    """
    try:
        now, before = _read(body), _read(released)
        later = version_of(now) > version_of(before)
        for name in ("valid_from", "valid_until"):
            if name in now:
                read_timestamp(str(now[name]))
    except (msgspec.DecodeError, RecursionError, BadValue):
        # Why, would quote what could not be read.
        return Decision(Verdict.REFUSE, (rules.refuse(WITHDRAWAL, "the withdrawal, or a time in it, cannot be read"),))
    changed = {name for name in now.keys() | before.keys() if now.get(name) != before.get(name)}
    faults = []
    if now.get("revoked") is not True:
        faults.append("is not revoked")
    if not later:
        faults.append("is not modified later than what was released")
    ours = {facts.our_identity, identity_for(audience, facts), identity or facts.our_identity}
    if ours.isdisjoint((now.get("created_by_ref"), now.get("id"))):
        faults.append("is not ours, and only its creator withdraws an object")
    if _write(now) != body:
        faults.append("is not written as our writer writes")
    if not changed <= _WITHDRAWN_DIFFERS:
        faults.append(f"differs from what was released in {', '.join(sorted(changed - _WITHDRAWN_DIFFERS))}")
    if faults:
        return Decision(Verdict.REFUSE, tuple(rules.refuse(WITHDRAWAL, f"the withdrawal {fault}") for fault in faults))
    reason = Reason(WITHDRAWAL, Verdict.RELEASE, "withdraws what this audience was given")
    return Cleared(_TOKEN, now, body, audience.name, Decision(Verdict.RELEASE, (reason,)))


def may_exchange(raw: bytes, received: Received) -> str | None:
    """Gives the reason for which what a member posts may not stand in an exchange; None where it may.

    TLP:RED is for named recipients, and a marking that we cannot read may forbid anything. An object
    without marking is its poster's own to show to the members. What has a property twice could be another's object to
    one reader and the poster's own to the next, or be RED to some.
    """
    marking = marking_of(received.marking_refs, (), NOT_DEFINED)
    if marking.unknown:
        return f"{received.id}: {rules.unread(marking.unknown[0])}"
    if marking.tlp is Tlp.RED or (received.type != "marking-definition" and any(ref in raw for ref in _RED)):
        return f"{received.id}: TLP:RED is for named recipients and does not go to an exchange"
    if (name := repeated_property(raw)) is not None:
        return f"{received.id}: {name[:100]!r} stands in it twice, and readers differ on which one counts; send it once"
    return None


def may_exchange_live(raw: bytes, received: Received) -> str | None:
    """Gives the reason as ``may_exchange`` does, and refuses what is of an exercise: for nodes not made for them."""
    if bears_label(received.labels) or defines_exercise(raw, received):
        return f"{received.id}: exercise data has no place among live data; post it into the exercise's collection"
    return may_exchange(raw, received)


def policy_of(audience: Audience, facts: Facts) -> bytes:
    """Gives a digest of all that decisions for an audience depend on beside the object itself.

    While it stays the same, so do the decisions; it changes with an agreement's terms, with the day on
    which one begins or ends (under a greatest age with each day), with own assets, with the never-share list, and
    with the rules, with the profile that an agreement names, with the dates of what it wants on record, and with who
    we are for the audience. A person's release is no part of it: it belongs to one object, which is then decided anew.
    Nor is an object's own ``valid_until``: what stands ends then by itself, without a decision.
    """
    agreement, profile, disguise = audience.agreement, profile_for(audience, facts), audience.disguise
    terms = (
        RULES_VERSION,
        (audience.name, audience.kind.value, _standing_of(audience, facts)),
        (agreement.outbound, sorted(agreement.senders)) if agreement is not None else None,
        facts.today if agreement is not None and agreement.outbound.max_age_days is not None else None,
        (facts.purpose, facts.our_identity, facts.siem_floor),
        _never_shared(facts.never_share) if not audience.inside else None,
        [str(one) for one in facts.own.networks],
        (facts.own.domains, facts.own.mail_domains, facts.own.declared_empty, sorted(facts.own.file_hashes)),
        [
            (name, _onward_of(one), sorted(one.senders), bool(standing(one, facts.today)))
            for name, one in sorted(facts.agreements.items())
        ],
        (digest(profile), profile_rules.records_standing(audience, facts), facts.our_name) if profile else None,
        (disguise.identity, disguise.name, disguise.hidden_name) if disguise is not None else None,
        (sorted(facts.own.organisations), facts.own.mail_servers) if disguise is not None else None,
        *_tied(facts),
    )
    return sha256(_write(terms)).digest()


def _tied(facts: Facts) -> list[object]:
    """Gives what ties by hand mean to decisions; nothing where there are none."""
    tied = facts.ties.accounts
    posters = {source: account for source, account in facts.ties.posters.items() if account in tied}
    return [(sorted(tied.items()), sorted(posters.items()))] if tied else []


def may_export(observable: Observable, facts: Facts, roles: Sequence[str] = ()) -> tuple[Reason, ...]:
    """Gives every reason for which a value may not stand in a file meant for partners; empty where it may.

    Files of values (tables, blocklists) hold no objects, so these rules look at the value alone: own assets,
    the never-share list, known benign, privacy. What they would hold waits as well: a file has no review.
    ``roles``: those in which it was seen; a mail address may only stand there as a ``phish-sender``'s.
    """
    value = Candidate({"pattern": pattern_of(observable), "labels": list(roles)}, (observable,), _UNMARKED)
    outside = Audience("a file for partners", CollectionKind.PARTNER)
    reasons = [reason for rule in _OF_VALUES for reason in rule(value, outside, facts)]
    return tuple(one for one in reasons if one.verdict is not Verdict.RELEASE)


_UNMARKED = Marking(None)
_OF_VALUES: tuple[Rule, ...] = (rules.own_assets_declared, rules.own_asset, never_share, rules.reserved, privacy)


def _released(reason: Reason, approved: Mapping[str, str]) -> Reason:
    lifts = reason.verdict is Verdict.HOLD and reason.rule not in report_rules.NEVER_LIFTED
    who = approved.get(approval_key(reason)) if lifts else None
    return reason if who is None else Reason(reason.rule, Verdict.RELEASE, f"{reason.text}; released by {who}")


def _never_shared(never: NeverShare) -> list[list[str]]:
    return [sorted(map("=".join, never.values)), sorted(map(str, never.networks)), sorted(never.domains)]


def _onward_of(agreement: Agreement) -> tuple[object, ...]:
    inbound = agreement.inbound
    return inbound.onward_max_tlp, inbound.onward_partners, inbound.onward_attribution


def _standing_of(audience: Audience, facts: Facts) -> bool:
    return bool(standing(audience.agreement, facts.today))


def _strictest(reasons: list[Reason]) -> Verdict:
    verdict = Verdict.RELEASE
    for reason in reasons:
        if reason.verdict is Verdict.REFUSE:
            return Verdict.REFUSE
        if reason.verdict is Verdict.HOLD:
            verdict = Verdict.HOLD
    return verdict

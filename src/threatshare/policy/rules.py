"""The gate's rules: each looks at one thing and gives its reasons, in words, without the value itself.

Every rule speaks on every object, so that a decision shows what was looked at; a rule that has
nothing against the object gives one reason that releases. Rules know nothing of each other.
"""

from __future__ import annotations

import re

from threatshare.model import CollectionKind, Kind, Reason, Tlp, Verdict
from threatshare.policy.agreements import RULE as AGREEMENT_IN_FORCE
from threatshare.policy.agreements import Agreement, standing
from threatshare.policy.candidates import OWN, Audience, Candidate, Facts, identity_for, profile_for
from threatshare.policy.disguise import consent_of, wants_disguise
from threatshare.policy.exercises import not_of, unfit
from threatshare.policy.fields import Known, faults, is_canonical_marking
from threatshare.policy.mentions import DOMAIN, mentioned
from threatshare.stix.exercise import bears_label
from threatshare.triage.benign import known_benign

Reasons = tuple[Reason, ...]

MARKING_CEILING = "marking-ceiling"
MARKING_UNKNOWN = "marking-unknown"
EXERCISE = "exercise"
NO_ECHO = "no-echo"
ONWARD = "onward"
OWN_ASSETS_NOT_DECLARED = "own-assets-not-declared"
OWN_ASSET = "own-asset"
RESERVED = "reserved"
ALLOWED_FIELDS = "allowed-fields"
MINIMUM_SCORE = "minimum-score"
VALIDITY = "validity"
OBJECT_TYPE = "object-type"

_COMPANIONS = frozenset({"identity", "marking-definition"})
"""Types that carry no intelligence and go along with what refers to them."""

_MARKING_ID = re.compile("marking-definition--[0-9a-f-]{36}").fullmatch


def unread(ref: str) -> str:
    """Says that a marking is unknown; names it only where it has the form of an id."""
    named = ref if _MARKING_ID(ref) else "of no form that we know"
    return f"bears a marking that this node cannot read: {named}"


def refuse(rule: str, text: str) -> Reason:
    """Makes a reason that refuses."""
    return Reason(rule, Verdict.REFUSE, text)


def hold(rule: str, text: str, what_releases: str = "") -> Reason:
    """Makes a reason that holds, and says what would release: ``what_releases``, or a person by name."""
    either = f"{what_releases}, or " if what_releases else ""
    return Reason(rule, Verdict.HOLD, f"{text}; held: {either}a person who releases {rule} by name, lets it go")


def _passes(rule: str, text: str) -> Reasons:
    return (Reason(rule, Verdict.RELEASE, text),)


def _texts(candidate: Candidate, name: str) -> list[str]:
    """Gives the texts of a list property; others' objects may hold anything there."""
    value = candidate.content.get(name)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


_IN_FORCE = _passes(AGREEMENT_IN_FORCE, "in force, and covers this collection")
_NO_AGREEMENT_NEEDED = _passes(AGREEMENT_IN_FORCE, "our own organisation: no agreement is needed")


def agreement_in_force(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants a signed agreement in force that covers the collection; our own organisation needs none."""
    if audience.inside:
        return _NO_AGREEMENT_NEEDED
    if audience.kind not in (CollectionKind.PARTNER, CollectionKind.EXERCISE):
        text = f"what stands in an {audience.kind.value} was posted there; nothing is published into it"
        return (refuse(AGREEMENT_IN_FORCE, text),)
    reasons = standing(audience.agreement, facts.today)
    covered = audience.agreement.outbound.collections if audience.agreement is not None else None
    if covered is not None and audience.name not in covered:
        text = f"the agreement does not cover the collection {audience.name} (outbound.collections)"
        reasons.append(refuse(AGREEMENT_IN_FORCE, text))
    return tuple(reasons) or _IN_FORCE


_NOT_MIXED = _passes(EXERCISE, "exercise and live stay apart")


def exercise(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Keeps exercise data in its exercise or on exercise nodes, and live data from both and what is agreed for them."""
    if audience.kind is CollectionKind.EXERCISE:
        return _of_exercise(candidate, audience, facts)
    reasons = []
    if facts.purpose != "exercise":
        if candidate.marking.exercise or bears_label(_texts(candidate, "labels")):
            reasons.append(refuse(EXERCISE, "labelled as exercise data, which never leaves a live or demo node"))
        if audience.agreement is not None and audience.agreement.outbound.exercise_only:
            reasons.append(refuse(EXERCISE, "the agreement is for exercises only, and this node is not for exercises"))
    return tuple(reasons) or _NOT_MIXED


NAMED_IN_EXERCISES = "its agreement hides who we are, and who holds an exercise is known to all who take part"
_OF_THE_EXERCISE = _passes(EXERCISE, "of this exercise, by label, marking and value")
_GOES_ALONG = _passes(EXERCISE, "says nothing but who we are, or what a marking means")


def _of_exercise(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    terms = audience.exercise
    if terms is None:
        return (refuse(EXERCISE, f"{audience.name} is for an exercise of which nothing is known"),)
    over = terms.over(facts.today)
    faults = [over] if over is not None else []
    if audience.agreement is not None and wants_disguise(audience.agreement.outbound):
        faults.append(NAMED_IN_EXERCISES)
    if candidate.type not in _COMPANIONS:
        faults += not_of(candidate.content, candidate.observables, terms)
    elif not faults:
        return _GOES_ALONG
    return tuple(refuse(EXERCISE, fault) for fault in faults) or _OF_THE_EXERCISE


_BELOW_CEILING = {
    (tlp, ceiling): _passes(MARKING_CEILING, f"TLP:{tlp.label.upper()}, the ceiling is TLP:{ceiling.label.upper()}")
    for tlp in Tlp
    for ceiling in Tlp
    if tlp <= ceiling
}
_DEFINITION = _passes(MARKING_CEILING, "a TLP 2.0 definition itself, which says nothing but its label")


def marking_ceiling(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants a TLP marking no more restrictive than the audience's ceiling."""
    if candidate.type == "marking-definition" and is_canonical_marking(candidate.content):
        return _DEFINITION
    tlp, ceiling = candidate.marking.tlp, audience.ceiling
    if tlp is None:
        return (refuse(MARKING_CEILING, "carries no TLP marking"),)
    if ceiling is None:
        return (
            refuse(
                MARKING_CEILING, f"TLP:{tlp.label.upper()}, and {audience.name} has no ceiling: nothing may reach it"
            ),
        )
    if tlp > ceiling:
        text = f"TLP:{tlp.label.upper()} is above the ceiling of {audience.name}, TLP:{ceiling.label.upper()}"
        return (refuse(MARKING_CEILING, text),)
    return _BELOW_CEILING[tlp, ceiling]


_ALL_READ = _passes(MARKING_UNKNOWN, "every marking is known")


def marking_unknown(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants every marking to be one that this node can read."""
    return tuple(refuse(MARKING_UNKNOWN, unread(ref)) for ref in candidate.marking.unknown) or _ALL_READ


_NO_ECHO = _passes(NO_ECHO, "not from this audience")


def no_echo(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Sends nobody what came from them, and nothing from elsewhere that claims to be ours."""
    reasons = []
    ours = candidate.content.get("created_by_ref") in (facts.our_identity, identity_for(audience, facts))
    if candidate.source != OWN and ours:
        reasons.append(refuse(NO_ECHO, "names us as its creator, but came from elsewhere"))
    if audience.agreement is not None and candidate.source != OWN:
        partner = audience.agreement.partner
        if any(partner in _claims(one, audience, facts) for one in (candidate.source, candidate.origin)):
            reasons.append(refuse(NO_ECHO, f"came from {partner} itself"))
    return tuple(reasons) or _NO_ECHO


def _claims(sender: str | None, audience: Audience, facts: Facts) -> frozenset[str]:
    """Gives the partners that a source or an identity is said to be of, by the audience's own agreement as well."""
    agreement = audience.agreement
    named = {agreement.partner} if agreement is not None and sender in agreement.senders else frozenset[str]()
    return facts.partners_of(sender) | named


_STAYS_INSIDE = _passes(ONWARD, "stays in our own organisation")
_OUR_OWN = _passes(ONWARD, "ours alone")
_FEEDBACK = _passes(ONWARD, "feedback to whoever gave it to us")
_MAY_GO_ON = _passes(ONWARD, "its source allows passing it on")


def onward(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Passes on what others gave us only as far as its marking and the agreement with its source allow."""
    if audience.inside:
        return _STAYS_INSIDE
    if candidate.source != OWN:
        return _onward_from(candidate.source, candidate, facts)
    if candidate.type not in _ABOUT_OTHERS:
        return _OUR_OWN
    if candidate.about is None:
        return (refuse(ONWARD, f"a {candidate.type} on something whose source is not known"),)
    if audience.agreement is not None and _claims(candidate.about, audience, facts) == {audience.agreement.partner}:
        return _FEEDBACK
    if candidate.type == "opinion":
        return (refuse(ONWARD, "an opinion, which goes to nobody but the maker of what it is on"),)
    if candidate.about == OWN:
        return _OUR_OWN
    return _onward_from(candidate.about, candidate, facts)


_ABOUT_OTHERS = frozenset({"sighting", "opinion"})
"""Types of object of ours that say something of somebody else's."""


def _onward_from(source: str, candidate: Candidate, facts: Facts) -> Reasons:
    reasons = []
    tlp = candidate.marking.tlp
    if tlp is None or tlp >= Tlp.AMBER:
        reasons.append(
            refuse(ONWARD, "came from another source and is not marked TLP:CLEAR or TLP:GREEN: never goes on")
        )
    agreement = facts.agreement_with(source)
    if agreement is None:
        several = ", ".join(sorted(facts.partners_of(source)))
        if several:
            text = f"it is not known of which partner ({several})"
        else:
            text = f"no agreement says that it may go on: name {source} in inbound.sources of its partner's agreement"
        reasons.append(refuse(ONWARD, f"came from {source}, and {text}"))
    else:
        reasons += _onward_under(agreement, tlp, facts)
    for first in facts.agreements_with(candidate.origin):
        reasons += _onward_under(first, tlp, facts) if first is not agreement else []
    return tuple(reasons) or _MAY_GO_ON


def _onward_under(agreement: Agreement, tlp: Tlp | None, facts: Facts) -> list[Reason]:
    name = f"agreement with {agreement.partner}"
    if standing(agreement, facts.today):
        return [refuse(ONWARD, f"the {name}, from whom it came, is not in force")]
    limit = agreement.inbound.onward_max_tlp
    if limit is None:
        return [refuse(ONWARD, f"the {name}, from whom it came, lets nothing go on (inbound.onward_max_tlp)")]
    if tlp is None or tlp > (Tlp.GREEN if limit == "green" else Tlp.CLEAR):
        return [refuse(ONWARD, f"the {name}, from whom it came, lets go on at most TLP:{limit.upper()}")]
    return []


_DECLARED = _passes(OWN_ASSETS_NOT_DECLARED, "declared")
_NOT_DECLARED = (
    refuse(
        OWN_ASSETS_NOT_DECLARED,
        "own-assets.toml names nothing of ours: fill it in, or state declared_empty = true",
    ),
)


def own_assets_declared(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Lets nothing out of a node that has not said what is its own."""
    return _DECLARED if facts.own.filled_in else _NOT_DECLARED


_NOTHING_OF_OURS = _passes(OWN_ASSET, "names nothing of ours")


def own_asset(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Lets out no value that is ours, and holds values that mention us."""
    reasons = []
    for one in candidate.observables:
        if one.kind is Kind.PATTERN:
            text = "a compound pattern is not searched for own assets"
            reasons.append(hold(OWN_ASSET, text))
        elif facts.own.owns(one):
            reasons.append(refuse(OWN_ASSET, f"the {one.kind} is ours (own-assets.toml)"))
        elif (mention := mentioned(one, facts.own)) is not None:
            text = f"the {one.kind} mentions {mention} of ours"
            reasons.append(hold(OWN_ASSET, text) if mention == DOMAIN else refuse(OWN_ASSET, text))
    if candidate.type == "indicator" and not candidate.observables:
        reasons.append(refuse(OWN_ASSET, "an indicator without a value that could be checked"))
    return tuple(reasons) or _NOTHING_OF_OURS


_NOT_RESERVED = _passes(RESERVED, "neither reserved nor known benign")


def reserved(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Lets out no reserved range or name and nothing on a hard known-benign list."""
    reasons = []
    practised = audience.exercise if audience.kind is CollectionKind.EXERCISE else None
    for one in candidate.observables:
        if practised is not None and unfit(one, practised.name) is None:
            continue
        name = known_benign(one, facts.purpose)
        if name is not None:
            reasons.append(refuse(RESERVED, f"the {one.kind} is no evidence of an attack: {name}"))
    return tuple(reasons) or _NOT_RESERVED


_ONLY_ALLOWED = _passes(ALLOWED_FIELDS, "only what our builder writes")
_AS_IT_CAME = _passes(ALLOWED_FIELDS, "not ours: goes on as its creator wrote it")


def allowed_fields(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants objects of ours to consist of allowed properties with generated values, naming us only as agreed."""
    if candidate.source != OWN:
        return _AS_IT_CAME
    reasons = []
    observable = candidate.observables[0] if len(candidate.observables) == 1 else None
    terms = audience.exercise
    definition = terms.definition if terms is not None else {}
    known = Known(
        identity_for(audience, facts),
        observable,
        audience.kind,
        candidate.content,
        definition,
        *introduced(audience, facts),
    )
    wrong = faults(candidate.type, known)
    if wrong:
        text = f"missing, or not what our builder writes: {', '.join(sorted(wrong))}"
        reasons.append(refuse(ALLOWED_FIELDS, text))
    names_us = "created_by_ref" in candidate.content or candidate.type == "identity"
    attribution = audience.agreement.outbound.attribution if audience.agreement is not None else "may"
    if attribution == "must-not" and names_us and audience.disguise is None:
        reasons.append(refuse(ALLOWED_FIELDS, "names us, which the agreement forbids (outbound.attribution)"))
    unnamed = not names_us or audience.disguise is not None
    if attribution == "must" and unnamed and candidate.type != "marking-definition":
        reasons.append(refuse(ALLOWED_FIELDS, "does not name us, which the agreement demands (outbound.attribution)"))
    return tuple(reasons) or _ONLY_ALLOWED


def introduced(audience: Audience, facts: Facts) -> tuple[str | None, tuple[str, str] | None]:
    """Gives the consent label and the place that our introduction to an audience says; None for what it does not."""
    profile = profile_for(audience, facts)
    if profile is None or profile.introduction != "identity-set" or audience.agreement is None:
        return None, None
    return consent_of(audience.agreement.outbound), facts.our_place


_VALID = _passes(VALIDITY, "valid today, or without an end")


def validity(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Refuses partners what has ended by itself: an old finding says nothing of today."""
    ends = candidate.content.get("valid_until")
    if audience.inside or not isinstance(ends, str) or candidate.content.get("revoked") is True:
        return _VALID
    # The day alone is compared: it changes no decision within a day, and RFC 3339 sorts as text.
    if ends[:10] < facts.today.isoformat():
        return (refuse(VALIDITY, f"its validity ended on {ends[:10]}; seen again, it is valid again"),)
    return _VALID


_SCORED = _passes(MINIMUM_SCORE, "reached, or none")


def minimum_score(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Holds indicators under the audience's minimum score; withdrawals need none."""
    floor = facts.siem_floor if audience.kind is CollectionKind.SIEM else 0
    if audience.agreement is not None and audience.kind is not CollectionKind.EXERCISE:
        floor = audience.agreement.outbound.min_score
    if floor == 0 or candidate.type != "indicator" or candidate.content.get("revoked") is True:
        return _SCORED
    if candidate.score is None:
        return (hold(MINIMUM_SCORE, f"has no score; {audience.name} takes {floor} and above", "a score"),)
    if candidate.score < floor:
        without = " without what its own partner says" if candidate.own_words else ""
        text = f"score {candidate.score}{without}; {audience.name} takes {floor} and above"
        return (hold(MINIMUM_SCORE, text, "a higher score"),)
    if candidate.rests:
        text = f"score {candidate.score}, but withdrawn less than a day ago when it fell below {floor}"
        return (hold(MINIMUM_SCORE, text, "a day, or a new version of ours"),)
    return _SCORED


_TYPE_AGREED = _passes(OBJECT_TYPE, "a type that it takes")


def object_type(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Wants a type, and for indicators an indicator type, that the audience takes."""
    if candidate.goes_along:
        return _TYPE_AGREED
    outbound = audience.agreement.outbound if audience.agreement is not None else None
    types = outbound.object_types if outbound is not None else _INSIDE_TYPES.get(audience.kind, ())
    if candidate.type not in types:
        listed = ", ".join(types) or "nothing"
        return (refuse(OBJECT_TYPE, f"of a type that {audience.name} does not take; it takes {listed}"),)
    wanted = outbound.indicator_types if outbound is not None and candidate.type == "indicator" else None
    if wanted is not None and not any(one in wanted for one in _texts(candidate, "indicator_types")):
        return (refuse(OBJECT_TYPE, f"of no indicator type that the agreement names: {', '.join(wanted)}"),)
    return _TYPE_AGREED


_INSIDE_TYPES = {
    CollectionKind.SIEM: ("indicator", "observed-data"),
    CollectionKind.INTERNAL: ("indicator", "sighting", "report", "grouping", "opinion"),
}

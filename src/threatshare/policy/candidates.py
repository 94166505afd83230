"""What the gate is asked: which object, for whom, and what it may take as given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from threatshare.config import OwnAssets, Purpose
from threatshare.errors import BadValue
from threatshare.model import CollectionKind, Marking, Observable, Tlp
from threatshare.policy.agreements import Agreement
from threatshare.policy.disguise import Disguise
from threatshare.policy.exercises import ExerciseTerms
from threatshare.policy.markings import NOT_DEFINED, effective, marking_of
from threatshare.policy.never_share import NeverShare
from threatshare.policy.senders import NO_TIES, Ties, claimants, sole

if TYPE_CHECKING:
    from threatshare.policy.profile_bundles import Record
    from threatshare.policy.profile_terms import Profile

OWN = "own"
"""The source of what we made ourselves."""
INSIDE = frozenset({CollectionKind.INTERNAL, CollectionKind.SIEM})
"""Collections for our own organisation."""

_GO_ALONG = frozenset({"identity", "marking-definition"})
_INTRODUCTORY = frozenset({"location", "relationship"})

_read = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a collection is for."""

    name: str
    """The collection's alias."""
    kind: CollectionKind
    agreement: Agreement | None = None
    """With the partner, where it is for one."""
    exercise: ExerciseTerms | None = None
    """Of a collection for an exercise: its terms. The gate is asked once for each partner in it."""
    disguise: Disguise | None = None
    """Who we are for it, where it is not told who we are."""

    @property
    def inside(self) -> bool:
        """Whether it is a part of our own organisation."""
        return self.kind in INSIDE

    @property
    def ceiling(self) -> Tlp | None:
        """The most restrictive TLP that may reach it; None: nothing may.

        RED is for named recipients, so it reaches no collection of our own organisation. What stands
        in an inbox or an exchange was posted there; nothing is published into it.
        """
        if self.kind is CollectionKind.PARTNER:
            return self.agreement.outbound.ceiling if self.agreement is not None else None
        if self.kind is CollectionKind.EXERCISE and self.exercise is not None and self.agreement is not None:
            return min(self.agreement.outbound.ceiling, self.exercise.tlp)
        return Tlp.AMBER_STRICT if self.inside else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that may leave, with what is known of it here."""

    content: Mapping[str, Any]
    """The object as decoded JSON."""
    observables: tuple[Observable, ...]
    """What its pattern names; empty for a type without pattern."""
    marking: Marking
    """Its effective marking."""
    source: str = OWN
    """Who gave it to us: ``own``, or the feed or account that brought it."""
    origin: str | None = None
    """Who said it first, where that is known: an identity id or a lineage."""
    about: str | None = None
    """For a sighting: the source of what was sighted, ``own`` where that is ours."""
    score: int | None = None
    """Our score of the observable, without what raises it of the audience's own words; None: there is none."""
    approved: Mapping[str, str] = field(default_factory=dict)
    """By ``approvals.approval_key``: who released it although a rule holds it, as ``NAME on DATE: reason``."""
    references: frozenset[str] | None = None
    """For a report: ids, as the audience knows them, of objects that it holds; None: nobody has looked."""
    edition: str = ""
    """For a report: ``report_rules.edition_of`` the version that we wrote, whatever became of ids on the way."""
    own_words: bool = False
    """Whether the score would be higher with what the audience itself says."""
    rests: bool = False
    """Whether it was withdrawn less than a day ago because its score fell, and we have not said anew since."""

    @property
    def type(self) -> str:
        """The STIX type; empty where it has none."""
        return str(self.content.get("type", ""))

    @property
    def goes_along(self) -> bool:
        """Whether it carries no intelligence: a marking, or who made something; of ours also where we are."""
        return self.type in _GO_ALONG or (self.source == OWN and self.type in _INTRODUCTORY)


@dataclass(frozen=True)
class Facts:
    """What holds for every object of a run."""

    own: OwnAssets
    purpose: Purpose
    our_identity: str
    today: date
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    """All agreements, by partner: they say what may be passed on."""
    siem_floor: int = 0
    """Indicators under this score do not enter the SIEM collection."""
    never_share: NeverShare = field(default_factory=NeverShare)
    """What never goes to another organisation."""
    privacy_key: bytes = field(default=b"", repr=False)
    """The secret under which private values are hashed; without it reasons give no hashes."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """Every profile that can be read, by name."""
    certificates: Mapping[str, tuple[Record, ...]] = field(default_factory=dict)
    """By partner, the certificates with which we deliver to it, as far as their dates are known."""
    our_name: str = ""
    """Our organisation's name; empty: not told."""
    our_place: tuple[str, str] | None = None
    """Where we are: ISO 3166-1 country and ISO 3166-2 area."""

    ties: Ties = NO_TIES
    """Whose accounts are, beside what agreements name."""

    def partners_of(self, sender: str | None) -> frozenset[str]:
        """Gives the partners that a source or an identity is said to be of; more than one: nothing tells whose it is.

        Sources are what a feed brings, and what an account posts.
        """
        if sender is None or sender == OWN:
            return frozenset()
        known = self._claims.get(sender)
        if known is None:
            known = self._claims[sender] = claimants(sender, self._named, self.ties, account=False)
        return known

    def partners_of_account(self, account: str) -> frozenset[str]:
        """Gives the partners that an account is said to be of; more than one: nothing tells whose it is."""
        return claimants(account, self._named, self.ties, account=True)

    def agreement_with(self, sender: str) -> Agreement | None:
        """Gives the agreement with the one partner behind a source or an identity, by which it has rights."""
        return self.agreements.get(sole(self.partners_of(sender)) or "")

    def agreement_of(self, account: str) -> Agreement | None:
        """Gives the agreement with the one partner whose account it is, by which it has rights."""
        return self.agreements.get(sole(self.partners_of_account(account)) or "")

    def agreements_with(self, sender: str | None) -> list[Agreement]:
        """Gives every agreement that may bind what a source or an identity gave: what any forbids is forbidden."""
        return [self.agreements[one] for one in sorted(self.partners_of(sender)) if one in self.agreements]

    @cached_property
    def _named(self) -> tuple[tuple[str, frozenset[str]], ...]:
        return tuple((partner, one.senders) for partner, one in self.agreements.items())

    @cached_property
    def _claims(self) -> dict[str, frozenset[str]]:
        return {}


def identity_for(audience: Audience, facts: Facts) -> str:
    """Gives the id of the Identity by which an audience knows us."""
    return audience.disguise.identity if audience.disguise is not None else facts.our_identity


def profile_for(audience: Audience, facts: Facts) -> Profile | None:
    """Gives the profile that an audience's agreement names; None where it names none, or one that cannot be read."""
    name = audience.agreement.outbound.profile if audience.agreement is not None else None
    return facts.profiles.get(name) if name is not None else None


def candidate_of(
    body: bytes,
    observables: Sequence[Observable],
    default_tlp: Tlp | None = None,
    source: str = OWN,
    origin: str | None = None,
    about: str | None = None,
    score: int | None = None,
    approved: Mapping[str, str] | None = None,
    defined: Mapping[str, Marking] = NOT_DEFINED,
) -> Candidate:
    """Makes a candidate of an object's JSON text; raises BadValue where that is no object.

    ``default_tlp`` counts where the object carries no TLP, as its source's agreement or feed says;
    our own objects have none, since they are always marked. ``approved`` names by rule id the persons who released
    it, each as ``NAME on DATE: reason``. ``defined`` gives what markings mean according to the source
    (``store.definitions``), where their ids do not tell; our own objects bear no such markings.
    """
    try:
        content = _read(body)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadValue(f"no JSON object: {problem}") from problem
    marking = read_marking(content, defined)
    if default_tlp is not None:
        marking = effective(marking, default_tlp)
    return Candidate(content, tuple(observables), marking, source, origin, about, score, approved or {})


def read_marking(content: Mapping[str, Any], defined: Mapping[str, Marking] = NOT_DEFINED) -> Marking:
    """Gives the marking that an object carries, on itself and on its parts.

    What should be a list of ids and is not counts as one unknown marking.
    """
    refs = _texts(content.get("object_marking_refs", ()))
    granular = content.get("granular_markings", ())
    if not granular:
        return marking_of(refs, (), defined)
    parts = granular if isinstance(granular, list) else [granular]
    return marking_of(refs, _texts([_part(one) for one in parts if not _is_language(one)]), defined)


def _is_language(part: object) -> bool:
    """Tells whether a part carries a language instead of a marking (STIX 2.1 §7.2.3)."""
    return isinstance(part, dict) and "lang" in part and "marking_ref" not in part


def _part(part: object) -> object:
    return part.get("marking_ref") if isinstance(part, dict) else part


def _texts(value: object) -> Sequence[str]:
    if not isinstance(value, (list, tuple)):
        return ("unreadable",)
    return [one if isinstance(one, str) else "unreadable" for one in value]

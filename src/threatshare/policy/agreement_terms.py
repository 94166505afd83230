"""What an agreement can say: the shape of ``agreements/PARTNER.toml``, closed and typed.

Deny by default: a term that a file does not state has its most restrictive value, or none where the paper is
silent. The keys are those of the sharing rules §6.1; ``permitted_actions``, ``encrypt_in_transit``,
``affected_party_notifications``, ``unmodified_resale`` and the attributions have the values of FIRST's IEP 2.0
(https://www.first.org/iep/iep_framework_2_0), ``encrypt_at_rest`` and ``commercial_use`` those of IEP 1.0,
``reliability`` is the Admiralty scale's.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

from threatshare.config import Percent, Positive, Reliability, TlpLabel
from threatshare.model import Tlp
from threatshare.stix.ais import Consent

Name = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
ProfileName = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,40}$")]
Days = Annotated[int, Meta(ge=1, le=36_500)]

May = Literal["may", "must-not"]
Must = Literal["must", "may"]
Attribution = Literal["may", "must", "must-not"]
Action = Literal[
    "none",
    "contact-for-instruction",
    "internally-visible-actions",
    "externally-visible-indirect-actions",
    "externally-visible-direct-actions",
]
ObjectType = Literal["indicator", "sighting", "report", "grouping", "opinion"]
_TLP = {tlp.label: tlp for tlp in Tlp}


class Outbound(Struct, frozen=True, forbid_unknown_fields=True):
    """``[outbound]``: what may go to the partner."""

    max_tlp: TlpLabel
    """The ceiling: nothing marked more restrictively leaves."""
    object_types: tuple[ObjectType, ...] = ("indicator",)
    """STIX types; our identity and TLP definitions go along with them."""
    indicator_types: tuple[str, ...] | None = None
    """STIX indicator types, at least one of which an indicator must have; without it any."""
    min_score: Percent = 0
    """Indicators with a lower score of ours wait."""
    collections: tuple[str, ...] | None = None
    """Aliases of the collections that it covers; without it all of this partner's."""
    attribution: Attribution = "may"
    """Whether objects name us; under ``must-not`` they come from another identity, with ids and times of its own."""
    exercise_only: bool = False
    """Whether only nodes with the purpose ``exercise`` may send anything."""
    approval: Literal["auto", "human"] = "auto"
    """Under ``human`` every object waits until a person lets it go (``review approve``)."""
    max_age_days: Days | None = None
    """Nothing leaves or stays with the partner that was last changed more days ago; without it of any age."""
    anonymise_as: Text | None = None
    """The name under which we appear where we are not to be named; without it ``Anonymous organisation``."""
    consent: Consent | None = None
    """How far AIS may show who we are, as the label of our identity where the profile wants one; under
    ``ais-consent-none`` the partner is not told who we are, as under ``attribution = "must-not"``."""
    profile: ProfileName | None = None
    """What the partner wants of a submission: the profile to which everything that leaves keeps (``profile list``)."""

    @property
    def ceiling(self) -> Tlp:
        """``max_tlp`` as a value that compares."""
        return _TLP[self.max_tlp]


class Inbound(Struct, frozen=True, forbid_unknown_fields=True):
    """``[inbound]``: what comes from the partner, and what we may do with it."""

    default_tlp: TlpLabel = "amber+strict"
    """Marking of objects that carry none."""
    reliability: Reliability = "C"
    """Admiralty scale, how far its word counts in a score: A reliable to E unreliable, F cannot be judged."""
    sources: tuple[str, ...] = ()
    """Feeds and accounts that bring its intelligence, and its STIX identity ids; its name always counts. Each belongs
    to one agreement."""
    onward_max_tlp: Literal["clear", "green"] | None = None
    """How strictly marked what came from it may be and still go on to other partners; without it nothing does."""
    permitted_actions: Action = "internally-visible-actions"
    """What may be done with it, in the words of FIRST's IEP 2.0; what is not visible outside is no blocking."""
    may_block: bool = False
    """Whether its values may go into blocking lists."""
    retention_days: Positive | None = None
    """How long what came from it may be kept; without it not agreed. For the record."""
    onward_partners: tuple[Name, ...] | None = None
    """The partners to whom what came from it may go on; without it any, as far as ``onward_max_tlp`` allows."""
    onward_attribution: Attribution = "may"
    """Whether what goes on names it as the creator; under ``must-not`` nothing goes on, since its ids would name it."""
    pap_default: Literal["clear", "green", "amber", "red"] | None = None
    """PAP marking of objects that carry none; without it none is assumed. Amber and red keep off blocking lists."""
    on_expiry: Literal["freeze", "purge"] = "freeze"
    """What happens to what came from it when the agreement ends: kept unused, or deleted; for the record."""
    commercial_use: May = "must-not"
    """Whether it may be used in products or services that are sold (IEP 1.0); for the record."""
    unmodified_resale: May = "must-not"
    """Whether it may be sold on as it came; for the record."""
    affected_party_notifications: May = "must-not"
    """Whether we may tell those whom it shows to be affected; for the record."""
    encrypt_in_transit: Must = "must"
    """Whether it has to be encrypted where it is sent on; for the record."""
    encrypt_at_rest: Must = "must"
    """Whether it has to be encrypted where it is stored (IEP 1.0); for the record."""


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[contacts]]``: whom to call, and when that was last tried."""

    role: Literal["operational", "duty24x7", "legal", "privacy", "technical", "exercise"]
    """What for."""
    name: Text
    """Person or desk."""
    channel: Text
    """Address, number or room."""
    verified_on: date | None = None
    """When somebody last tried it; without it, it counts as overdue."""
    verify_every_days: Positive = 180
    """After how many days it is overdue again; warned of ahead."""
    pgp: Text | None = None
    """Fingerprint of its OpenPGP key, or where the key is."""


class LegalBasis(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[legal_basis]]``: what allows the exchange, with its own dates; where there is one, one must be in force."""

    name: Text
    """The law, contract or consent."""
    begins: date = msgspec.field(name="from")
    """Its first day."""
    ends: date | None = msgspec.field(name="until", default=None)
    """Its last day; without it open-ended."""

    def covers(self, today: date) -> bool:
        """Tells whether it is in force on a day."""
        return self.begins <= today and (self.ends is None or today <= self.ends)


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """``[event]``: cooperation for a time only, for an incident or an event; nothing leaves outside it."""

    name: Text | None = None
    """What it is about."""
    start: date | None = None
    """Its first day, not before the agreement's; without it the agreement's."""
    end: date | None = None
    """Its last day, not after the agreement's; without it the agreement's."""


class Breach(Struct, frozen=True, forbid_unknown_fields=True):
    """``[breach]``: what is owed where what was shared got out, or was used against the agreement; for the record."""

    notify_within_hours: Positive | None = None
    """Hours in which the other side is told; without it not agreed."""
    contact: Text | None = None
    """Whom to tell there."""


class Exit(Struct, frozen=True, forbid_unknown_fields=True):
    """``[exit]``: what is owed when the agreement ends; for the record."""

    destroy_within_days: Positive | None = None
    """Days in which what came from the partner is destroyed; without it not agreed."""
    certificate_required: bool = False
    """Whether the destruction is confirmed in writing."""


class Feedback(Struct, frozen=True, forbid_unknown_fields=True):
    """``[feedback]``: what we owe the partner on what it gave us; for the record."""

    fp_sla_hours: Positive | None = None
    """Hours in which a false positive is answered; without it not agreed."""
    sightings_back: bool = False
    """Whether it is told what of its intelligence we have seen."""


class Checkin(Struct, frozen=True, forbid_unknown_fields=True):
    """``[checkin]``: the regular exchange on how it goes; warned of, and changes no decision."""

    every_days: Days | None = None
    """Days from one check-in to the next, counted from the last that was recorded; without it none is agreed."""
    next_exercise: date | None = None
    """Day of the next joint exercise; for the record."""


class IepMetadata(Struct, frozen=True, forbid_unknown_fields=True):
    """``[iep]``: how the agreement is called as a policy of FIRST's IEP 2.0; for the record."""

    id: Annotated[str, Meta(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")] | None = None
    """UUID of the policy; without it one that follows from the partner and the terms."""
    name: Text | None = None
    """Name of the policy; without it one made of the partner's name."""
    description: Annotated[str, Meta(min_length=1, max_length=5_000)] | None = None
    """What it is for."""
    start_date: date | None = None
    """First day of the policy; without it the agreement's."""
    external_references: tuple[Text, ...] = ()
    """Addresses of what it refers to."""


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """``agreements/PARTNER.toml``: one agreement with one partner."""

    partner: Name
    """The partner's name; the file is named after it."""
    effective_from: date
    """The first day."""
    expires_on: date
    """The last day; from the next on nothing leaves."""
    outbound: Outbound
    signed_on: date | None = None
    """Day of signature; without it the file is a draft, under which nothing leaves."""
    kind: Literal["mou", "nda", "tou", "code", "interconnection"] = "mou"
    """Memorandum of understanding, non-disclosure agreement, terms of use, code of conduct or interconnection
    agreement; for the record."""
    version: Positive = 1
    """Raised with every change that both sides agreed on; the ledger names it with everything that leaves."""
    review_due: date | None = None
    """When it is to be looked at again; warned of 60, 30 and 7 days ahead, as are all ends."""
    owner: Text | None = None
    """Who looks after it here; for the record."""
    signatories: tuple[Text, ...] = ()
    """Who signed; for the record."""
    document_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the signed document; for the record."""
    inbound: Inbound = Inbound()
    contacts: tuple[Contact, ...] = ()
    legal_basis: tuple[LegalBasis, ...] = ()
    mou_id: Text | None = None
    """What the signed paper is called, e.g. its file number; for the record."""
    event: Event = Event()
    breach: Breach = Breach()
    exit: Exit = Exit()
    feedback: Feedback = Feedback()
    iep: IepMetadata = IepMetadata()
    partner_type: Literal["federal", "state", "isac", "isao", "peer", "vendor", "internal", "other"] = "peer"
    """What the partner is: a federal or state agency, an ISAC or ISAO, a peer, a vendor, a part of our own
    organisation; for the record."""
    checkin: Checkin = Checkin()

    @property
    def senders(self) -> frozenset[str]:
        """Every name under which the partner's intelligence arrives here."""
        return frozenset((self.partner, *self.inbound.sources))


def stated(terms: Struct) -> dict[str, object]:
    """Gives what terms say beyond their defaults, by the names of the file, as dates, texts, numbers, lists and tables.

    A key that a later version of this program adds does not appear in what was written before it.
    """
    found: dict[str, object] = {}
    for field in _fields(type(terms)):
        value = getattr(terms, field.name)
        if field.required or value != field.default:
            found[field.encode_name] = _plain(value)
    return found


@cache
def _fields(shape: type[Struct]) -> tuple[FieldInfo, ...]:
    return fields(shape)


def _plain(value: object) -> object:
    if isinstance(value, Struct):
        return stated(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value

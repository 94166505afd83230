"""Says in plain words what an agreement means, for those who signed it, and what differs between two versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import msgspec
from msgspec import Struct

from threatshare.model import Tlp
from threatshare.policy.agreement_terms import Agreement, Inbound, Outbound
from threatshare.policy.agreements import digest_of, in_force_until, standing, warnings
from threatshare.policy.disguise import ANONYMOUS, wants_disguise

Effect = Literal["narrower", "wider", "other"]

_KINDS = {
    "mou": "memorandum of understanding",
    "nda": "non-disclosure agreement",
    "tou": "terms of use",
    "code": "code of conduct",
    "interconnection": "interconnection agreement",
}
_TYPES = {
    "federal": "a federal agency",
    "state": "a state or local agency",
    "isac": "an ISAC",
    "isao": "an ISAO",
    "peer": "a peer",
    "vendor": "a vendor",
    "internal": "a part of our own organisation",
    "other": "of another type",
}
_ACTION_WORDS = {
    "none": "We may not act on it.",
    "contact-for-instruction": "Before we act on it we ask the partner.",
    "internally-visible-actions": "We may act on it inside our own networks, unseen from outside.",
    "externally-visible-indirect-actions": "We may act on it, also so that it shows outside, but not directly.",
    "externally-visible-direct-actions": "We may act on it, also directly and so that it shows outside.",
}
"""By IEP 2.0's permitted actions."""
_ONWARD_NAME = {
    "may": "What goes on may name the partner.",
    "must": "What goes on names the partner.",
    "must-not": "Nothing goes on after all, since it would name the partner, which it forbids.",
}
_MAY = {"may": "allowed", "must-not": "not allowed"}
_MUST = {"must": "required", "may": "not required"}
TLP_ORDER = [tlp.label for tlp in Tlp]


@dataclass(frozen=True, slots=True)
class Section:
    """Some sentences under a heading."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One term that differs between two versions of an agreement."""

    key: str
    """As the file has it, e.g. ``outbound.max_tlp``."""
    before: object
    """What was said, its default where the file did not; None: nothing."""
    after: object
    effect: Effect
    """Whether less or more may leave or be done after it, as far as the key alone tells."""

    @property
    def words(self) -> str:
        """The change as one line."""
        effect = "" if self.effect == "other" else f" ({self.effect})"
        return f"{self.key}: {_shown(self.before)} -> {_shown(self.after)}{effect}"


def in_words(agreement: Agreement, today: date, known: Agreement | None = None) -> list[Section]:
    """Gives what an agreement says on a day: whether it is in force, what may leave and what not, whom to call.

    ``known`` is the same with contacts as they were reached since (``policy.appointments``).
    """
    known = known or agreement
    sections = [
        Section("The agreement", tuple(_paper(agreement))),
        Section("In force", tuple(_force(agreement, today))),
        Section("What may leave", tuple(_may_leave(agreement.outbound, agreement.partner))),
        Section("What may not leave", tuple(_may_not_leave(agreement.outbound))),
        Section("What comes from it", tuple(_comes_in(agreement.inbound))),
        Section("What is owed", tuple(_owed(agreement))),
        Section("Whom to call", tuple(_contacts(known))),
        Section("To see to", tuple(warnings(known, today))),
    ]
    return [one for one in sections if one.lines]


def changes(before: Agreement, after: Agreement) -> list[Change]:
    """Gives every term that differs, in the order of the file's keys; values are those of JSON."""
    return [
        Change(key, _json(old), _json(new), _effect(key, old, new))
        for key in keys_of(before)
        for old, new in ((value_at(before, key), value_at(after, key)),)
        if old != new
    ]


def _paper(agreement: Agreement) -> Iterator[str]:
    named = f" {agreement.mou_id}" if agreement.mou_id else ""
    yield f"{_KINDS[agreement.kind].capitalize()}{named} with {agreement.partner}, version {agreement.version}."
    if agreement.signed_on is not None:
        by = f" by {'; '.join(agreement.signatories)}" if agreement.signatories else ""
        yield f"Signed on {agreement.signed_on}{by}."
    if agreement.document_sha256 is not None:
        yield f"The signed document's SHA-256 is {agreement.document_sha256}."
    yield f"The partner is {_TYPES[agreement.partner_type]}."
    if agreement.owner is not None:
        yield f"Looked after here by {agreement.owner}."
    yield f"Digest of these terms: {digest_of(agreement)}."


def _force(agreement: Agreement, today: date) -> Iterator[str]:
    yield from (f"Not in force: {reason.text}." for reason in standing(agreement, today))
    until = in_force_until(agreement, today)
    if until is not None:
        yield f"In force until {until}."
    yield f"Agreed from {agreement.effective_from} to {agreement.expires_on}, both days included."
    event = agreement.event
    if event.start is not None or event.end is not None:
        start, end = event.start or agreement.effective_from, event.end or agreement.expires_on
        yield f"Only for {event.name or 'a time'}, from {start} to {end}."
    if agreement.review_due is not None:
        yield f"To be reviewed by {agreement.review_due}."
    for basis in agreement.legal_basis:
        ends = f"to {basis.ends}" if basis.ends is not None else "with no end"
        yield f"Rests on {basis.name}, from {basis.begins} {ends}."
    if not agreement.legal_basis:
        yield "Names no legal basis."


def _may_leave(outbound: Outbound, partner: str) -> Iterator[str]:
    if not outbound.object_types:
        yield "Nothing: no type of object is agreed."
        return
    types = " and ".join(f"{one}s" for one in outbound.object_types)
    yield f"Our {types} marked TLP:{outbound.max_tlp.upper()} or less restrictively."
    if outbound.indicator_types is not None:
        yield f"Of indicators only those of a type among: {_listed(outbound.indicator_types)}."
    if outbound.min_score:
        yield f"Of indicators only those with a score of {outbound.min_score} or more, of 100."
    if outbound.max_age_days is not None:
        yield f"Only what was changed in the last {outbound.max_age_days} days; older is withdrawn."
    where = "every collection" if outbound.collections is None else f"the collections {_listed(outbound.collections)}"
    yield f"Through {where} of {partner}'s."
    if outbound.approval == "human":
        yield "Each object only after a person here has approved it by name."
    if outbound.profile is not None:
        yield f"Only what keeps to the profile {outbound.profile} (`profile show {outbound.profile}`)."
    if outbound.attribution == "must":
        yield "Objects name us."
    if outbound.attribution == "may" and not wants_disguise(outbound):
        yield "Objects may name us."


def _may_not_leave(outbound: Outbound) -> Iterator[str]:
    yield f"Anything marked above TLP:{outbound.max_tlp.upper()}, or with a marking that cannot be read."
    if wants_disguise(outbound):
        yield f"Anything that names us; we appear as {outbound.anonymise_as or ANONYMOUS}."
    if outbound.exercise_only:
        yield "Live data: the agreement is for exercises only."
    yield "What others gave us, but for what the agreements with them let go on at TLP:CLEAR or GREEN."
    yield "Own assets, private data, known benign and reserved values, and what never-share.toml names."
    if outbound.consent is not None:
        yield f"Consent to AIS: {outbound.consent}."


def _comes_in(inbound: Inbound) -> Iterator[str]:
    by = f"; it arrives by {_listed(inbound.sources)}" if inbound.sources else ""
    yield f"What carries no marking counts as TLP:{inbound.default_tlp.upper()}{by}."
    yield _ACTION_WORDS[inbound.permitted_actions]
    yield f"Its values may {'' if inbound.may_block else 'not '}go into blocking lists."
    if inbound.pap_default is not None:
        yield f"What carries no PAP marking counts as PAP:{inbound.pap_default.upper()}."
    if inbound.onward_max_tlp is None:
        yield "Nothing of it goes on to other partners."
    else:
        to = "any partner" if inbound.onward_partners is None else _listed(inbound.onward_partners) or "nobody"
        yield f"Up to TLP:{inbound.onward_max_tlp.upper()} it may go on to {to}."
        yield _ONWARD_NAME[inbound.onward_attribution]
    if inbound.retention_days is None:
        yield "How long it may be kept is not agreed."
    else:
        yield f"It may be kept for {inbound.retention_days} days."
    yield f"When the agreement ends it is {'deleted' if inbound.on_expiry == 'purge' else 'kept but not used'}."
    yield f"Commercial use: {_MAY[inbound.commercial_use]}; resale as it came: {_MAY[inbound.unmodified_resale]}."
    yield f"Telling those whom it shows to be affected: {_MAY[inbound.affected_party_notifications]}."
    yield (
        f"Encryption where it is sent on: {_MUST[inbound.encrypt_in_transit]};"
        f" where it is stored: {_MUST[inbound.encrypt_at_rest]}."
    )


def _owed(agreement: Agreement) -> Iterator[str]:
    breach, leaving, feedback = agreement.breach, agreement.exit, agreement.feedback
    if breach.notify_within_hours is not None or breach.contact is not None:
        whom = f" to {breach.contact}" if breach.contact is not None else ""
        hours = f" within {breach.notify_within_hours} hours" if breach.notify_within_hours is not None else ""
        yield f"A breach is told{whom}{hours}."
    if leaving.destroy_within_days is not None:
        yield f"After its end what came from the partner is destroyed within {leaving.destroy_within_days} days."
    if leaving.certificate_required:
        yield "The destruction is confirmed in writing."
    if feedback.fp_sla_hours is not None:
        yield f"False positives are answered within {feedback.fp_sla_hours} hours."
    if feedback.sightings_back:
        yield "We tell what of its intelligence we have seen."
    if agreement.checkin.every_days is not None:
        yield f"Both sides check in every {agreement.checkin.every_days} days."
    if agreement.checkin.next_exercise is not None:
        yield f"The next joint exercise is on {agreement.checkin.next_exercise}."


def _contacts(agreement: Agreement) -> Iterator[str]:
    for one in agreement.contacts:
        tried = f"verified on {one.verified_on}" if one.verified_on is not None else "never verified"
        key = f"; OpenPGP {one.pgp}" if one.pgp else ""
        yield f"{one.role}: {one.name}, {one.channel} ({tried}{key})"
    if not agreement.contacts:
        yield "Nobody is named."


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)


def keys_of(terms: Struct, prefix: str = "") -> Iterator[str]:
    """Yields every key there is, dotted; a list of tables is one."""
    for name in terms.__struct_fields__:
        value = getattr(terms, name)
        if isinstance(value, Struct):
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _json(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) + "}"
    return str(value)


def value_at(agreement: Agreement, key: str) -> Any:
    """Gives what stands at a dotted key."""
    value: Any = agreement
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _effect(key: str, old: Any, new: Any) -> Effect:
    """Tells whether a term got narrower or wider, for terms of which there is an order."""
    measure = _ORDERS.get(key)
    if measure is not None:
        less, more = measure(old), measure(new)
        return "other" if less == more else "narrower" if more < less else "wider"
    return _of_sets(old, new) if key in _SETS else "other"


def _of_sets(old: Sequence[str] | None, new: Sequence[str] | None) -> Effect:
    if new is None or (old is not None and set(old) < set(new)):
        return "wider"
    return "narrower" if old is None or set(new) < set(old) else "other"


_LATEST = date.max
_ORDERS: Mapping[str, Any] = {
    "effective_from": lambda day: -day.toordinal(),
    "expires_on": lambda day: day,
    "signed_on": lambda day: day is not None,
    "outbound.max_tlp": TLP_ORDER.index,
    "outbound.min_score": lambda score: -score,
    "outbound.exercise_only": lambda only: not only,
    "outbound.approval": lambda by: by == "auto",
    "outbound.max_age_days": lambda days: float("inf") if days is None else days,
    "inbound.default_tlp": lambda label: -TLP_ORDER.index(label),
    "inbound.onward_max_tlp": lambda label: -1 if label is None else TLP_ORDER.index(label),
    "inbound.permitted_actions": list(_ACTION_WORDS).index,
    "inbound.may_block": bool,
    "inbound.retention_days": lambda days: float("inf") if days is None else days,
    "event.start": lambda day: -day.toordinal() if day is not None else 0,
    "event.end": lambda day: day or _LATEST,
}
"""By key a number that grows with what may leave or be done."""
_SETS = frozenset(
    {"outbound.object_types", "outbound.indicator_types", "outbound.collections", "inbound.onward_partners"}
)
"""Keys with a list of what is allowed; None allows all."""

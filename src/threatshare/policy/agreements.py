"""Agreements with partners (MOUs) as data: ``agreements/PARTNER.toml``, closed and typed.

Deny by default: what a file does not say is not allowed, and without a file that is signed, in force
and has a legal basis nothing leaves for a partner. The keys are those of the sharing rules §6.1;
``permitted_actions`` has the values of FIRST's IEP 2.0 and ``reliability`` is the Admiralty scale's.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from threatshare.config import AGREEMENTS_DIR, Percent, Positive, Reliability, TlpLabel, load_toml
from threatshare.errors import ConfigurationError
from threatshare.model import Reason, Tlp, Verdict

RULE = "agreement-in-force"

Name = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Text = Annotated[str, Meta(min_length=1, max_length=500)]

WARN_DAYS = (60, 30, 7)
"""Days before an end at which a warning begins, and gets more urgent."""


_TLP = {tlp.label: tlp for tlp in Tlp}


class Outbound(Struct, frozen=True, forbid_unknown_fields=True):
    """``[outbound]``: what may go to the partner."""

    max_tlp: TlpLabel
    """The ceiling: nothing marked more restrictively leaves."""
    object_types: tuple[Literal["indicator", "sighting"], ...] = ("indicator",)
    """STIX types; our identity and TLP definitions go along with them."""
    indicator_types: tuple[str, ...] | None = None
    """STIX indicator types, at least one of which an indicator must have; None: any."""
    min_score: Percent = 0
    """Indicators under this score wait."""
    collections: tuple[str, ...] | None = None
    """Aliases of the collections that it covers; None: all of this partner's."""
    attribution: Literal["may", "must", "must-not"] = "may"
    """Whether objects may name us; under ``must-not`` nothing leaves that does."""
    exercise_only: bool = False
    """Whether only nodes with the purpose ``exercise`` may send anything."""

    @property
    def ceiling(self) -> Tlp:
        """``max_tlp`` as a value that compares."""
        return _TLP[self.max_tlp]


class Inbound(Struct, frozen=True, forbid_unknown_fields=True):
    """``[inbound]``: what comes from the partner, and what we may do with it."""

    default_tlp: TlpLabel = "amber+strict"
    """Marking of objects that carry none."""
    reliability: Reliability = "C"
    sources: tuple[str, ...] = ()
    """Names of feeds and accounts that bring its intelligence, and its STIX identity ids; its own name always."""
    onward_max_tlp: Literal["clear", "green"] | None = None
    """How restrictively marked what came from it may be and still go on to other partners; None: nothing goes on."""
    permitted_actions: Literal[
        "none",
        "contact-for-instruction",
        "internally-visible-actions",
        "externally-visible-indirect-actions",
        "externally-visible-direct-actions",
    ] = "internally-visible-actions"
    may_block: bool = False
    """Whether its values may go into blocking lists."""
    retention_days: Positive | None = None
    """How long what came from it may be kept; None: not agreed."""


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[contacts]]``: whom to call, and when that was last tried."""

    role: Literal["operational", "duty24x7", "legal", "privacy", "technical", "exercise"]
    name: Text
    channel: Text
    """Address, number or room."""
    verified_on: date | None = None
    verify_every_days: Positive = 180


class LegalBasis(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[legal_basis]]``: what allows the exchange, with its own dates; one in force is enough."""

    name: Text
    begins: date = msgspec.field(name="from")
    ends: date | None = msgspec.field(name="until", default=None)
    """Last day; None: open-ended."""

    def covers(self, today: date) -> bool:
        """Tells whether it is in force on a day."""
        return self.begins <= today and (self.ends is None or today <= self.ends)


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """``agreements/PARTNER.toml``: one agreement with one partner."""

    partner: Name
    """The partner's name; the file is named after it."""
    effective_from: date
    expires_on: date
    """Last day."""
    outbound: Outbound
    signed_on: date | None = None
    """None: a draft, under which nothing leaves."""
    kind: Literal["mou", "nda", "tou", "code", "interconnection"] = "mou"
    version: Positive = 1
    review_due: date | None = None
    owner: Text | None = None
    """Who looks after it here."""
    signatories: tuple[Text, ...] = ()
    document_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Of the signed document."""
    inbound: Inbound = Inbound()
    contacts: tuple[Contact, ...] = ()
    legal_basis: tuple[LegalBasis, ...] = ()

    @property
    def senders(self) -> frozenset[str]:
        """Every name under which the partner's intelligence arrives here."""
        return frozenset((self.partner, *self.inbound.sources))


def load_agreements(node_dir: Path) -> dict[str, Agreement]:
    """Reads every ``agreements/PARTNER.toml``, by partner; raises ConfigurationError at the first that is wrong."""
    read = {file.stem: load_agreement(file) for file in _files(node_dir)}
    for problem in _shared_senders(read, node_dir):
        raise ConfigurationError(problem)
    return read


def load_agreement(file: Path) -> Agreement:
    """Reads one agreement; raises ConfigurationError naming file, key, value and what was wanted."""
    agreement = load_toml(file, Agreement)
    if agreement.partner != file.stem:
        raise ConfigurationError(
            f"{file}: partner is {agreement.partner!r}, wanted {file.stem!r}: the file is named after the partner"
        )
    for key, begins, ends in _periods(agreement):
        if ends < begins:
            raise ConfigurationError(f"{file}: {key} is {ends}, which lies before its beginning {begins}")
    return agreement


def check(node_dir: Path) -> list[str]:
    """Gives what is wrong with every agreement file, a message each; empty where all can be used."""
    wrong: list[str] = []
    read: dict[str, Agreement] = {}
    for file in _files(node_dir):
        try:
            read[file.stem] = load_agreement(file)
        except ConfigurationError as problem:
            wrong.append(str(problem))
    return wrong + _shared_senders(read, node_dir)


def standing(agreement: Agreement | None, today: date) -> list[Reason]:
    """Gives every reason for which nothing may leave under an agreement on a day; empty where it is in force."""
    if agreement is None:
        return [_refusal("there is no agreement with this partner; `threatshare agreement add` writes one")]
    name = f"agreement with {agreement.partner}"
    reasons = []
    if agreement.signed_on is None:
        reasons.append(_refusal(f"{name} is not signed: it has no signed_on"))
    elif agreement.signed_on > today:
        reasons.append(_refusal(f"{name} is not signed until {agreement.signed_on}"))
    if agreement.effective_from > today:
        reasons.append(_refusal(f"{name} is in force only from {agreement.effective_from}"))
    if agreement.expires_on < today:
        reasons.append(_refusal(f"{name} expired on {agreement.expires_on}"))
    if agreement.legal_basis and not any(basis.covers(today) for basis in agreement.legal_basis):
        names = ", ".join(basis.name for basis in agreement.legal_basis)
        reasons.append(_refusal(f"{name} has no legal basis in force: {names}"))
    return reasons


def warnings(agreement: Agreement, today: date) -> list[str]:
    """Gives what a partner manager should see to: ends and reviews within 60, 30 and 7 days, contacts not verified."""
    name = f"agreement with {agreement.partner}"
    found = _ending(f"{name} expires", agreement.expires_on, today)
    if agreement.review_due is not None:
        found += _ending(f"review of the {name} is due", agreement.review_due, today)
    for basis in agreement.legal_basis:
        if basis.ends is not None:
            found += _ending(f"{name}: legal basis {basis.name} ends", basis.ends, today)
    for contact in agreement.contacts:
        found += _unverified(f"{name}: {contact.role} contact {contact.name}", contact, today)
    return found


def digest(agreement: Agreement) -> bytes:
    """Gives the SHA-256 of what an agreement says, whatever the order, spacing and comments of its file."""
    return sha256(msgspec.json.encode(agreement, order="deterministic")).digest()


def new_agreement_text(
    partner: str,
    max_tlp: str,
    until: date,
    begins: date,
    signed: date | None = None,
    object_types: Sequence[str] = ("indicator",),
    min_score: int = 0,
    reliability: str = "C",
    sources: Sequence[str] = (),
) -> str:
    """Writes the file of a new agreement, with what each key means; raises ConfigurationError for impossible values.

    Without ``signed`` it is a draft, under which nothing leaves.
    """
    text = files("threatshare.policy").joinpath("new-agreement.txt").read_text("utf-8")
    text = text.format(
        partner=json.dumps(partner),
        signed=f"signed_on = {signed}" if signed else "# signed_on = YYYY-MM-DD   without it nothing leaves",
        begins=begins,
        until=until,
        max_tlp=json.dumps(max_tlp),
        object_types=json.dumps(list(object_types)),
        min_score=min_score,
        reliability=json.dumps(reliability),
        sources=json.dumps(list(sources)),
    )
    try:
        msgspec.convert(tomllib.loads(text), Agreement)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as problem:
        raise ConfigurationError(f"agreement with {partner!r}: {problem}") from problem
    if until < begins:
        raise ConfigurationError(f"agreement with {partner!r}: it would end on {until}, before it begins on {begins}")
    return text


def _files(node_dir: Path) -> list[Path]:
    return sorted((node_dir / AGREEMENTS_DIR).glob("*.toml"))


def _shared_senders(read: dict[str, Agreement], node_dir: Path) -> list[str]:
    """Says which feeds, accounts and identities two agreements claim: whose rights held for them would be chance."""
    wrong = []
    owners: dict[str, str] = {}
    for partner, agreement in read.items():
        for sender in sorted(agreement.senders):
            if sender in owners:
                file = node_dir / AGREEMENTS_DIR / f"{partner}.toml"
                wrong.append(
                    f"{file}: inbound.sources: {sender!r} is {owners[sender]}'s already, wanted one partner each"
                )
            owners.setdefault(sender, partner)
    return wrong


def _periods(agreement: Agreement) -> list[tuple[str, date, date]]:
    periods = [("expires_on", agreement.effective_from, agreement.expires_on)]
    for number, basis in enumerate(agreement.legal_basis):
        if basis.ends is not None:
            periods.append((f"legal_basis[{number}].until", basis.begins, basis.ends))
    return periods


def _refusal(text: str) -> Reason:
    return Reason(RULE, Verdict.REFUSE, text)


def _ending(what: str, ends: date, today: date) -> list[str]:
    left = (ends - today).days
    if left < 0:
        return [f"{what}: {ends}, {-left} days ago"]
    limit = next((days for days in sorted(WARN_DAYS) if left <= days), None)
    return [] if limit is None else [f"{what} within {limit} days: {ends}, in {left} days"]


def _unverified(what: str, contact: Contact, today: date) -> list[str]:
    if contact.verified_on is None:
        return [f"{what} was never verified"]
    due = contact.verified_on + timedelta(days=contact.verify_every_days)
    return [f"{what} was last verified on {contact.verified_on}, due on {due}"] if due < today else []

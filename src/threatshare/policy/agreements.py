"""Agreements with partners (MOUs) as data: whether one is in force, what is due, and its digest.

Deny by default: what a file does not say is not allowed, and without a file that is signed, in force
and has a legal basis nothing leaves for a partner. What a file can say is in ``agreement_terms``, how it is
read in ``agreement_files``, how it is written in ``agreement_texts``; all are imported from here.
"""

from __future__ import annotations

from datetime import date, timedelta
from hashlib import sha256

import msgspec

from threatshare.model import Reason, Verdict
from threatshare.policy.agreement_files import (
    check,
    load_agreement,
    load_agreements,
    parse_agreement,
    read_agreements,
)
from threatshare.policy.agreement_terms import (
    Agreement,
    Breach,
    Checkin,
    Contact,
    Event,
    Exit,
    Feedback,
    IepMetadata,
    Inbound,
    LegalBasis,
    Outbound,
    stated,
)
from threatshare.policy.agreement_texts import agreement_toml, new_agreement_text

__all__ = [
    "RULE",
    "WARN_DAYS",
    "Agreement",
    "Breach",
    "Checkin",
    "Contact",
    "Event",
    "Exit",
    "Feedback",
    "IepMetadata",
    "Inbound",
    "LegalBasis",
    "Outbound",
    "agreement_toml",
    "check",
    "digest",
    "digest_of",
    "in_force_until",
    "load_agreement",
    "load_agreements",
    "new_agreement_text",
    "parse_agreement",
    "read_agreements",
    "standing",
    "stated",
    "warnings",
]

RULE = "agreement-in-force"

WARN_DAYS = (60, 30, 7)
"""Days before an end at which a warning begins, and gets more urgent."""

_NO_ACTION = frozenset({"none", "contact-for-instruction"})


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
    event = agreement.event
    if event.start is not None and event.start > today:
        reasons.append(_refusal(f"{name} is for {_called(event)} only, which begins on {event.start}"))
    if event.end is not None and event.end < today:
        reasons.append(_refusal(f"{name} is for {_called(event)} only, which ended on {event.end}"))
    return reasons


def in_force_until(agreement: Agreement, today: date) -> date | None:
    """Gives the last day until which it stays in force from a day on, if nobody changes it; None where it is not.

    That is the end of the agreement, of its event, or of the last of its legal bases that follow without a gap.
    """
    if standing(agreement, today):
        return None
    last = min(agreement.expires_on, agreement.event.end or agreement.expires_on)
    day = today
    while agreement.legal_basis and day <= last:
        covered = [basis.ends or last for basis in agreement.legal_basis if basis.covers(day)]
        if not covered:
            return day - timedelta(days=1)
        if max(covered) >= last:
            break
        day = max(covered) + timedelta(days=1)
    return last


def warnings(agreement: Agreement, today: date) -> list[str]:
    """Gives what a partner manager should see to: ends, reviews and verifications 60, 30 and 7 days ahead or past.

    Also where the file allows blocking that its own terms of action forbid.
    """
    name = f"agreement with {agreement.partner}"
    found = _ending(f"{name} expires", agreement.expires_on, today)
    if agreement.review_due is not None:
        found += _ending(f"review of the {name} is due", agreement.review_due, today)
    for basis in agreement.legal_basis:
        if basis.ends is not None:
            found += _ending(f"{name}: legal basis {basis.name} ends", basis.ends, today)
    if agreement.event.end is not None:
        found += _ending(f"{name}: {_called(agreement.event)} ends", agreement.event.end, today)
    for contact in agreement.contacts:
        found += _unverified(f"{name}: {contact.role} contact {contact.name}", contact, today)
    inbound = agreement.inbound
    if inbound.may_block and inbound.permitted_actions in _NO_ACTION:
        found.append(f"{name}: inbound.may_block allows what permitted_actions = {inbound.permitted_actions} forbids")
    if inbound.may_block and inbound.pap_default in ("amber", "red"):
        found.append(f"{name}: inbound.may_block allows what pap_default = {inbound.pap_default} forbids")
    return found


def digest(agreement: Agreement) -> bytes:
    """Gives the SHA-256 of what an agreement says, whatever the order, spacing and comments of its file.

    Hashed is canonical JSON of what differs from the defaults: keys in order, no spaces, days as YYYY-MM-DD.
    """
    return sha256(msgspec.json.encode(stated(agreement), order="sorted")).digest()


def digest_of(agreement: Agreement) -> str:
    """Gives ``digest`` as 64 hexadecimal digits, as ledger and history show it."""
    return digest(agreement).hex()


def _called(event: Event) -> str:
    return event.name or "a time"


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
    try:
        due = contact.verified_on + timedelta(days=contact.verify_every_days)
    except OverflowError:
        return []
    if due < today:
        return [f"{what} was last verified on {contact.verified_on}, due on {due}"]
    left = (due - today).days
    # Who verifies every month is not warned of it two months ahead.
    steps = [days for days in sorted(WARN_DAYS) if left <= days <= contact.verify_every_days // 3]
    return [f"{what} is to be verified within {steps[0]} days: {due}, in {left} days"] if steps else []

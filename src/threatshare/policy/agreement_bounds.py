"""What a change of an agreement opens, and what acts while nobody second has confirmed it.

A change loosens where, under any circumstances, more may leave after it. The gate is the measure: a change that is not
called loosening never releases what was not released before (``tests/properties``). So terms of which there is no
order, and terms that are new to this table, count as loosened by every change, and only those that the gate never
looks at do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from msgspec.structs import replace

from threatshare.policy.agreement_terms import Agreement, LegalBasis
from threatshare.policy.agreement_words import TLP_ORDER, keys_of, value_at

_ENDLESS = float("inf")


def _grows(words: list[str]) -> Callable[[str], int]:
    return words.index


_MEASURES: Mapping[str, Callable[[Any], float]] = {
    "effective_from": lambda day: -day.toordinal(),
    "expires_on": lambda day: day.toordinal(),
    "signed_on": lambda day: -_ENDLESS if day is None else -day.toordinal(),
    "event.start": lambda day: _ENDLESS if day is None else -day.toordinal(),
    "event.end": lambda day: _ENDLESS if day is None else day.toordinal(),
    "outbound.max_tlp": _grows(TLP_ORDER),
    "outbound.min_score": lambda score: -score,
    "outbound.exercise_only": lambda only: not only,
    "outbound.approval": _grows(["human", "auto"]),
    "outbound.max_age_days": lambda days: _ENDLESS if days is None else days,
    "inbound.default_tlp": lambda label: -TLP_ORDER.index(label),
    "inbound.onward_max_tlp": lambda label: -1 if label is None else TLP_ORDER.index(label),
    "inbound.onward_attribution": _grows(["must-not", "must", "may"]),
    # More weight is a higher score, which passes the min_score of other partners; F weighs as C does.
    "inbound.reliability": {"E": 0, "D": 1, "F": 2, "C": 2, "B": 3, "A": 4}.__getitem__,
    "feedback.sightings_back": bool,
}
"""By key a number that grows with what may leave."""
_LISTS = frozenset(
    {"outbound.object_types", "outbound.indicator_types", "outbound.collections", "inbound.onward_partners"}
)
"""Keys with a list of what is allowed; None allows all."""
_CONSENTS = (
    "ais-consent-everyone",
    "ais-consent-everyone-cisa-proprietary",
    "ais-consent-usg",
    "ais-consent-none",
)
"""From showing us to everyone to showing us to nobody; where none is stated, it is not known which it is."""
_STEPS: Mapping[str, frozenset[tuple[object, object]]] = {
    "outbound.attribution": frozenset({("may", "must"), ("may", "must-not")}),
    "outbound.consent": frozenset(combinations(_CONSENTS, 2)),
}
"""Keys whose words have no order: the changes of them that let no more leave, and show us to nobody else."""
_BASES = "legal_basis"
_FOR_THE_RECORD = (
    *("partner", "kind", "version", "review_due", "owner", "signatories", "document_sha256", "mou_id", "contacts"),
    *("partner_type", "event.name", "breach.", "exit.", "iep.", "checkin.", "feedback.fp_sla_hours"),
    *("inbound.permitted_actions", "inbound.may_block", "inbound.pap_default"),
    *("inbound.retention_days", "inbound.on_expiry", "inbound.commercial_use", "inbound.unmodified_resale"),
    *("inbound.affected_party_notifications", "inbound.encrypt_in_transit", "inbound.encrypt_at_rest"),
)
"""Keys, and with a dot at their end whole tables, that no decision on what leaves depends on."""
_NEVER = LegalBasis("none in force", date.max)


def loosened(before: Agreement, after: Agreement) -> tuple[str, ...]:
    """Gives the keys of every term under which more may leave after a change; empty: none, so that it acts at once."""
    return tuple(key for key in keys_of(before) if _opens(key, value_at(before, key), value_at(after, key)))


def narrowed(before: Agreement, after: Agreement) -> Agreement:
    """Gives the earlier terms with all that the later ones tighten: what acts until the rest is confirmed.

    It lets nothing out that the earlier terms would not. Where nothing is tightened it is the earlier agreement.
    """
    acting = before
    for key in keys_of(before):
        old, new = value_at(before, key), value_at(after, key)
        meet = _meet(key, old, new)
        if meet != old:
            acting = _with(acting, key, meet)
            acting = _with(acting, "event.name", after.event.name) if key.startswith("event.") else acting
    return _fitting(acting)


def _opens(key: str, old: Any, new: Any) -> bool:
    if old == new or _for_the_record(key):
        return False
    if key in _MEASURES:
        return _MEASURES[key](new) > _MEASURES[key](old)
    if key in _LISTS:
        return old is not None and (new is None or not set(new) <= set(old))
    if key == _BASES:
        return any(_covered(new, day) and not _covered(old, day) for day in _turns(old, new))
    return (old, new) not in _STEPS.get(key, frozenset())


def _for_the_record(key: str) -> bool:
    return key in _FOR_THE_RECORD or f"{key.partition('.')[0]}." in _FOR_THE_RECORD


def _meet(key: str, old: Any, new: Any) -> Any:
    """Gives the stricter of two values; the old one where there is no telling."""
    if old == new or _for_the_record(key):
        return old
    if key in _LISTS:
        return new if old is None else old if new is None else tuple(one for one in old if one in new)
    if key == _BASES and _opens(key, old, new) and _opens(key, new, old):
        return _common(old, new)
    return old if _opens(key, old, new) else new


def _covered(bases: tuple[LegalBasis, ...], day: date) -> bool:
    return not bases or any(one.covers(day) for one in bases)


def _turns(*several: tuple[LegalBasis, ...]) -> Iterator[date]:
    """Yields a day of every stretch in which the same bases are in force."""
    yield date.min
    for bases in several:
        for one in bases:
            yield one.begins
            if one.ends is not None and one.ends < date.max:
                yield one.ends + timedelta(1)


def _common(old: tuple[LegalBasis, ...], new: tuple[LegalBasis, ...]) -> tuple[LegalBasis, ...]:
    """Gives bases in force on the days on which some of both are, each in the words of the later agreement."""
    both = []
    for one in old:
        for other in new:
            begins, ends = max(one.begins, other.begins), _earlier(one.ends, other.ends)
            if ends is None or begins <= ends:
                both.append(LegalBasis(other.name, begins, ends))
    return tuple(both) or (_NEVER,)


def _earlier(one: date | None, other: date | None) -> date | None:
    return min((day for day in (one, other) if day is not None), default=None)


def _fitting(agreement: Agreement) -> Agreement:
    """Gives an agreement whose event begins and ends within its own days, as that of every file does."""
    event = agreement.event
    start = event.start and max(event.start, agreement.effective_from)
    end = event.end and min(event.end, agreement.expires_on)
    if (start, end) == (event.start, event.end):
        return agreement
    return replace(agreement, event=replace(event, start=start, end=end))


def _with(agreement: Agreement, key: str, value: Any) -> Agreement:
    group, _, name = key.rpartition(".")
    if not group:
        return replace(agreement, **{name: value})
    return replace(agreement, **{group: replace(getattr(agreement, group), **{name: value})})

"""FIRST's Information Exchange Policy 2.0 as JSON, out of an agreement and into a draft of one.

A policy says what may be done with information that somebody gives; so it stands for the ``inbound`` half of an
agreement: what the partner lets us do with its intelligence. Names and values of the statements are those of
https://first.org/iep/iep-json-2_0 (6 November 2019); STIX's draft extension for IEP has other names and is not
meant here. That a file of several policies is an array, or an object with one array in it, is unverified.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, get_args
from uuid import uuid5

import msgspec
from msgspec import Meta

from threatshare.errors import ConfigurationError
from threatshare.policy.agreement_terms import (
    Action,
    Agreement,
    Attribution,
    IepMetadata,
    Inbound,
    May,
    Must,
    Outbound,
)
from threatshare.policy.agreements import digest_of
from threatshare.stix.objects import NAMESPACE

LIMIT = 1_000_000
"""Bytes of a file at most."""

_TLP_OUT = {"clear": "white", "green": "green", "amber": "amber", "amber+strict": "red", "red": "red"}
"""IEP 2.0 has TLP 1's labels. AMBER+STRICT is none of them; RED lets nobody do more than it does, AMBER would."""
_TLP_IN = {
    "white": "clear",
    "clear": "clear",
    "green": "green",
    "amber": "amber",
    "amber+strict": "amber+strict",
    "red": "red",
}
"""Labels of TLP 2 are no values of IEP 2.0, but nobody can mean anything else by them."""

_STATEMENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "encrypt_in_transit": ("encrypt_in_transit", get_args(Must)),
    "permitted_actions": ("permitted_actions", get_args(Action)),
    "affected_party_notifications": ("affected_party_notifications", get_args(May)),
    "attribution": ("onward_attribution", get_args(Attribution)),
    "unmodified_resale": ("unmodified_resale", get_args(May)),
}
"""IEP statement -> (key of ``inbound``, values)."""
_SAFEST = {"permitted_actions": "none", "onward_attribution": "must-not"}
"""What a key has in a draft whose policy is silent; for the others the default is the safest."""
_Moment = Annotated[datetime, Meta(tz=True)]
_METADATA = frozenset({"id", "name", "description", "iep_version", "start_date", "end_date", "external_references"})
_UNSAID = (
    "outbound: what may go to the partner: nothing may",
    "inbound.sources: the feeds and accounts that bring its intelligence",
    "inbound.reliability: C",
    "inbound.onward_max_tlp: nothing goes on to other partners",
    "inbound.may_block: nothing goes into blocking lists",
    "inbound.retention_days and on_expiry: kept unused when the agreement ends",
    "inbound.commercial_use and encrypt_at_rest: must-not, and must",
    "signed_on, signatories, document_sha256, owner, review_due",
    "legal_basis, contacts, breach, exit, feedback",
)
"""What no policy of IEP 2.0 says, and what a draft has instead."""


def iep_of(agreement: Agreement) -> dict[str, Any]:
    """Gives what a partner lets us do as an IEP 2.0 policy; ``end_date`` is the agreement's last second.

    Its id is the agreement's (``iep.id``), or a UUIDv5 that changes with what the agreement says.
    """
    own, inbound = agreement.iep, agreement.inbound
    made = str(uuid5(NAMESPACE, f"iep|{agreement.partner}|{digest_of(agreement)}"))
    begins, ends = own.start_date or agreement.effective_from, agreement.expires_on
    return {
        "id": own.id or made,
        "name": own.name or f"Agreement with {agreement.partner}",
        "description": own.description or f"What {agreement.partner} lets recipients of its information do.",
        "iep_version": 2.0,
        "start_date": f"{begins}T00:00:00Z",
        "end_date": f"{ends}T23:59:59Z",
        "encrypt_in_transit": inbound.encrypt_in_transit,
        "permitted_actions": inbound.permitted_actions,
        "affected_party_notifications": inbound.affected_party_notifications,
        "tlp": _TLP_OUT[inbound.default_tlp],
        "attribution": inbound.onward_attribution,
        "unmodified_resale": inbound.unmodified_resale,
        "external_references": list(own.external_references),
    }


def lost_in(agreement: Agreement) -> list[str]:
    """Says which of an agreement's inbound terms its IEP policy cannot say, or says more strictly."""
    inbound = agreement.inbound
    lost = []
    if inbound.default_tlp == "amber+strict":
        lost.append("TLP:AMBER+STRICT is written as red: IEP 2.0 has no such label, and amber would allow more")
    for key in ("retention_days", "onward_partners", "pap_default"):
        if getattr(inbound, key) is not None:
            lost.append(f"inbound.{key} has no statement in IEP 2.0")
    lost.append("IEP 2.0 has no statement for commercial use, storage, contacts, breach, exit and feedback")
    return lost


def read_policies(text: bytes, place: str) -> list[dict[str, Any]]:
    """Reads the policies of an IEP 2.0 file: one object, an array, or an object with one array in it.

    Raises ConfigurationError that names ``place`` where it is none, is too large, or only refers to a policy.
    """
    if len(text) > LIMIT:
        raise ConfigurationError(f"{place}: larger than {LIMIT} bytes, wanted a file of IEP policies")
    try:
        read = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{place} is not valid JSON: {problem}") from problem
    if isinstance(read, dict) and "iep_version" not in read and len(read) == 1:
        (read,) = read.values()
    policies = read if isinstance(read, list) else [read]
    if not policies or not all(isinstance(one, dict) and "iep_version" in one for one in policies):
        raise ConfigurationError(f"{place}: wanted a policy of IEP 2.0 with iep_version, or an array of such")
    for one in policies:
        if str(one["iep_version"]) not in ("2", "2.0"):
            raise ConfigurationError(f"{place}: iep_version is {one['iep_version']!r}, wanted 2.0")
        if "id_ref" in one:
            raise ConfigurationError(
                f"{place}: only refers to the policy {one['id_ref']!r}; get it from {one.get('url')!r} and import that"
            )
    return policies


def draft_of(
    policy: Mapping[str, Any], partner: str, until: date | None, begins: date | None, today: date
) -> tuple[Agreement, list[str]]:
    """Makes a draft, unsigned, of a policy; gives it with what the policy does not say and what the draft has instead.

    ``until`` and ``begins`` narrow the policy's own dates. Raises ConfigurationError where a statement has no value
    of IEP 2.0, where they lie outside the policy's dates, and where neither says when it ends.
    """
    values: dict[str, Any] = {}
    unsaid: list[str] = []
    for statement, (key, allowed) in _STATEMENTS.items():
        said = policy.get(statement)
        if said is None:
            safest = _SAFEST.get(key, getattr(Inbound(), key))
            unsaid.append(f"{statement}: not in the policy; {safest}")
            values[key] = safest
        elif isinstance(said, str) and said in allowed:
            values[key] = said
        else:
            raise ConfigurationError(f"policy: {statement} is {said!r}, wanted {', '.join(allowed)}")
    values["default_tlp"] = _tlp(policy, unsaid)
    first, last = _dates(policy, until, begins, today)
    draft = {
        "partner": partner,
        "effective_from": first,
        "expires_on": last,
        "outbound": msgspec.to_builtins(Outbound("clear", (), approval="human")),
        "inbound": values,
        "iep": msgspec.to_builtins(_metadata(policy, first)),
    }
    known = _METADATA | _STATEMENTS.keys() | {"tlp"}
    unsaid += [f"{_short(name)}: no statement of IEP 2.0; read what it means" for name in policy if name not in known]
    try:
        return msgspec.convert(draft, Agreement), [*unsaid, *_UNSAID]
    except msgspec.ValidationError as problem:
        raise ConfigurationError(f"policy: {problem}") from problem


def _tlp(policy: Mapping[str, Any], unsaid: list[str]) -> str:
    said = policy.get("tlp")
    if said is None:
        unsaid.append("tlp: not in the policy; red")
        return "red"
    if not isinstance(said, str) or said not in _TLP_IN:
        raise ConfigurationError(f"policy: tlp is {said!r}, wanted white, green, amber or red")
    return _TLP_IN[said]


def _metadata(policy: Mapping[str, Any], begins: date) -> IepMetadata:
    named: dict[str, Any] = {name: str(policy[name]) for name in ("id", "name", "description") if policy.get(name)}
    start = _first_day(_moment(policy, "start_date"))
    if start not in (None, begins):
        named["start_date"] = start
    references = policy.get("external_references") or []
    listed = references if isinstance(references, list) else [references]
    try:
        return msgspec.convert(named | {"external_references": [str(one) for one in listed]}, IepMetadata)
    except msgspec.ValidationError as problem:
        raise ConfigurationError(f"policy: {problem}") from problem


def _dates(policy: Mapping[str, Any], until: date | None, begins: date | None, today: date) -> tuple[date, date]:
    """Gives the first and the last day that lie wholly within the policy's time, where it has one."""
    start, end = _first_day(_moment(policy, "start_date")), _last_day(_moment(policy, "end_date"))
    first, last = begins or start or today, until or end
    if last is None:
        raise ConfigurationError("policy: it has no end_date, and an agreement ends; say when with --until")
    if (start is not None and first < start) or (end is not None and last > end):
        raise ConfigurationError(f"policy: it holds from {start} to {end or 'no end'}, not from {first} to {last}")
    if last < first:
        raise ConfigurationError(f"policy: it would end on {last}, before it begins on {first}")
    return first, last


def _first_day(start: datetime | None) -> date | None:
    if start is None:
        return None
    whole = start.time() == datetime.min.time() or start.date() == date.max
    return start.date() if whole else start.date() + timedelta(days=1)


def _last_day(end: datetime | None) -> date | None:
    if end is None:
        return None
    whole = (end.hour, end.minute, end.second) == (23, 59, 59) or end.date() == date.min
    return end.date() if whole else end.date() - timedelta(days=1)


def _moment(policy: Mapping[str, Any], name: str) -> datetime | None:
    said = policy.get(name)
    if said is None:
        return None
    try:
        return msgspec.convert(said, _Moment).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as problem:
        raise ConfigurationError(f"policy: {name} is {said!r}, wanted a time like 2026-12-31T00:00:00Z") from problem


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}..."

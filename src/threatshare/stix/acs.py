"""ACS 3.0 as a STIX marking: extension definition 3a65884d, with which US federal producers mark.

Source of names and words: the schema ``isa-acs-3-0.json`` among OASIS' common objects, which closes every table.
The specification itself was not seen. Unverified are hence: that NETDEF, CISAUSES and ALL include blocking, and that
the determinations of ``_OPEN`` restrict nobody. So everything is read to the strict side: passing on needs
classification U, ``sharedefault=permit`` and nothing else in the marking that narrows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from threatshare.model import Marking, Tlp

ACS = "extension-definition--3a65884d-005a-4290-8335-cb2d778a83ce"

_POLICY = re.compile(r"urn:isa:policy:acs:ns:v3\.0\?privdefault=(permit|deny)&sharedefault=(permit|deny)").fullmatch

_DESCRIBING = frozenset(
    {
        "extension_type",
        "identifier",
        "name",
        "create_date_time",
        "responsible_entity_custodian",
        "responsible_entity_originator",
        "authority_reference",
        "original_classification",
        "derivative_classification",
        "declassification",
        "public_release",
    }
)
"""Who, when and by what authority; nothing here lets anything go."""
_READ = frozenset({"policy_reference", "control_set", "access_privilege", "further_sharing"})
"""Not ``resource_disposition``: it orders destruction or the like on a day, which nothing here would see to."""

_CLASSIFICATIONS = frozenset({"U", "C", "S", "TS"})
_DETERMINATIONS = "formal_determination"
_OPEN = frozenset({"PUBREL", "AIS", "NO-PII-PRESENT", "INFORMATION-DIRECTLY-RELATED-TO-CYBERSECURITY-THREAT"})
_CLOSED = frozenset({"NF", "FOUO", "PII-NECESSARY-TO-UNDERSTAND-THREAT"})
_NARROWING = frozenset(
    {
        "sci_controls",
        "logical_authority_category",
        "caveat",
        "sensitivity",
        "shareability",
        "entity",
        "permitted_nationalities",
        "permitted_organizations",
    }
)
"""Of the control set: each of them names some who may know, or some reason for which others may not."""

_ACTIONS = frozenset(
    {
        "DSPLY",
        "IDSRC",
        "TENOT",
        "NETDEF",
        "LEGAL",
        "INTEL",
        "TEARLINE",
        "OPACTION",
        "REQUEST",
        "ANONYMOUSACCESS",
        "CISAUSES",
        "ALL",
    }
)
_DEFENCE = frozenset({"NETDEF", "CISAUSES", "ALL"})
_SCOPES = frozenset({"permitted_nationalities", "permitted_organizations", "shareability", "entity"})
_EFFECTS = frozenset({"permit", "deny"})


def read_acs(ref: str, told: Mapping[str, Any]) -> Marking | None:
    """Reads the ACS marking ``ref``; None where a property or word is missing or not known."""
    controls: Any = told.get("control_set")
    privileges, sharing = told.get("access_privilege", []), told.get("further_sharing", [])
    policy = _policy(told.get("policy_reference"))
    known = told.keys() <= _DESCRIBING | _READ and _is_control_set(controls)
    if policy is None or not known or not _is_rules(privileges, _is_privilege) or not _is_rules(sharing, _is_sharing):
        return None
    unclassified = controls["classification"] == "U"
    return Marking(
        None,
        may_block=unclassified and _may_defend(policy[0], privileges),
        resharing=unclassified and policy[1] and _is_open(controls, privileges, sharing),
        policy_tlp=None if unclassified else Tlp.RED,
        notifications=policy[0],
        resale=False,
        policies=(ref,),
    )


def _policy(told: object) -> tuple[bool, bool] | None:
    """Gives whether privileges and sharing are permitted by default, by every policy that is named."""
    found = [_POLICY(one) for one in told.split()] if isinstance(told, str) else []
    read = [one.groups() for one in found if one is not None]
    if not read or len(read) < len(found):
        return None
    return all(one == "permit" for one, _ in read), all(one == "permit" for _, one in read)


def _is_word(told: object, words: frozenset[str]) -> bool:
    return isinstance(told, str) and told in words


def _is_texts(told: object) -> bool:
    return isinstance(told, list) and bool(told) and all(isinstance(one, str) for one in told)


def _is_control_set(told: Any) -> bool:
    if not isinstance(told, dict) or not _is_word(told.get("classification"), _CLASSIFICATIONS):
        return False
    lists = {name: value for name, value in told.items() if name != "classification"}
    return (
        lists.keys() <= _NARROWING | {_DETERMINATIONS}
        and all(map(_is_texts, lists.values()))
        and set(lists.get(_DETERMINATIONS, ())) <= _OPEN | _CLOSED
    )


def _is_rules(told: object, is_rule: Callable[[Mapping[str, Any]], bool]) -> bool:
    return isinstance(told, list) and all(isinstance(one, dict) and is_rule(one) for one in told)


def _is_privilege(rule: Mapping[str, Any]) -> bool:
    scope = rule.get("privilege_scope")
    return (
        rule.keys() == {"privilege_action", "privilege_scope", "rule_effect"}
        and _is_word(rule["privilege_action"], _ACTIONS)
        and _is_word(rule["rule_effect"], _EFFECTS)
        and isinstance(scope, dict)
        and scope.keys() <= _SCOPES
        and all(map(_is_texts, scope.values()))
    )


def _is_sharing(rule: Mapping[str, Any]) -> bool:
    return (
        rule.keys() == {"sharing_scope", "rule_effect"}
        and _is_texts(rule["sharing_scope"])
        and _is_word(rule["rule_effect"], _EFFECTS)
    )


def _is_for_all(privilege: Mapping[str, Any]) -> bool:
    scope = privilege["privilege_scope"]
    return bool(scope) and all(value == ["ALL"] for value in scope.values())


def _permits(rule: Mapping[str, Any]) -> bool:
    return bool(rule["rule_effect"] == "permit")


def _may_defend(by_default: bool, privileges: Sequence[Mapping[str, Any]]) -> bool:
    """Tells whether we may act: permitted to all, and no rule that denies anything."""
    stated = [one for one in privileges if one["privilege_action"] in _DEFENCE and _is_for_all(one)]
    return all(map(_permits, privileges)) and (by_default or bool(stated))


def _is_open(
    controls: Mapping[str, Any], privileges: Sequence[Mapping[str, Any]], sharing: Sequence[Mapping[str, Any]]
) -> bool:
    """Tells whether nothing in a marking narrows who may know."""
    narrowed = controls.keys() & _NARROWING or not _OPEN.issuperset(controls.get(_DETERMINATIONS, ()))
    rules = all(_permits(one) and _is_for_all(one) for one in privileges) and all(map(_permits, sharing))
    return not narrowed and rules

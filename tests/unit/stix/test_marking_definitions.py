"""Definitions of markings as their sources send them: what is read, and what makes one unreadable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marking_builders import ABSENT, a_definition, a_privilege, a_statement, acs_policy, an_acs, an_iep, as_json
from marking_builders import marking_uuid as uuid
from threatshare.model import Action, Marking, Pap, Tlp
from threatshare.stix.acs import ACS
from threatshare.stix.iep import IEP
from threatshare.stix.marking_definitions import FIXED, MAX_DEFINITION, PAP_IDS, read_definition
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP_IDS

REF = uuid()
UNKNOWN = Marking(None, (REF,))
FREE = Marking(None, policies=(REF,), resale=False)
"""What the most permissive ACS marking means."""
PAP_EXTENSION = "extension-definition--f8d78575-edfd-406e-8e84-6162a8450f5b"


def meaning(told: dict[str, Any]) -> Marking:
    return read_definition(REF, as_json(told))


def test_fixed_ids() -> None:
    """TLP and PAP are told by their ids; of PAP only the labels up to GREEN let a value be blocked."""
    assert FIXED.keys() == TLP_IDS.keys() | PAP_IDS.keys()
    assert {one.pap: one.may_block for ref, one in FIXED.items() if ref in PAP_IDS} == {
        Pap.CLEAR: True,
        Pap.GREEN: True,
        Pap.AMBER: False,
        Pap.RED: False,
    }
    assert all(FIXED[ref] == Marking(tlp) for ref, tlp in TLP_IDS.items())


@pytest.mark.parametrize("ref", list(FIXED))
@pytest.mark.parametrize("lie", [a_statement, an_iep, an_acs])
def test_a_body_under_a_fixed_id_is_never_looked_at(ref: str, lie: Any) -> None:
    """Whatever stands in a definition that has an id of TLP or PAP, the id alone counts."""
    assert read_definition(ref, as_json(lie(ref=ref))) is FIXED[ref]
    assert read_definition(ref, b"not even JSON") is FIXED[ref]


@pytest.mark.parametrize(
    "told",
    [
        a_definition(definition_type="tlp", definition={"tlp": "white"}),
        a_definition(extensions={PAP_EXTENSION: {"extension_type": "property-extension", "pap": "white"}}),
    ],
)
def test_tlp_and_pap_under_other_ids_are_unknown(told: dict[str, Any]) -> None:
    """There are no TLP and PAP markings but those with the fixed ids, whatever a body calls itself."""
    assert meaning(told) == UNKNOWN


def test_a_statement_restricts_nothing_by_itself() -> None:
    """A statement is known for what it is, and its text is for people."""
    assert meaning(a_statement("anything at all")) == Marking(None, statements=(REF,))


@pytest.mark.parametrize(
    "told",
    [
        a_statement(definition={"statement": 1}),
        a_statement(definition={"statement": "a", "tlp": "red"}),
        a_statement(definition="a statement"),
        a_statement(definition=ABSENT),
        a_statement(definition_type=ABSENT),
        a_statement(definition_type="x-own"),
        a_statement(x_own_limit="nobody"),
        a_statement(extensions={uuid(9).replace("marking", "extension"): {"extension_type": "property-extension"}}),
        a_statement(extensions=[]),
        a_statement(type="identity"),
        a_statement(ref=uuid(2)),
        a_definition(),
        a_definition(extensions={}),
        a_statement("x" * MAX_DEFINITION),
    ],
)
def test_what_we_do_not_know_makes_it_unreadable(told: dict[str, Any]) -> None:
    """A property, type or extension that we do not know, or nothing at all, may mean anything."""
    assert meaning(told) == UNKNOWN


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 5_000, b'{"id":1,"id":2}', b"\xff", b"null"])
def test_no_object_is_unreadable(body: bytes) -> None:
    """Bytes that are no object make an unknown marking, never an exception."""
    assert read_definition(REF, body) == UNKNOWN


def test_a_property_twice_is_unreadable() -> None:
    """Where readers differ on which of two counts, neither does."""
    body = as_json(an_iep()).replace(b'"tlp": "white"', b'"tlp": "red", "tlp": "white"')
    assert json.loads(body)["extensions"][IEP]["tlp"] == "white"
    assert read_definition(REF, body) == UNKNOWN


def test_several_carriers_restrict_together() -> None:
    """A definition that is a statement, an IEP policy and an ACS marking at once means all three."""
    extensions = an_iep(tlp="green")["extensions"] | an_acs()["extensions"]
    read = meaning(a_statement(extensions=extensions))
    assert read.policy_tlp is Tlp.GREEN
    assert (read.statements, read.policies, read.resale) == ((REF,), (REF,), False)


# --- IEP ---------------------------------------------------------------------------------------------

BEGINS = read_timestamp("2026-01-01T00:00:00Z")


def policy(**meant: Any) -> Marking:
    values: dict[str, Any] = {
        "policy_tlp": Tlp.CLEAR,
        "permitted": Action.EXTERNALLY_VISIBLE_DIRECT,
        "begins": BEGINS,
        "policies": (REF,),
    }
    return Marking(None, **(values | meant))


@pytest.mark.parametrize(
    ("name", "word", "meant"),
    [
        ("tlp", "white", {}),
        ("tlp", "green", {"policy_tlp": Tlp.GREEN}),
        ("tlp", "amber", {"policy_tlp": Tlp.AMBER}),
        ("tlp", "red", {"policy_tlp": Tlp.RED}),
        ("permitted_actions", "none", {"permitted": Action.NONE, "may_block": False}),
        (
            "permitted_actions",
            "contact-for-instruction",
            {"permitted": Action.CONTACT_FOR_INSTRUCTION, "may_block": False},
        ),
        (
            "permitted_actions",
            "internally-visible-actions",
            {"permitted": Action.INTERNALLY_VISIBLE, "may_block": False},
        ),
        (
            "permitted_actions",
            "externally-visible-indirect-actions",
            {"permitted": Action.EXTERNALLY_VISIBLE_INDIRECT},
        ),
        ("affected_party_notifications", "must-not", {"notifications": False}),
        ("provider_attribution", "must", {"must_name": True}),
        ("provider_attribution", "must-not", {"must_not_name": True}),
        ("unmodified_resale", "must-not", {"resale": False}),
        ("encrypt_in_transit", "must", {"encrypted": True}),
        ("end_date", "2026-06-01T00:00:00Z", {"ends": read_timestamp("2026-06-01T00:00:00Z")}),
        ("end_date", None, {}),
        ("iep_version", "2.0", {}),
    ],
)
def test_each_statement_of_an_iep(name: str, word: str, meant: dict[str, Any]) -> None:
    """Each word of each statement has the meaning that FIRST gives it, under the names of the STIX extension."""
    assert meaning(an_iep(**{name: word})) == policy(**meant)


@pytest.mark.parametrize(
    "name",
    [
        "permitted_actions",
        "tlp",
        "provider_attribution",
        "affected_party_notifications",
        "unmodified_resale",
        "encrypt_in_transit",
    ],
)
@pytest.mark.parametrize("word", [ABSENT, "", "MAY", "everything", 1, None, ["may"], {"may": 1}])
def test_an_iep_statement_that_is_missing_or_strange(name: str, word: Any) -> None:
    """A statement that is missing, or says what FIRST does not know, makes the policy unreadable."""
    assert meaning(an_iep(**{name: word})) == UNKNOWN


@pytest.mark.parametrize(
    "changed",
    [
        {"attribution": "may"},
        {"tlp_ref": next(iter(TLP_IDS))},
        {"retention": "30 days"},
        {"iep_version": 1.0},
        {"iep_version": True},
        {"iep_version": [2.0]},
        {"extension_type": "toplevel-property-extension"},
        {"start_date": ABSENT},
        {"start_date": "2026-01-01"},
        {"end_date": "soon"},
        {"end_date": 5},
    ],
)
def test_an_iep_that_says_more_than_we_know(changed: dict[str, Any]) -> None:
    """FIRST's own names, other versions, further properties and times that are none make the policy unreadable."""
    assert meaning(an_iep(**changed)) == UNKNOWN


# --- ACS ---------------------------------------------------------------------------------------------


def test_the_most_permissive_acs() -> None:
    """Unclassified, all permitted by default and nothing narrowed: it may go on and be acted on."""
    assert meaning(an_acs()).resharing
    assert meaning(an_acs()) == FREE
    assert meaning(an_acs(controls={"formal_determination": ["AIS", "PUBREL"]})) == FREE
    assert meaning(an_acs(access_privilege=[a_privilege("INTEL")])) == FREE


@pytest.mark.parametrize(
    "told",
    [
        an_acs(policy_reference=acs_policy("permit", "deny")),
        an_acs(policy_reference=f"{acs_policy('permit', 'permit')} {acs_policy('permit', 'deny')}"),
        an_acs(controls={"formal_determination": ["FOUO"]}),
        an_acs(controls={"permitted_organizations": ["USA.EXAMPLE"]}),
        an_acs(controls={"caveat": ["POSSIBLEPII"]}),
        an_acs(controls={"entity": ["GOV"]}),
        an_acs(access_privilege=[a_privilege("DSPLY", entity=["GOV"])]),
        an_acs(access_privilege=[a_privilege("DSPLY", "deny")]),
        an_acs(further_sharing=[{"sharing_scope": ["FOREIGNGOV"], "rule_effect": "deny"}]),
    ],
)
def test_an_acs_that_narrows_does_not_go_on(told: dict[str, Any]) -> None:
    """Whatever narrows who may know keeps it in our own organisation."""
    read = meaning(told)
    assert not read.resharing
    assert (read.unknown, read.policy_tlp) == ((), None)


@pytest.mark.parametrize("level", ["C", "S", "TS"])
def test_classified_is_for_named_recipients(level: str) -> None:
    """Classified information takes no part in anything here: it neither goes on nor is acted on."""
    read = meaning(an_acs(controls={"classification": level}))
    assert (read.policy_tlp, read.resharing, read.may_block) == (Tlp.RED, False, False)


@pytest.mark.parametrize(
    ("privileges", "rules", "may"),
    [
        ("permit", [], True),
        ("deny", [], False),
        ("deny", [a_privilege("CISAUSES")], True),
        ("deny", [a_privilege("NETDEF")], True),
        ("deny", [a_privilege("DSPLY")], False),
        ("deny", [a_privilege("NETDEF", permitted_organizations=["USA.EXAMPLE"])], False),
        ("deny", [a_privilege("CISAUSES"), a_privilege("OPACTION", "deny")], False),
        ("permit", [a_privilege("NETDEF", "deny")], False),
    ],
)
def test_acting_on_an_acs_marking(privileges: str, rules: list[Any], may: bool) -> None:
    """Blocking needs a permission for defence that is for all, or permission by default, and no denial."""
    told = an_acs(policy_reference=acs_policy(privileges, "permit"), access_privilege=rules or ABSENT)
    assert meaning(told).may_block == may


@pytest.mark.parametrize(
    "changed",
    [
        {"control_set": ABSENT},
        {"control_set": {}},
        {"control_set": {"classification": "R"}},
        {"control_set": {"classification": ["U"]}},
        {"controls": {"releasable_to": ["ALL"]}},
        {"controls": {"formal_determination": ["SOMETHING"]}},
        {"controls": {"formal_determination": "AIS"}},
        {"controls": {"entity": []}},
        {"policy_reference": ABSENT},
        {"policy_reference": ""},
        {"policy_reference": acs_policy("permit", "maybe")},
        {"policy_reference": f"{acs_policy('permit', 'permit')} urn:other"},
        {"policy_reference": ["permit"]},
        {"access_privilege": [a_privilege("EVERYTHING")]},
        {"access_privilege": [a_privilege(effect="perhaps")]},
        {"access_privilege": [a_privilege(nationality=["ALL"])]},
        {"access_privilege": [a_privilege(entity=[])]},
        {"access_privilege": [{"privilege_action": "ALL", "rule_effect": "permit"}]},
        {"access_privilege": ["ALL"]},
        {"access_privilege": {}},
        {"access_privilege": [a_privilege() | {"privilege_action": ["ALL"]}]},
        {"further_sharing": [{"sharing_scope": ["SECTOR"]}]},
        {"further_sharing": [{"sharing_scope": "SECTOR", "rule_effect": "permit"}]},
        {"further_sharing": [{"sharing_scope": ["SECTOR"], "rule_effect": {}}]},
        {"resource_disposition": {"disposition_date": "2026-03-01T00:00:00Z", "disposition_process": "destroy"}},
        {"x_more": "anything"},
    ],
)
def test_an_acs_that_says_more_than_we_know(changed: dict[str, Any]) -> None:
    """A word or property outside the schema, or one that is missing, makes the marking unreadable."""
    assert meaning(an_acs(**changed)) == UNKNOWN


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["ALL", "permit", "U", "deny", "white", "may"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["entity", "x", "statement"]), inner),
    max_leaves=4,
)


@given(st.sampled_from([an_iep, an_acs]), st.data())
def test_whatever_a_property_says(build: Any, data: st.DataObject) -> None:
    """Any value of any property gives a marking, and never one that allows more than the most permissive."""
    told = build()
    [(name, inner)] = told["extensions"].items()
    assert name in (IEP, ACS)
    known = sorted({*inner, "access_privilege", "further_sharing", "end_date", "x"})
    changed = {key: data.draw(json_values) for key in data.draw(st.lists(st.sampled_from(known), max_size=3))}
    read = meaning(build(**changed))
    free = meaning(told)
    assert read == UNKNOWN or read.joined(free) == read

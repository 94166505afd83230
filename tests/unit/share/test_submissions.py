"""The last look at an envelope: each rule of AIS, broken by itself, is caught before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from builders import find, let_out, make_collection
from disguise_builders import node_outlet, profiled
from gate_builders import THEM, US, agreement, ask, facts, our_indicator, partner
from profile_builders import BAD, FACTS, PROFILES, SUBMITTER, submission
from threatshare.model import CollectionKind, Kind, Observable, Tlp, Verdict
from threatshare.policy.agreements import LegalBasis, Outbound
from threatshare.policy.gate import Audience, decide
from threatshare.policy.profile_bundles import NodeFacts, Record
from threatshare.share.submissions import Submission, submission_of
from threatshare.stix.objects import revoked, written
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.embedded import Store
from threatshare.store.targets import TargetState

NOWHERE = TargetState("cisa", b"", 1)
"""A target that has had nothing yet."""
AIS = Submission(PROFILES["ais"], FACTS)
ENDED = NodeFacts(
    FACTS.own, FACTS.identity, FACTS.name, today=FACTS.today, records={"certificate": (Record("x", None, FACTS.today),)}
)


def changed(kind: str, **properties: Any) -> list[dict[str, Any]]:
    """A good submission with properties of one type changed; None takes one away."""
    return [
        {name: value for name, value in {**one, **properties}.items() if value is not None}
        if one["type"] == kind
        else one
        for one in submission()
    ]


def fault(store: Store, objects: list[dict[str, Any]], asked: Submission = AIS) -> str | None:
    """Gives what is said against sending some objects."""
    with store.writing() as conn:
        return asked.fault(conn, NOWHERE, map(written, objects))


BROKEN: list[tuple[str, list[dict[str, Any]]]] = [
    ("AIS-01", changed("indicator", created_by_ref=THEM)),
    ("AIS-02", changed("identity", labels=["ais-consent-usg", "ais-consent-none"])),
    ("AIS-02", changed("identity", sectors=[])),
    ("AIS-03", changed("indicator", labels=["attacker", "cisa-proprietary"])),
    ("AIS-04", [one for one in submission() if one["type"] != "relationship"]),
    ("AIS-04", changed("location", administrative_area="CA-ON")),
    ("AIS-05", changed("indicator", object_marking_refs=[TLP2_ID[Tlp.AMBER_STRICT]])),
    ("AIS-06", changed("indicator", x_our_ticket=17)),
    ("AIS-07", changed("indicator", description="seen from 45.10.0.9")),
    ("AIS-10", changed("indicator", description="seen at Our Company")),
]


@pytest.mark.parametrize(("rule", "objects"), BROKEN)
def test_each_rule_stops_a_delivery(store: Store, rule: str, objects: list[dict[str, Any]]) -> None:
    """What breaks one rule of AIS is not sent, and the error names the rule."""
    said = fault(store, objects)
    assert said is not None
    assert said.startswith(f"ais {rule}: ")


def test_what_keeps_to_the_profile_goes(store: Store) -> None:
    """A good submission has nothing said against it."""
    assert fault(store, submission()) is None


def test_a_certificate_that_ends_stops_a_delivery(store: Store) -> None:
    """AIS-09 is asked again on the day of the delivery."""
    said = fault(store, submission(), Submission(PROFILES["ais"], ENDED))
    assert said is not None
    assert "AIS-09" in said


def test_withdrawals_always_go(store: Store) -> None:
    """A withdrawal says nothing new: whatever it is of, the profile does not hold it back."""
    (gone,) = [one for one in submission() if one["type"] == "indicator"]
    assert fault(store, [revoked(gone | {"created_by_ref": THEM}, 1_790_000_000_000_000)]) is None


def test_an_introduction_may_come_in_parts(store: Store) -> None:
    """Where envelopes are small, who we are arrives in several; the first object needs all of it."""
    identity, location, *_ = submission()
    assert fault(store, [identity]) is None
    assert fault(store, [identity, location]) is None
    said = fault(store, [identity, location, submission()[-1]])
    assert said is not None
    assert "AIS-04" in said


def test_what_was_delivered_before_counts(store: Store) -> None:
    """A later envelope need not say again who we are; without what the partner refused of it, it does not go."""
    cisa = make_collection(store, CollectionKind.PARTNER, "to-cisa", "cisa")
    find(store)
    outlet = node_outlet(cisa, profiled())
    let_out(store, outlet)
    asked = submission_of(outlet)
    assert asked is not None
    body = store.conn.execute("SELECT body FROM entry WHERE type = 'indicator'").fetchone()[0]
    had = TargetState("cisa", b"", cisa.number, 3, 3)
    assert asked.fault(store.conn, had, [body]) is None
    with store.writing() as conn:
        conn.execute("INSERT INTO undelivered VALUES ('cisa', 3, 'x', 0, 'refused', 'no', 1, 0, NULL)")
    said = asked.fault(store.conn, had, [body])
    assert said is not None
    assert "AIS-04" in said


def test_without_a_profile_nothing_is_asked(store: Store) -> None:
    """Where the agreement names no profile there is no submission."""
    cisa = make_collection(store, CollectionKind.PARTNER, "to-cisa", "cisa")
    assert submission_of(node_outlet(cisa, profiled(None))) is None


LAW = (LegalBasis("a law", facts().today, None),)


def gated(content: dict[str, Any], value: Observable = BAD, **terms: Any) -> dict[str, Verdict]:
    """Asks the whole gate about an indicator of ours under ais; gives the verdicts of rule ``profile`` by AIS rule."""
    outbound = Outbound("red", profile="ais", consent="ais-consent-everyone")
    one = agreement(outbound=outbound, legal_basis=terms.pop("legal_basis", LAW))
    audience: Audience = partner(one)
    said = decide(ask(content, [value]), audience, facts(profiles=PROFILES, our_name="Our Company", **terms))
    told = [reason for reason in said.reasons if reason.rule == "profile" and reason.verdict is not Verdict.RELEASE]
    return {reason.text.split()[1].rstrip(":"): reason.verdict for reason in told}


def test_the_gate_asks_the_profile_of_each_object() -> None:
    """AIS-05 to AIS-10 are asked of every object before it is released: what blocks is refused, what queues held."""
    assert gated(our_indicator()) == {}
    assert gated(our_indicator(tlp=Tlp.RED)) == {"AIS-05": Verdict.REFUSE}
    assert gated(our_indicator() | {"x_our_ticket": 17}) == {"AIS-06": Verdict.REFUSE}
    host = Observable(Kind.URL, "http://45.77.66.5/x?to=jane@our-company.de")
    assert gated(our_indicator(host), host)["AIS-07"] is Verdict.REFUSE
    assert gated(our_indicator() | {"description": "tell jane@example.com"}) == {"AIS-08": Verdict.HOLD}
    assert gated(our_indicator(), legal_basis=()) == {"AIS-09": Verdict.REFUSE}
    none = Outbound("red", profile="ais", consent="ais-consent-usg")
    leak = ask(our_indicator() | {"description": "seen at Our Company"}, [BAD])
    given = facts(profiles=PROFILES, our_name="Our Company")
    said = decide(leak, partner(agreement(outbound=none, legal_basis=LAW)), given)
    assert any("AIS-10" in one.text for one in said.reasons if one.verdict is Verdict.REFUSE)


def test_whom_the_facts_are_about() -> None:
    """The submitter of the examples is the node of the facts."""
    assert SUBMITTER.identity == US == FACTS.identity

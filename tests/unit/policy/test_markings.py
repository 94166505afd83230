"""Markings: what ids and definitions mean together."""

from __future__ import annotations

import pytest

from marking_builders import marking_uuid
from threatshare.model import Marking, Pap, Tlp
from threatshare.policy.candidates import candidate_of
from threatshare.policy.markings import effective, marking_of
from threatshare.stix.marking_definitions import PAP_IDS
from threatshare.stix.objects import written
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, TLP_IDS

OPENCTI_STRICT = "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37"
STATEMENT = marking_uuid(1)
PAP_RED = next(ref for ref, pap in PAP_IDS.items() if pap is Pap.RED)


@pytest.mark.parametrize(("ref", "tlp"), list(TLP_IDS.items()))
def test_every_family_of_ids(ref: str, tlp: Tlp) -> None:
    """Each TLP 1, TLP 2 and OpenCTI id alone means its label, on the object and on a part of it."""
    assert marking_of([ref]) == marking_of([], [ref]) == Marking(tlp)


def test_most_restrictive_wins() -> None:
    """Of several labels the most restrictive counts, wherever it stands."""
    green, red = TLP1_ID[Tlp.GREEN], TLP2_ID[Tlp.RED]
    assert marking_of([green, OPENCTI_STRICT]).tlp is Tlp.AMBER_STRICT
    assert marking_of([red, green]).tlp is marking_of([green], [red]).tlp is Tlp.RED


def test_tlp_and_pap_stand_side_by_side() -> None:
    """PAP says what may be done and TLP who may know: neither takes the other's place."""
    assert marking_of([PAP_RED], (), {}) == Marking(None, pap=Pap.RED, may_block=False)
    assert marking_of([TLP2_ID[Tlp.CLEAR]], [PAP_RED], {}) == Marking(Tlp.CLEAR, pap=Pap.RED, may_block=False)


def test_who_heeds_tlp_alone_is_told_of_nothing_else() -> None:
    """Where only TLP would be heeded, a PAP label that restricts counts as unknown, one that does not as nothing."""
    for ref, pap in PAP_IDS.items():
        assert marking_of([TLP2_ID[Tlp.CLEAR], ref]).unknown == ((ref,) if pap >= Pap.AMBER else ())


def test_unknown_ids_are_listed_once_and_sorted() -> None:
    """What we cannot read is listed beside what we can."""
    other = marking_uuid(0)
    marking = marking_of([STATEMENT, TLP2_ID[Tlp.GREEN], other], [STATEMENT])
    assert marking == Marking(Tlp.GREEN, (other, STATEMENT))


def test_ids_are_taken_to_the_letter() -> None:
    """An id in capitals or with blanks is not the id."""
    red = TLP2_ID[Tlp.RED]
    for near in (red.upper(), f" {red}", red[:-1]):
        assert marking_of([near]) == Marking(None, (near,))


def test_a_definition_counts_where_the_id_means_nothing_by_itself() -> None:
    """What the source defined is joined with the rest; an id of TLP keeps its meaning whatever is defined for it."""
    policy = Marking(None, policy_tlp=Tlp.AMBER, may_block=False)
    red = TLP2_ID[Tlp.RED]
    assert marking_of([STATEMENT], (), {STATEMENT: policy}) == policy
    assert marking_of([red, STATEMENT], (), {STATEMENT: policy, red: Marking(Tlp.CLEAR)}) == Marking(
        Tlp.RED, policy_tlp=Tlp.AMBER, may_block=False
    )
    assert marking_of([STATEMENT], [marking_uuid(2)], {STATEMENT: policy}).unknown == (marking_uuid(2),)


def test_default_counts_only_where_there_is_no_label() -> None:
    """The source's default stands in for a missing label, and never lowers or hides what is there."""
    assert effective(Marking(None), Tlp.AMBER) == Marking(Tlp.AMBER)
    assert effective(Marking(None, (STATEMENT,)), Tlp.CLEAR) == Marking(Tlp.CLEAR, (STATEMENT,))
    for tlp in Tlp:
        assert effective(Marking(tlp), Tlp.CLEAR) == Marking(tlp)


@pytest.mark.parametrize(
    ("marking", "default", "tlp"),
    [
        (Marking(None, policy_tlp=Tlp.CLEAR), Tlp.AMBER_STRICT, Tlp.AMBER_STRICT),
        (Marking(None, policy_tlp=Tlp.RED), Tlp.GREEN, Tlp.RED),
        (Marking(Tlp.AMBER, policy_tlp=Tlp.GREEN), Tlp.CLEAR, Tlp.AMBER),
        (Marking(Tlp.GREEN, policy_tlp=Tlp.AMBER), Tlp.CLEAR, Tlp.AMBER),
        (Marking(Tlp.GREEN, resharing=False), Tlp.CLEAR, Tlp.AMBER_STRICT),
        (Marking(Tlp.RED, resharing=False), Tlp.CLEAR, Tlp.RED),
        (Marking(None, pap=Pap.RED), Tlp.AMBER, Tlp.AMBER),
    ],
)
def test_a_policy_restricts_and_never_loosens(marking: Marking, default: Tlp, tlp: Tlp) -> None:
    """What a policy says of TLP raises label or default and stands in for neither; what stays here is AMBER+STRICT."""
    assert effective(marking, default).tlp is tlp


def test_a_candidate_bears_what_its_source_defined() -> None:
    """The gate is asked with the marking that definitions give, on the object and on its parts."""
    body = written(
        {
            "object_marking_refs": [TLP2_ID[Tlp.GREEN]],
            "granular_markings": [{"marking_ref": STATEMENT, "selectors": ["name"]}],
        }
    )
    known = {STATEMENT: Marking(None, statements=(STATEMENT,))}
    assert candidate_of(body, (), Tlp.RED).marking == Marking(Tlp.GREEN, (STATEMENT,))
    told = candidate_of(body, (), Tlp.RED, defined=known).marking
    assert told == Marking(Tlp.GREEN, statements=(STATEMENT,))

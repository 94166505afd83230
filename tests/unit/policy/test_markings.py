"""Markings: what ids mean together, whatever their bodies say."""

from __future__ import annotations

import pytest

from threatshare.model import Marking, Tlp
from threatshare.policy.markings import effective, marking_of
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, TLP_IDS

OPENCTI_STRICT = "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37"
STATEMENT = "marking-definition--00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(("ref", "tlp"), list(TLP_IDS.items()))
def test_every_family_of_ids(ref: str, tlp: Tlp) -> None:
    """Each TLP 1, TLP 2 and OpenCTI id alone means its label, on the object and on a part of it."""
    assert marking_of([ref]) == marking_of([], [ref]) == Marking(tlp)


def test_most_restrictive_wins() -> None:
    """Of several labels the most restrictive counts, wherever it stands."""
    green, red = TLP1_ID[Tlp.GREEN], TLP2_ID[Tlp.RED]
    assert marking_of([green, OPENCTI_STRICT]).tlp is Tlp.AMBER_STRICT
    assert marking_of([red, green]).tlp is marking_of([green], [red]).tlp is Tlp.RED


def test_unknown_ids_are_listed_once_and_sorted() -> None:
    """What we cannot read is listed beside what we can."""
    other = "marking-definition--00000000-0000-4000-8000-000000000000"
    marking = marking_of([STATEMENT, TLP2_ID[Tlp.GREEN], other], [STATEMENT])
    assert marking == Marking(Tlp.GREEN, (other, STATEMENT))


def test_ids_are_taken_to_the_letter() -> None:
    """An id in capitals or with blanks is not the id."""
    red = TLP2_ID[Tlp.RED]
    for near in (red.upper(), f" {red}", red[:-1]):
        assert marking_of([near]) == Marking(None, (near,))


def test_default_counts_only_where_there_is_no_label() -> None:
    """The source's default stands in for a missing label, and never lowers or hides what is there."""
    assert effective(Marking(None), Tlp.AMBER) == Marking(Tlp.AMBER)
    assert effective(Marking(None, (STATEMENT,)), Tlp.CLEAR) == Marking(Tlp.CLEAR, (STATEMENT,))
    for tlp in Tlp:
        assert effective(Marking(tlp), Tlp.CLEAR) == Marking(tlp)

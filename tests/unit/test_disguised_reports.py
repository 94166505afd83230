"""Incident reports for a partner who is not told who we are: they name what it knows, by the ids by which it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builders import BAD, DAY, NOW, US, domain, find, held_ids, let_out, make_collection, make_store, served, standing
from disguise_builders import NODE, OWN, node_outlet, profiled
from incident_builders import TYPES, held_rules, release_text, write
from threatshare.model import Collection, CollectionKind, Verdict
from threatshare.store.embedded import Store

OTHER = domain("bad.badhost.biz")
HIDDEN = profiled(None, None, attribution="must-not", object_types=TYPES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    find(made, BAD, OTHER)
    yield made
    made.close()


@pytest.fixture
def cisa(store: Store) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, "to-cisa", "cisa")


def test_a_report_names_what_the_partner_knows(store: Store, cisa: Collection) -> None:
    """What a released report refers to stands in the collection by those very ids, and stays released."""
    report = write(store, BAD.value, OTHER.value)
    outlet = node_outlet(cisa, HIDDEN)
    let_out(store, outlet)
    assert held_rules(store, report.id) == {"to-cisa": {"report-text"}}
    release_text(store, report.id)
    let_out(store, outlet)
    (told,) = [one for one in standing(store, cisa).values() if one["type"] == "report"]
    assert set(told["object_refs"]) == held_ids(store, cisa)
    text = msgspec.json.encode([one.body for one in served(store, cisa)]).decode().lower()
    assert not any(one in text for one in (US.partition("--")[2], NODE.name.lower(), *OWN.domains, report.id[8:]))
    before = len(served(store, cisa))
    assert let_out(store, node_outlet(cisa, HIDDEN, NOW + DAY)).withdrawn == 0
    assert len(served(store, cisa)) == before


def test_a_report_that_names_us_stays(store: Store, cisa: Collection) -> None:
    """A text with our name is refused for a partner who is not told who we are, so that nobody can release it."""
    report = write(store, BAD.value, description="Seen first at Our Company.")
    run = let_out(store, node_outlet(cisa, HIDDEN))
    (decision,) = [decision for _, object_id, decision in run.decisions if object_id == report.id]
    assert decision.verdict is Verdict.REFUSE
    assert [one.text for one in decision.reasons if one.rule == "anonymity"] == ["/description names us"]
    assert held_rules(store, report.id) == {}


@pytest.mark.parametrize(
    "text",
    [
        "Seen on the gateway of our-company[.]de.",
        "Seen on our-company (.) de",
        "mail.our-company dot de",
        "our-company . de",
        "OUR-COMPANY [dot] DE",
        "\u043eur-company.de",
        "Our\nCompany",
        "Our_Company",
        "\u041eur C\u043empany",
        "\uff2f\uff55\uff52 \uff23\uff4f\uff4d\uff50\uff41\uff4e\uff59",
    ],
)
def test_however_we_are_spelt_it_stays(store: Store, cisa: Collection, text: str) -> None:
    """Our name and domains are refused as people read them: defanged, spelt out, dressed up or with look-alikes."""
    report = write(store, BAD.value, description=f"It says {text} in the log.")
    run = let_out(store, node_outlet(cisa, HIDDEN))
    (decision,) = [decision for _, object_id, decision in run.decisions if object_id == report.id]
    assert decision.verdict is Verdict.REFUSE, decision.reasons


def test_what_was_read_for_a_reader_who_knows_us_is_read_anew(store: Store, cisa: Collection) -> None:
    """A report that people released for a partner who knows us waits again once that partner is not told any more."""
    report = write(store, BAD.value, description="Seen at noon, when the shift changes.")
    let_out(store, node_outlet(cisa, profiled(None, None, object_types=TYPES)))
    release_text(store, report.id)
    assert let_out(store, node_outlet(cisa, profiled(None, None, object_types=TYPES))).released == {"to-cisa": 1}
    let_out(store, node_outlet(cisa, HIDDEN, NOW + DAY))
    assert [one["type"] for one in standing(store, cisa).values() if one["type"] == "report"] == []
    assert held_rules(store, report.id) == {"to-cisa": {"report-text"}}

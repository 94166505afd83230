"""The page of a check-in: what stands on it, what does not, and that it is one page."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from threatshare.report.checkin import (
    Answers,
    Digest,
    Received,
    Said,
    Shared,
    Unanswered,
    handover,
    internal,
)
from threatshare.report.register import Called
from threatshare.report.sheet import Sheet, markdown, page

BEGIN, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


def uid(number: int, kind: str = "indicator") -> str:
    """Gives an id."""
    return f"{kind}--00000000-0000-4000-8000-{number:012d}"


def full(many: int = 1) -> Digest:
    """A digest that has something to say everywhere, ``many`` of each."""
    ids = [uid(one) for one in range(many)]
    return Digest(
        "example-isac",
        "Example Energy",
        "green",
        BEGIN,
        END,
        Shared(
            41,
            7,
            Counter({"ipv4-addr": 30, "url": 10, "sighting": 1} | {f"x-{one}": 1 for one in range(many)}),
            Counter(high=30, medium=11),
            Counter({f"T{1000 + one}": one + 1 for one in range(many)}),
            3,
            Counter({"marking-ceiling": 2, "own-asset": 1} | {f"rule-{one}": 1 for one in range(many)}),
            5,
            END,
            END,
        ),
        Received(
            120,
            9,
            4,
            Counter({"domain-name": 100} | {f"x-{one}": 1 for one in range(many)}),
            Counter({f"{uid(one)}: the value '{one}.test' is none": 1 for one in range(many)}),
            100,
            60,
            40,
            3.25,
            0.5,
        ),
        Answers(
            ids,
            [uid(9_000)],
            [uid(one) for one in range(100, 100 + many)],
            [Said(one, "disagree") for one in ids],
            [Said(uid(9_001), "disagree")],
            [Said(uid(200), "strongly-disagree"), Said(uid(201), "agree")],
        ),
        tuple(Unanswered(one, BEGIN, END) for one in ids),
        True,
        (("next check-in", date(2026, 8, 30)), ("agreement in force until", date(2027, 2, 28))),
        tuple(
            Called("duty24x7", f"Watch desk {one}", "+1 555 0100", date(2026, 2, 20), date(2026, 8, 19), one > 0)
            for one in range(min(many, 4))
        ),
        (("who", "Security desk"), ("security reports", "mailto:security@example.org")),
        ("a reason why nothing leaves",),
        ("a contact is overdue",),
        "what was noted",
    )


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("handover.md", lambda: markdown(handover(full()))),
        ("handover.html", lambda: page(handover(full()))),
        ("internal.md", lambda: markdown(internal(full()))),
    ],
)
def test_golden_pages(root: Path, name: str, made: object) -> None:
    """The pages are, byte for byte, what was looked at and found good."""
    assert callable(made)
    assert made() == (root / "tests/golden/checkin" / name).read_text("utf-8")


def test_the_partners_page_says_nothing_of_our_own() -> None:
    """Rules, what is held, warnings, notes, and what the partner was not sent are on the internal page alone."""
    ours, theirs = markdown(internal(full())), markdown(handover(full()))
    for text in ("own-asset", "rule-0", "what was noted", uid(9_000), uid(9_001), "is overdue", "why nothing leaves"):
        assert text in ours
        assert text not in theirs
    assert "held by the gate now: 5" in ours
    assert "held" not in theirs


def test_reasons_are_told_without_ids_and_values() -> None:
    """What was not taken is told by the kind of reason: reasons that differ in a value only are one."""
    made = markdown(handover(full(30)))
    assert "not taken: 30 (30 the value … is none)" in made
    assert ".test" not in made


def test_the_marking_stands_at_both_ends() -> None:
    """Head and foot say how the page is marked: the partner's as agreed, ours never below AMBER+STRICT."""
    assert markdown(handover(full())).count("**TLP:GREEN**") == 2
    assert page(handover(full())).count("TLP:GREEN") == 2
    assert "TLP:AMBER+STRICT" in internal(full()).marking
    assert "TLP:RED" in internal(replace(full(), tlp="red")).marking


@pytest.mark.parametrize("many", [1, 7, 10_000])
def test_it_is_one_page(many: int) -> None:
    """However much happened, the page has no more lines than an A4 page in two columns holds."""
    made = handover(full(many))
    assert _lines(made) <= 2 * 58


def _lines(made: Sheet) -> int:
    """Counts lines of a column of 44 characters, with a generous heading for each block."""
    texts = [f"{what} {said}" for block in made.blocks for what, said in block.facts]
    texts += [line for block in made.blocks for line in block.lines]
    texts += ["  ".join(row) for block in made.blocks for row in block.rows]
    return sum(-(-len(text) // 44) for text in texts) + 3 * len(made.blocks)

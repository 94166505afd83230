"""The explanation of a score: what an analyst reads."""

from __future__ import annotations

from dataclasses import replace

from threatshare.model import Claim, Evidence, Kind
from threatshare.triage.decay import DAY
from threatshare.triage.explanation import explain
from threatshare.triage.score import NO_EVIDENCE, score

NOW = 1_790_000_000_000_000
A = Claim("feed-a", "indicator--a", "alpha", "B", 85, NOW - 3 * DAY, NOW - 9 * DAY, None)
B = Claim("feed-b", "indicator--b", "beta", "C", None, NOW, NOW - DAY, None)


def terms(*claims: Claim, evidence: Evidence = NO_EVIDENCE) -> list[str]:
    return list(score(Kind.IPV4, claims, evidence, NOW).terms)


def test_a_line_a_term() -> None:
    """Each origin has a line with source, confidence, reliability, age and contribution, the strongest first."""
    assert terms(B, A) == [
        "feed-a: confidence 85 x reliability B (0.75) = 0.64; 81% left after 3 d: 0.52",
        "feed-b: confidence not stated (taken as 50) x reliability C (0.5) = 0.25; 100% left after 0 min: 0.25",
        "2 independent origins together: 0.64",
        "score 64 (medium)",
    ]


def test_copies_are_named_and_counted_once() -> None:
    """Further sources of one origin are named behind the strongest, and said to count once."""
    copies = [replace(A, source=f"copy-{number}", confidence=10) for number in range(7)]
    assert terms(A, *copies)[0].endswith(
        "; copies: also said by copy-0, copy-1, copy-2, copy-3, copy-4 and 2 more, counted once"
    )
    assert "together" not in "\n".join(terms(A, *copies))


def test_what_counts_nothing_says_why() -> None:
    """A claim that contributes nothing says which rule took its weight."""
    spoilt = {
        "nothing, its creator revoked it": replace(A, revoked=True),
        "nothing, it calls the value benign or anomalous only": replace(A, benign=True),
        "nothing, it was valid until 2026-09-20 14:13 UTC": replace(A, valid_until=NOW - DAY),
        "nothing, it is valid only from 2026-09-22 14:13 UTC": replace(A, valid_from=NOW + DAY),
    }
    for words, claim in spoilt.items():
        assert terms(claim) == [f"feed-a: {words}", "score 0 (none)"]


def test_evidence_and_caps_come_last_in_order() -> None:
    """Negative evidence, sightings and caps are explained after the claims, in the order in which they act."""
    evidence = Evidence(2, 1, own_asset=True, known_benign="top sites")
    assert terms(A, evidence=evidence)[1:] == [
        "false positives reported: 2, each x 0.1 on the odds",
        "sightings confirmed here: 1, each x 5 on the odds",
        "after that evidence: 0.05",
        "known benign (top sites): at most 20",
        "one of our own assets: 0, and it never leaves",
        "score 0 (none)",
    ]


def test_the_cap_of_a_single_claim_is_shown() -> None:
    """A claim at certainty says that no claim is surer than .95."""
    assert "0.95 (no claim is surer)" in terms(replace(A, confidence=100, reliability="A"))[0]


def test_nobody_claims_it() -> None:
    """A value without claims says so."""
    assert explain(Kind.IPV4, [], NO_EVIDENCE, NOW, 0) == ("nobody claims anything of this value", "score 0 (none)")

"""Approvals of holds: which two persons have to give, and what exactly each is for."""

from __future__ import annotations

import pytest

from gate_builders import agreement, ask, facts, our_indicator, partner
from threatshare.model import Reason, Verdict
from threatshare.policy.agreements import Outbound
from threatshare.policy.approvals import approval_key, needs_two
from threatshare.policy.detectors import DETECTORS, ENCODED
from threatshare.policy.gate import RULES, decide
from threatshare.policy.privacy import NEVER_SHARE, PRIVACY
from threatshare.policy.report_rules import text_rule
from threatshare.stix.observables import recognise

MAIL = recognise("http://evil.ru/?e=billing.department@evil.ru")
WHO = "First desk on 2026-06-15 and by Second desk on 2026-06-16: seen; seen too"


def held(rule: str, text: str = "something") -> Reason:
    return Reason(rule, Verdict.HOLD, text)


def test_private_data_and_free_text_need_two() -> None:
    """Every privacy detector's hold, and every version's free text, is for two persons; an agreement's term for one."""
    assert all(needs_two(rule) for rule in (PRIVACY, ENCODED, text_rule("0" * 16), *(one.rule for one in DETECTORS)))
    assert not any(needs_two(rule) for rule in ("approval", "minimum-score", "own-asset", "profile", NEVER_SHARE))


def test_an_approval_is_for_what_was_found() -> None:
    """The same find at the same place has the same key; another find, place or rule has another."""
    first = approval_key(held("privacy-mail", "/name holds a mail address (keyed hash 12)"))
    assert first == approval_key(held("privacy-mail", "/name holds a mail address (keyed hash 12)"))
    others = [
        held("privacy-mail", "/name holds a mail address (keyed hash 13)"),
        held("privacy-mail", "/pattern holds a mail address (keyed hash 12)"),
        held("privacy-user", "/name holds a mail address (keyed hash 12)"),
    ]
    assert len({first, *map(approval_key, others)}) == 4
    assert first.startswith("privacy-mail ")
    assert approval_key(held("minimum-score", "score 3")) == "minimum-score"


@pytest.mark.parametrize("key", ["privacy-mail", "privacy", "privacy-mail 0000000000000000"])
def test_a_release_by_the_rule_alone_lifts_nothing_private(key: str) -> None:
    """What names only the rule, or another find of it, leaves a privacy hold as it is."""
    content = our_indicator(MAIL)
    before = decide(ask(content, [MAIL]), partner(), facts())
    assert decide(ask(content, [MAIL], approved={key: WHO}), partner(), facts()) == before
    assert before.verdict is Verdict.HOLD


def test_a_release_of_the_find_lifts_it() -> None:
    """What names exactly what was found lets it go, and the reason names both persons."""
    content = our_indicator(MAIL)
    (hold,) = [one for one in decide(ask(content, [MAIL]), partner(), facts()).reasons if one.verdict is Verdict.HOLD]
    after = decide(ask(content, [MAIL], approved={approval_key(hold): WHO}), partner(), facts())
    assert after.verdict is Verdict.RELEASE
    assert f"{hold.text}; released by {WHO}" in [one.text for one in after.reasons]


def test_one_person_is_enough_for_terms() -> None:
    """A minimum score, which the agreement sets, is still lifted by its rule's name."""
    audience = partner(agreement(outbound=Outbound("amber", min_score=50)))
    one = ask(our_indicator(), score=10, approved={"minimum-score": "First desk on 2026-06-15: seen"})
    assert decide(one, audience, facts()).verdict is Verdict.RELEASE


def test_no_rule_is_called_like_a_find() -> None:
    """No rule's id holds a space, which parts rule and find in a key."""
    reasons = decide(ask(our_indicator()), partner(), facts()).reasons
    assert RULES
    assert not any(" " in one.rule for one in reasons)

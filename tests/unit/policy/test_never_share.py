"""The never-share list: what is on it goes to no other organisation, in any spelling; our own tools still get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate_builders import INTERNAL, SIEM, THEM, agreement, ask, facts, our_indicator, partner, rules_against
from threatshare.errors import ConfigurationError
from threatshare.model import Kind, Tlp, Verdict
from threatshare.policy.agreements import Inbound
from threatshare.policy.gate import may_export, policy_of
from threatshare.policy.never_share import FILE, NeverShare, load_never_share
from threatshare.stix.observables import canonical, recognise

LISTED = """
values = [
    "45.1.2.3",                     # the scanner that we pay for
    "hxxps://Partner[.]biz/portal", # ticket 12
    "pay@payroll.biz",
]
networks = ["45.20.0.0/16", "2a0b::/32"]
domains = ["payroll-provider.biz", "*.customer.biz"]
"""


@pytest.fixture
def listed(tmp_path: Path) -> NeverShare:
    (tmp_path / FILE).write_text(LISTED)
    return load_never_share(tmp_path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("45.1.2.3", "a value"),
        ("45.1.2.4", None),
        ("http://45.1.2.3:8080/x", "a value"),
        ("https://partner.biz/portal", "a value"),
        ("https://partner.biz/other", None),
        ("http://evil.ru/?next=https%3A%2F%2Fpartner.biz%2Fportal", "a value"),
        ("http://evil.ru/?to=cGF5QHBheXJvbGwuYml6", "a value"),
        ("pay@payroll.biz", "a value"),
        ("45.20.9.9", "a network"),
        ("45.0.0.0/8", "a network"),
        ("http://45.20.9.9/", "a network"),
        ("http://evil.ru/?from=45.20.9.9", "a network"),
        ("2a0b::7", "a network"),
        ("payroll-provider.biz", "a domain"),
        ("www.customer.biz", "a domain"),
        ("not-customer.biz", None),
        ("http://login.payroll-provider.biz/x", "a domain"),
        ("somebody@payroll-provider.biz", "a domain"),
        ("http://evil.ru/login?for=payroll-provider.biz", "a domain"),
        ("http://evil.ru/my-payroll-provider.biz", None),
    ],
)
def test_what_is_on_the_list(listed: NeverShare, text: str, part: str | None) -> None:
    """Values exactly, networks by overlap, domains with what is below; also inside URLs and mail addresses."""
    value = recognise(text)
    assert listed.names(value) == part
    against = rules_against(ask(our_indicator(value), [value]), partner(), facts(never_share=listed))
    assert (("never-share", Verdict.REFUSE) in against) == (part is not None)
    in_files = {one.rule for one in may_export(value, facts(never_share=listed))}
    assert ("never-share" in in_files) == (part is not None)


def test_a_compound_pattern_is_searched(listed: NeverShare) -> None:
    """A pattern that is kept whole is refused where it mentions what is on the list."""
    for inner, on in (("45.1.2.3", True), ("45.20.3.4", True), ("45.1.2.34", False)):
        value = canonical(Kind.PATTERN, f"[ipv4-addr:value = '{inner}' AND url:value LIKE 'http://x%']")
        assert (listed.names(value) is not None) is on


def test_others_words_may_not_mention_it(listed: NeverShare) -> None:
    """An object of somebody else that would go on is refused where any of its texts mentions what is on the list."""
    theirs = our_indicator(tlp=Tlp.CLEAR, maker=THEM) | {"description": "seen at www.customer.biz"}
    given = facts(never_share=listed, agreements={"south": agreement("south", inbound=Inbound(onward_max_tlp="green"))})
    assert rules_against(ask(theirs, source="south"), partner(), given) == [("never-share", Verdict.REFUSE)]


def test_our_own_tools_still_get_it(listed: NeverShare) -> None:
    """Only leaving is refused: the internal and the SIEM collection take what is on the list."""
    value = recognise("45.1.2.3")
    for audience in (INTERNAL, SIEM):
        assert rules_against(ask(our_indicator(value), [value]), audience, facts(never_share=listed)) == []


def test_the_policy_follows_the_list(listed: NeverShare) -> None:
    """A change of the list has what partners hold decided anew, and nothing in our own organisation."""
    assert policy_of(partner(), facts()) != policy_of(partner(), facts(never_share=listed))
    assert policy_of(SIEM, facts()) == policy_of(SIEM, facts(never_share=listed))


def test_no_file_is_an_empty_list(tmp_path: Path) -> None:
    """Without the file nothing is on the list."""
    assert load_never_share(tmp_path) == NeverShare()
    assert not load_never_share(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('values = ["not a value"]', "values: 'not a value'"),
        ('networks = ["45.1.2.300/8"]', "networks: '45.1.2.300/8'"),
        ('domains = ["a b"]', "domains: 'a b'"),
        ('value = ["45.1.2.3"]', "did you mean values"),
        ("values = [1]", "values"),
    ],
)
def test_what_cannot_be_read_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    """An entry that cannot be read stops the node instead of being passed over."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigurationError, match=said) as problem:
        load_never_share(tmp_path)
    assert FILE in str(problem.value)

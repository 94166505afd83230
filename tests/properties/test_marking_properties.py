"""Laws of markings: a join, which no further marking ever loosens, neither at the gate nor in a blocking export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from builders import BEGUN, DAY, NOW, feed_source, ip, make_indicator_json, make_store, take_in
from gate_builders import BAD, THEM, agreement, ask, facts, our_indicator, partner
from marking_builders import a_privilege, a_statement, acs_policy, an_acs, an_iep, any_markings, as_json, marking_uuid
from threatshare.model import Claim, Evidence, Marking, Tlp, Verdict
from threatshare.policy.agreements import Inbound
from threatshare.policy.gate import decide
from threatshare.policy.marking_rules import why_not_blocked
from threatshare.policy.markings import effective, marking_of
from threatshare.stix.marking_definitions import FIXED, read_definition
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.lookups import claims_about, known
from threatshare.triage.merged import MONITOR_ONLY, merge

NOTHING = Marking(None)
ORDER = {Verdict.RELEASE: 0, Verdict.HOLD: 1, Verdict.REFUSE: 2}
moments = st.integers(-1, 4)


def at_least(strict: Marking, lax: Marking) -> bool:
    """Tells whether a marking restricts in every property at least as much as another."""
    return strict.joined(lax) == strict


@given(any_markings, any_markings, any_markings)
def test_markings_form_a_semilattice(a: Marking, b: Marking, c: Marking) -> None:
    """Joining is associative, commutative and idempotent, and what restricts nothing is neutral."""
    assert a.joined(b).joined(c) == a.joined(b.joined(c))
    assert a.joined(b) == b.joined(a)
    assert a.joined(a) == a
    assert a.joined(NOTHING) == NOTHING.joined(a) == a


@given(any_markings, any_markings, moments)
def test_a_join_allows_what_both_allow(a: Marking, b: Marking, now: int) -> None:
    """The join restricts as much as either, and a value may be blocked under it only where both let it."""
    both = a.joined(b)
    assert at_least(both, a)
    assert at_least(both, b)
    assert both.may_block_at(now) == (a.may_block_at(now) and b.may_block_at(now))
    assert both.holds_at(now) == (a.holds_at(now) and b.holds_at(now))


@given(any_markings, any_markings, st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_the_effective_tlp_only_rises(a: Marking, b: Marking, default: Tlp, stricter: Tlp) -> None:
    """A further marking never lowers the TLP that counts, but for a label of its own in the place of the default."""
    counts = effective(a, default).tlp or Tlp.CLEAR
    if a.tlp is not None or b.tlp is None:
        assert (effective(a.joined(b), default).tlp or Tlp.CLEAR) >= counts
    assert (effective(a, max(default, stricter)).tlp or Tlp.CLEAR) >= counts
    assert counts >= max(default if a.tlp is None else a.tlp, a.policy_tlp or Tlp.CLEAR)


REFS = [marking_uuid(number) for number in range(4)]
refs = st.lists(st.sampled_from([*sorted(FIXED), *REFS]), max_size=4)
some_definitions = st.dictionaries(st.sampled_from(REFS), any_markings, max_size=3)


@given(refs, refs, some_definitions, st.permutations(range(4)))
def test_order_place_and_repetition_do_not_matter(
    whole: list[str], parts: list[str], defined: dict[str, Marking], order: Sequence[int]
) -> None:
    """However the ids stand on an object and its parts, they mean the same, and more ids never mean less."""
    read = marking_of(whole, parts, defined)
    shuffled = [whole[at] for at in order if at < len(whole)]
    assert read == marking_of([*parts, *shuffled, *parts], (), defined) == marking_of((), [*shuffled, *parts], defined)
    assert at_least(read, marking_of(whole, (), defined))
    assert set(read.unknown) >= {one for one in (*whole, *parts) if one not in defined and one not in FIXED}


words = {
    "permitted_actions": [
        "none",
        "contact-for-instruction",
        "internally-visible-actions",
        "externally-visible-indirect-actions",
        "externally-visible-direct-actions",
    ],
    "tlp": ["white", "green", "amber", "red"],
    "provider_attribution": ["may", "must", "must-not"],
    "unmodified_resale": ["may", "must-not"],
    "start_date": ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    "end_date": ["2026-01-02T00:00:00Z", "2027-01-02T00:00:00Z"],
}
defaults = st.sampled_from(["permit", "deny"])
bodies = st.one_of(
    st.just(a_statement()),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(some) for name, some in words.items()}).map(
        lambda told: an_iep(**told)
    ),
    st.builds(
        lambda act, share, level, rules: an_acs(
            controls={"classification": level}, policy_reference=acs_policy(act, share), access_privilege=rules
        ),
        defaults,
        defaults,
        st.sampled_from(["U", "U", "U", "S"]),
        st.lists(st.builds(a_privilege, st.sampled_from(["NETDEF", "DSPLY", "ALL"]), defaults), max_size=2),
    ),
    st.just(a_statement(x_unknown=1)),
)
"""What a partner may send as its definition of ``marking_uuid()``."""

GIVEN = facts(
    agreements={"hub": agreement("hub", inbound=Inbound(sources=("feed",), onward_max_tlp="green", may_block=True))}
)


@given(some_definitions, bodies, refs, st.sampled_from(REFS), st.sampled_from([Tlp.CLEAR, Tlp.GREEN]))
def test_one_more_marking_never_releases_more(
    defined: dict[str, Marking], body: dict[str, object], borne: list[str], more: str, tlp: Tlp
) -> None:
    """An object of others that bears one marking more, whatever that means, goes no further than without it."""
    defined = defined | {REFS[1]: read_definition(REFS[1], as_json(body))}

    def verdict(*ids: str) -> int:
        content = our_indicator(maker=THEM, tlp=tlp)
        content["object_marking_refs"] = [TLP2_ID[tlp], *ids]
        candidate = ask(content, [BAD], "feed", default_tlp=Tlp.AMBER, defined=defined)
        return ORDER[decide(candidate, partner(), GIVEN).verdict]

    assert verdict(*borne, more) >= verdict(*borne)
    assert verdict(*borne, next(iter(FIXED))) >= verdict(*borne)


said = st.builds(
    Claim,
    source=st.sampled_from(["feed", "feed-b", "open feed"]),
    indicator_id=st.just("indicator--a"),
    origin=st.sampled_from(["alpha", "beta", THEM]),
    reliability=st.sampled_from("ABE"),
    confidence=st.sampled_from([20, 60, 100]),
    observed=st.integers(-40, 0).map(lambda days: NOW + days * DAY),
    valid_from=st.just(BEGUN),
    valid_until=st.none() | st.just(NOW + DAY),
    revoked=st.sampled_from([False, False, True]),
    marking=any_markings.map(lambda one: replace(one, unknown=(), tlp=one.tlp or Tlp.GREEN)),
)


def blocked(claims: Sequence[Claim], floor: int) -> bool:
    """Tells whether a value stands both in an ordinary and in a blocking export, as ``export`` asks."""
    allowing = [one for one in claims if why_not_blocked(one, GIVEN, NOW) is None]
    views = [merge(ip(), some, Evidence(), THEM, floor, NOW) for some in (claims, allowing)]
    return all(one.facts is not None for one in views)


@given(st.lists(said, max_size=4), st.integers(0, 3), any_markings, st.sampled_from([1, 30, 70]))
def test_one_more_marking_never_lets_more_be_blocked(claims: list[Claim], at: int, more: Marking, floor: int) -> None:
    """Where a claim bears one marking more, nothing enters a blocking export that was not in it before."""
    if at >= len(claims):
        return
    marked = [*claims]
    marked[at] = replace(claims[at], marking=claims[at].marking.joined(replace(more, unknown=())))
    assert blocked(claims, floor) or not blocked(marked, floor)


@given(st.lists(said, max_size=4), st.sampled_from([1, 30, 70]))
def test_what_nobody_lets_us_block_is_only_watched(claims: list[Claim], floor: int) -> None:
    """An indicator of our own tools says that it is only to be watched where no standing claim lets it be blocked."""
    one = merge(ip(), claims, Evidence(), THEM, floor, NOW)
    if one.facts is not None:
        allowing = [other for other in claims if other.marking.may_block_at(NOW)]
        alone = merge(ip(), allowing, Evidence(), THEM, 0, NOW)
        assert (MONITOR_ONLY in one.facts.labels) == (alone.facts is None)


@given(st.lists(said, min_size=1, max_size=4), st.integers(0, 3), st.sampled_from([1, 30]))
def test_what_every_source_forbids_is_never_blocked(claims: list[Claim], at: int, floor: int) -> None:
    """Without a single claim whose marking lets it be blocked, a value is in no blocking export; one is enough."""
    forbidden = [replace(one, marking=replace(one.marking, may_block=False)) for one in claims]
    assert not blocked(forbidden, floor)
    free = replace(claims[at % len(claims)], marking=Marking(Tlp.GREEN), confidence=100, observed=NOW, reliability="A")
    free = replace(free, source="open feed", origin="alpha", revoked=False)
    assert blocked([*forbidden, free], floor)


arrivals = st.lists(st.sampled_from(["object", "definition", "other source's"]), min_size=1, max_size=5)


@given(bodies, arrivals, st.booleans())
def test_a_definition_counts_in_any_order(body: dict[str, object], order: list[str], together: bool) -> None:
    """Whatever comes first, and in however many batches: the claim is marked as its source's definition says."""
    sent = {"object": make_indicator_json(1, tlp=REFS[1]), "definition": as_json(body | {"id": REFS[1]})}
    with TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        source, other = feed_source(store), feed_source(store, "feed-b")
        for what in order:
            if what in sent:
                take_in(store, source, *(sent.values() if together else [sent[what]]))
            else:
                take_in(store, other, as_json(a_statement(ref=REFS[1])))
        numbers = [one.number for one in known(store.conn, store.key_of, [ip()]).values()]
        claims = [one.claim for some in claims_about(store.conn, numbers).values() for one in some]
        store.close()
    came = set(sent) if together and set(order) & set(sent) else set(order)
    meaning = read_definition(REFS[1], as_json(body | {"id": REFS[1]})) if "definition" in came else None
    wanted = effective(marking_of([REFS[1]], (), {REFS[1]: meaning} if meaning else {}), Tlp.GREEN)
    wanted = Marking(None, wanted.unknown) if wanted.unknown else wanted
    assert [one.marking for one in claims] == ([wanted] if "object" in came else [])

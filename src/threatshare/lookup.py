"""Questions: what do we know of this value, and why -> recognise -> find -> score now -> explain -> relate.

Read-only and by key: a question costs the same at a thousand and at ten million observables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from threatshare.errors import BadValue
from threatshare.model import Claim, Kind, Micros, Observable, Score, Seen, host_of
from threatshare.stix.observables import canonical, recognise
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import reread
from threatshare.store.connection import Connection
from threatshare.store.context import Context, context_of
from threatshare.store.exercises import practised
from threatshare.store.feedback import Feedback, feedback_on
from threatshare.store.keys import KeyOf, key_maker, store_secret
from threatshare.store.lookups import HeldClaim, Known, claims_about, current_bodies, known, listed_rows
from threatshare.store.observations import seen_of
from threatshare.store.pointers import pointing_at
from threatshare.store.set_aside import marked_values
from threatshare.triage.score import score

_WIDEST = {4: 8, 6: 16}
"""Shortest prefixes of covering networks that are asked for."""


@dataclass(frozen=True, slots=True)
class Related:
    """Another observable that the store knows and that has to do with the one asked for."""

    relation: str
    """``covering-network``, ``parent-domain``, ``host``, ``domain`` or ``same-file``."""
    observable: Observable
    score: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store knows of one value."""

    value: str
    """As it was asked."""
    observable: Observable | None
    """None where the value is nothing that we recognise."""
    problem: str | None = None
    score: Score | None = None
    """None where nobody says anything about the value itself."""
    claims: tuple[Claim, ...] = ()
    seen: tuple[Seen, ...] = ()
    """What our own sensors saw of it."""
    feedback: tuple[Feedback, ...] = ()
    """What people have said of it, also what was taken back."""
    related: tuple[Related, ...] = ()
    lists: tuple[tuple[str, str | None], ...] = ()
    """(feed, row) of the lists that name the value; the row as it stood, None where it is the value alone."""
    context: tuple[Context, ...] = ()
    """What the indicators about it indicate, which reports they stand in, who made them, and what points at them."""
    exercises: tuple[str, ...] = ()
    """Of which exercises it is, in words; that says nothing of what it is in earnest."""

    @property
    def known(self) -> bool:
        """Whether anybody, our sensors included, has said something about it or what covers it."""
        return bool(self.claims or self.seen or self.related or self.context)


def lookup(conn: Connection, values: Sequence[str], now: Micros) -> Iterator[Answer]:
    """Answers for each value in order; a value that is nothing we recognise is answered with the reason."""
    key_of = key_maker(store_secret(conn))
    for value in values:
        try:
            observable = recognise(value)
        except BadValue as problem:
            yield Answer(value, None, str(problem))
            continue
        yield _answer(conn, key_of, value, observable, now)


def _answer(conn: Connection, key_of: KeyOf, value: str, observable: Observable, now: Micros) -> Answer:
    asked = {observable: "itself", **dict(_neighbours(observable))}
    found = known(conn, key_of, asked)
    claims = claims_about(conn, [one.number for one in found.values()])
    scores = {one: _score_now(entry, claims.get(entry.number, []), now) for one, entry in found.items()}
    held = claims.get(found[observable].number, []) if observable in found else []
    bodies = current_bodies(conn, [one.object for one in held])
    related = [Related(asked[one], one, scores[one].value) for one in asked if one in found and one != observable]
    related += _same_file(conn, key_of, observable, bodies.values(), now)
    seen = seen_of(conn, key_of, [observable]).get(observable, [])
    return Answer(
        value,
        observable,
        None,
        scores.get(observable),
        tuple(_identified(one, bodies) for one in held),
        tuple(seen),
        tuple(feedback_on(conn, key_of, observable)),
        tuple(related),
        tuple(listed_rows(conn, found[observable].number).items()) if observable in found else (),
        (*context_of(conn, key_of, held, bodies), *pointing_at(conn, key_of, observable, held, bodies)),
        _exercises(conn, key_of, observable),
    )


def _exercises(conn: Connection, key_of: KeyOf, observable: Observable) -> tuple[str, ...]:
    ours = practised(conn, key_of, [observable]).get(observable, ())
    theirs = marked_values(conn, key_of, [observable]).get(observable, ())
    states = [f"an inject of exercise {one.exercise}, {'ended' if one.ended else 'running'}" for one in ours]
    return (*states, *(f"marked as exercise data by {source}" for source in theirs))


def _score_now(entry: Known, claims: Sequence[HeldClaim], now: Micros) -> Score:
    return score(entry.observable.kind, [one.claim for one in claims], entry.evidence, now)


def _identified(held: HeldClaim, bodies: dict[int, bytes]) -> Claim:
    body = bodies.get(held.object)
    # A list makes its claims itself: its rows are no indicators.
    return held.claim if body is None else replace(held.claim, indicator_id=reread(body).id)


def _neighbours(observable: Observable) -> Iterator[tuple[Observable, str]]:
    """Gives what may say something about a value: covering networks, parent domains, host, mail domain."""
    kind, value = observable.kind, observable.value
    if kind in (Kind.IPV4, Kind.IPV6):
        network = ip_network(value)
        while network.prefixlen > _WIDEST[network.version]:
            network = network.supernet()
            yield Observable(kind, network.compressed), "covering-network"
    elif kind is Kind.DOMAIN:
        yield from ((one, "parent-domain") for one in _parents(value))
    elif kind is Kind.EMAIL:
        domain = value.rpartition("@")[2]
        yield Observable(Kind.DOMAIN, domain), "domain"
        yield from ((one, "parent-domain") for one in _parents(domain))
    elif kind is Kind.URL:
        yield from _hosts(host_of(value))


def _hosts(host: str) -> Iterator[tuple[Observable, str]]:
    for kind in (Kind.IPV4, Kind.IPV6, Kind.DOMAIN):
        try:
            found = canonical(kind, host)
        except BadValue:
            continue
        yield found, "host"
        yield from _neighbours(found)
        return


def _parents(domain: str) -> Iterator[Observable]:
    labels = domain.split(".")
    for start in range(1, len(labels) - 1):
        yield Observable(Kind.DOMAIN, ".".join(labels[start:]))


def _hashes_of_one_file(body: bytes) -> list[Observable]:
    """Gives the hashes that an indicator names, unless two are of one algorithm: those are of several files."""
    hashes = [one for one in read_pattern(reread(body).pattern or "") if one.kind.algorithm is not None]
    return hashes if len({one.kind for one in hashes}) == len(hashes) else []


def _same_file(
    conn: Connection, key_of: KeyOf, observable: Observable, bodies: Iterable[bytes], now: Micros
) -> list[Related]:
    """Finds the other hashes that the same indicators give for a file."""
    if observable.kind.algorithm is None:
        return []
    others = {one for body in bodies for one in _hashes_of_one_file(body) if one != observable}
    found = known(conn, key_of, others)
    claims = claims_about(conn, [one.number for one in found.values()])
    return [
        Related("same-file", one, _score_now(entry, claims.get(entry.number, []), now).value)
        for one, entry in sorted(found.items())
    ]

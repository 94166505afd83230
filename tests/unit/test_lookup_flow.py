"""Questions: what is known of a value and of what covers it, scored now, through a connection that only reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import (
    DAY,
    NOW,
    domain,
    feed_source,
    identity_uuid,
    indicator_uuid,
    ip,
    make_finding,
    make_indicator_json,
    make_store,
    take_findings,
    take_in,
)
from threatshare.lookup import Answer, lookup
from threatshare.model import Kind, Micros, Observable, Role, Tlp
from threatshare.store.connection import Connection, open_reader
from threatshare.store.embedded import Store
from threatshare.store.lookups import OWN_ASSET, claims_about, evidence_of, known
from threatshare.triage.score import score

MD5, SHA1, SHA256 = (
    Observable(Kind.MD5, "ab" * 16),
    Observable(Kind.SHA1, "ab" * 20),
    Observable(Kind.SHA256, "c" * 64),
)
OURS, BENIGN = ip("45.9.9.9"), ip("45.9.9.8")


def caps(observable: Observable) -> str | None:
    return {OURS: OWN_ASSET, BENIGN: "a list"}.get(observable)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path, caps)
    yield made
    made.close()


@pytest.fixture
def reader(store: Store, tmp_path: Path) -> Iterator[Connection]:
    conn = open_reader(tmp_path / "store.db")
    yield conn
    conn.close()


def say(store: Store, *about: Observable | str, source: str = "feed-a", first: int = 1, **more: Any) -> None:
    """Has a feed say something of some values, an indicator each."""
    raws = [
        make_indicator_json(number, one, **({"confidence": 80, "modified": NOW} | more))
        for number, one in enumerate(about, first)
    ]
    tally, rejects = take_in(store, feed_source(store, source, "A"), *raws)
    assert (tally.new, rejects) == (len(about), [])


def ask(reader: Connection, value: str, now: Micros = NOW) -> Answer:
    (answer,) = lookup(reader, [value], now)
    assert answer.value == value
    return answer


def related(answer: Answer) -> list[tuple[str, str]]:
    return [(one.relation, one.observable.value) for one in answer.related]


def test_a_known_value(store: Store, reader: Connection) -> None:
    """An answer names every claim with source, indicator and origin, the score now, and why it is that."""
    say(store, ip(), source="feed-a", by=identity_uuid(3), tlp=Tlp.AMBER)
    say(store, ip(), source="feed-b", first=2)
    answer = ask(reader, "45.66.77.88")
    assert answer.known
    assert answer.score is not None
    assert (answer.score.value, answer.score.band) == (96, "high")
    assert len(answer.score.terms) >= 3
    assert {(one.source, one.indicator_id, one.origin, one.marking.tlp) for one in answer.claims} == {
        ("feed-a", indicator_uuid(1), identity_uuid(3), Tlp.AMBER),
        ("feed-b", indicator_uuid(2), "feed-b", Tlp.GREEN),
    }


@pytest.mark.parametrize("asked", ["hxxps://C2.badhost[.]biz:443/a/../b", "https://c2.badhost.biz/b"])
def test_any_spelling(store: Store, reader: Connection, asked: str) -> None:
    """A value is found in whatever spelling it is asked for, defanged or not."""
    say(store, "[url:value = 'HTTPS://c2.BADHOST.biz/b#top']")
    assert ask(reader, asked).claims


@pytest.mark.parametrize("value", ["45.66.77.88", "bad.badhost.biz", "ab" * 16, "https://bad.badhost.biz/"])
def test_an_unknown_value(store: Store, reader: Connection, value: str) -> None:
    """Of a value that nobody has mentioned, nothing is known and no score told."""
    say(store, ip("45.66.77.89"), domain("worse.badhost.biz"))
    answer = ask(reader, value)
    assert (answer.known, answer.score, answer.claims, answer.related, answer.problem) == (False, None, (), (), None)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "garbage",
        "999.1.1.1",
        "1.2.3",
        "010.0.0.1",
        "http://",
        "@",
        "a@b@c",
        "::g",
        "\x00",
        "\udcff",
        "\udcff@badhost.biz",
        "http://badhost.biz/\udcff",
        "x" * 100_000,
        "' OR 1=1 --",
        "%" * 50,
        "1.2.3.4/33",
        "🙂",
    ],
)
def test_garbage(store: Store, reader: Connection, value: str) -> None:
    """What is no value that we recognise is answered with the reason, and the next question is answered."""
    say(store, ip())
    bad, good = lookup(reader, [value, "45.66.77.88"], NOW)
    assert (bad.value, bad.observable, bad.known) == (value, None, False)
    assert bad.problem
    assert good.claims


def test_covering_networks(store: Store, reader: Connection) -> None:
    """An address is answered with every network that covers it, narrowest first, of either version."""
    say(store, ip("45.66.0.0/16"), ip("45.66.77.0/24"), ip("45.66.78.0/24"), ip("45.0.0.0/8"))
    say(store, Observable(Kind.IPV6, "2a0a:1::/32"), first=11)
    answer = ask(reader, "45.66.77.88")
    wanted = [("covering-network", value) for value in ("45.66.77.0/24", "45.66.0.0/16", "45.0.0.0/8")]
    assert related(answer) == wanted
    assert (answer.known, answer.score, answer.claims) == (True, None, ())
    assert [one.score for one in answer.related] == [80, 80, 80]
    assert related(ask(reader, "45.66.77.0/25")) == wanted
    assert related(ask(reader, "2a0a:1:2::3")) == [("covering-network", "2a0a:1::/32")]
    assert ask(reader, "45.66.77.0/24").claims
    assert related(ask(reader, "45.66.77.0/24")) == wanted[1:]


def test_parent_domains(store: Store, reader: Connection) -> None:
    """A name is answered with the names above it, but never with a bare top-level domain."""
    say(store, domain("badhost.biz"), domain("c2.badhost.biz"), domain("other.badhost.biz"))
    assert related(ask(reader, "a.b.c2.badhost.biz")) == [
        ("parent-domain", "c2.badhost.biz"),
        ("parent-domain", "badhost.biz"),
    ]
    assert related(ask(reader, "badhost.biz")) == []
    assert not ask(reader, "biz").known


def test_urls(store: Store, reader: Connection) -> None:
    """A URL is answered with its host, and with what covers that: parent names or networks."""
    say(store, domain("c2.badhost.biz"), domain("badhost.biz"), ip("45.66.77.88"), ip("45.66.77.0/24"))
    say(store, Observable(Kind.IPV6, "2a0a:1::7"), first=11)
    assert related(ask(reader, "http://c2.badhost.biz:8080/x?y=1")) == [
        ("host", "c2.badhost.biz"),
        ("parent-domain", "badhost.biz"),
    ]
    assert related(ask(reader, "http://user:pw@45.66.77.88/x")) == [
        ("host", "45.66.77.88"),
        ("covering-network", "45.66.77.0/24"),
    ]
    assert related(ask(reader, "http://[2a0a:1::7]:8080/")) == [("host", "2a0a:1::7")]


def test_mail_addresses(store: Store, reader: Connection) -> None:
    """A mail address is answered with its domain and the names above it."""
    say(store, domain("mail.badhost.biz"), domain("badhost.biz"), Observable(Kind.EMAIL, "boss@mail.badhost.biz"))
    answer = ask(reader, "Boss@mail.BADHOST.biz")
    assert answer.claims
    assert related(answer) == [("domain", "mail.badhost.biz"), ("parent-domain", "badhost.biz")]


@pytest.mark.parametrize("joined", [" AND ", " OR "])
def test_every_hash_of_a_file(store: Store, reader: Connection, joined: str) -> None:
    """Whichever hash of a file is asked for, the answer tells its other hashes and their scores."""
    paths = {MD5: "MD5", SHA1: "'SHA-1'", SHA256: "'SHA-256'"}
    say(store, f"[{joined.join(f'file:hashes.{path} = {one.value!r}' for one, path in paths.items())}]")
    for asked in paths:
        answer = ask(reader, asked.value.upper())
        assert len(answer.claims) == 1
        assert {(one.relation, one.observable, one.score) for one in answer.related} == {
            ("same-file", other, 80) for other in paths if other != asked
        }


def test_hashes_of_several_files(store: Store, reader: Connection) -> None:
    """A list of hashes of one algorithm in a pattern is a list of files, not one file."""
    say(store, f"[file:hashes.MD5 IN ('{'ab' * 16}', '{'cd' * 16}')]")
    assert related(ask(reader, "ab" * 16)) == []


def test_the_score_is_that_of_now(store: Store, reader: Connection) -> None:
    """A score is worked out for the moment of the question, whatever was stored when."""
    say(store, ip(), valid_until=NOW + 40 * DAY)
    say(store, ip(), source="feed-b", first=2, modified=NOW - 9 * DAY)
    held = known(reader, store.key_of, [ip()])[ip()]
    claims = [one.claim for one in claims_about(reader, [held.number])[held.number]]
    values = []
    for days in (0, 1, 10, 39, 41, 400):
        answer = ask(reader, "45.66.77.88", NOW + days * DAY)
        wanted = score(Kind.IPV4, claims, evidence_of(held.cap), NOW + days * DAY)
        assert answer.score is not None
        assert (answer.score.value, answer.score.next_change) == (wanted.value, wanted.next_change)
        values.append(answer.score.value)
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0
    assert ask(reader, "45.66.77.88", NOW + 400 * DAY).known


def test_withdrawn_claims_are_told(store: Store, reader: Connection) -> None:
    """A value of which only withdrawn claims are left scores 0 and still says who withdrew."""
    say(store, ip(), revoked=True)
    answer = ask(reader, "45.66.77.88")
    assert answer.score is not None
    assert (answer.score.value, [one.revoked for one in answer.claims]) == (0, [True])


def test_for_ever(store: Store, reader: Connection) -> None:
    """Validity from the last or to the last moment that a timestamp can say is answered like any other."""
    say(store, ip(), valid_until=253402300799999999)
    say(store, ip(), source="feed-b", first=2, valid_from=253402300799999999)
    say(store, ip(), source="feed-c", first=3, valid_from=-62135596800000000)
    answer = ask(reader, "45.66.77.88")
    assert answer.score is not None
    assert answer.score.value == 96
    assert any("9999-12-31 23:59" in term for term in answer.score.terms)


def test_caps_are_told(store: Store, reader: Connection) -> None:
    """What is ours scores 0 and what is known benign at most 20, and the explanation says so."""
    say(store, OURS, BENIGN)
    for observable, wanted, word in ((OURS, 0, "own assets"), (BENIGN, 20, "a list")):
        answer = ask(reader, observable.value)
        assert answer.score is not None
        assert answer.score.value == wanted
        assert any(word in term for term in answer.score.terms)


def test_what_our_own_sensors_saw(store: Store, reader: Connection) -> None:
    """A value that only our sensors know is known, with what they saw of it, in every role that is kept."""
    take_findings(store, make_finding(role=Role.UNKNOWN, count=3), make_finding(sensor="other", role=Role.ATTACKER))
    answer = ask(reader, "45.66.77.88")
    assert {(one.sensor, one.role, one.count) for one in answer.seen} == {
        ("sensor", Role.UNKNOWN, 3),
        ("other", Role.ATTACKER, 1),
    }
    assert [one.source for one in answer.claims] == ["own"]


def test_values_in_order(store: Store, reader: Connection) -> None:
    """Each value is answered, in the order of the questions, also where it is asked twice."""
    say(store, ip())
    asked = ["45.66.77.88", "garbage", "1.1.1.1", "45.66.77.88"]
    assert [(one.value, bool(one.claims)) for one in lookup(reader, asked, NOW)] == [
        ("45.66.77.88", True),
        ("garbage", False),
        ("1.1.1.1", False),
        ("45.66.77.88", True),
    ]


def test_while_somebody_writes(store: Store, reader: Connection) -> None:
    """A question is answered while a writer is in the middle of a transaction, from what was committed before."""
    say(store, ip())
    with store.writing() as conn:
        conn.execute("DELETE FROM claim")
        conn.execute("UPDATE observable SET score = 1")
        assert ask(reader, "45.66.77.88").claims
    assert not ask(reader, "45.66.77.88").claims


def test_a_reader_never_writes(reader: Connection) -> None:
    """The connection that questions go through cannot write."""
    with pytest.raises(Exception, match="readonly"):
        reader.execute("DELETE FROM claim")


def test_two_values_of_one_key(store: Store, reader: Connection) -> None:
    """A value whose key another value has is not answered with what is known of the other."""
    # The reader's keys come from the store's secret, so the other value is put in the row of the one asked for.
    say(store, ip())
    with store.writing() as conn:
        conn.execute("UPDATE observable SET value = '45.66.77.89'")
    answer = ask(reader, "45.66.77.88")
    assert (answer.known, answer.claims, answer.score) == (False, (), None)


def test_objects_that_would_be_refused_today(store: Store, reader: Connection) -> None:
    """What was taken before the limits became stricter is still told."""
    say(store, ip())
    with store.writing() as conn:
        body = make_indicator_json(1, ip(), confidence=80, modified=NOW, by="somebody", created=NOW + DAY)
        conn.execute("UPDATE version SET body = ?", (body,))
    assert [one.indicator_id for one in ask(reader, "45.66.77.88").claims] == [indicator_uuid(1)]

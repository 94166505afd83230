"""Push targets as files: what is taken, what is refused, when a target is due."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from builders import make_collection, make_outlet, make_store
from clocks import START, FixedClock
from threatshare.errors import ConfigurationError, UsageError
from threatshare.feeds.access import access_of
from threatshare.model import CollectionKind, micros
from threatshare.share.push_settings import (
    PushSettings,
    chosen,
    destination_of,
    fingerprint,
    load_targets,
    next_push,
    source_collection,
)
from threatshare.share.push_target import target_of
from threatshare.store.targets import TargetState

GOOD = 'collection = "to-north"\nurl = "https://taxii.north.example/taxii2/"\n'
PRINT = b"print"


def _write(folder: Path, text: str, name: str = "north") -> None:
    (folder / "push").mkdir(exist_ok=True)
    (folder / "push" / f"{name}.toml").write_text(text)


def test_two_keys_are_enough(tmp_path: Path) -> None:
    """A target needs its collection and an address; everything else has a default."""
    _write(tmp_path, GOOD)
    found = load_targets(tmp_path)["north"]
    assert (found.collection, found.remote, found.max_content_length, found.enabled) == ("to-north", None, None, True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('colection = "x"', "unknown key colection; did you mean collection"),
        ("max_objects = 0", "max_objects"),
        ("max_objects = 50001", "max_objects"),
        ('every = "soon"', "every"),
        ('user = "me"\ntoken_env = "T"', "both user and token_env"),
        ("tlp_ids = '1.0'", "unknown key tlp_ids"),
    ],
)
def test_closed_and_typed(tmp_path: Path, more: str, message: str) -> None:
    """An unknown key or an impossible value is refused with file and key."""
    _write(tmp_path, GOOD + more)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_targets(tmp_path)
    assert "north.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x.example/", "http or https"),
        ("https://", "http or https"),
        ("https://x.example:99999/", "http or https"),
        ("https://me:secret@x.example/", "holds a password"),
        ("https://x.example/?key=1", "has a query"),
        ("http://x.example/", "not https"),
    ],
)
def test_addresses(tmp_path: Path, url: str, message: str) -> None:
    """An address that cannot be used, holds secrets or would be spoken to in clear text is refused."""
    _write(tmp_path, GOOD.replace("https://taxii.north.example/taxii2/", url))
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_targets(tmp_path)
    assert "secret" not in str(caught.value)


def test_only_a_partners_collection_is_delivered(tmp_path: Path) -> None:
    """Nothing but what was cleared for a partner can be the source of a push."""
    store = make_store(tmp_path)
    settings = PushSettings("to-north", "https://x.example/")
    with pytest.raises(ConfigurationError, match="no collection 'to-north' here"):
        source_collection(store.conn, "north", settings)
    for kind in CollectionKind:
        alias = f"of-{kind.value}"
        made = make_collection(store, kind, alias, "north" if kind is CollectionKind.PARTNER else None)
        named = PushSettings(alias, "https://x.example/")
        if kind is CollectionKind.PARTNER:
            assert source_collection(store.conn, "north", named) == made
        else:
            with pytest.raises(ConfigurationError, match=f"of kind {kind.value}"):
                source_collection(store.conn, "north", named)
    store.close()


def test_secrets_come_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords and tokens come from a file or the environment, do not show, and are missed when they are missing."""
    (tmp_path / "pass").write_text("Canary-7f3a\n")
    access = access_of(PushSettings("a", "https://x.example/", user="me", password_file="pass"), tmp_path, "push/x")
    assert access.authorization() == "Basic bWU6Q2FuYXJ5LTdmM2E="
    assert "Canary" not in repr(access)
    token = PushSettings("a", "https://x.example/", token_env="PUSH_TOKEN_OF_TEST")
    with pytest.raises(ConfigurationError, match="push/x: the environment variable PUSH_TOKEN_OF_TEST is not set"):
        access_of(token, tmp_path, "push/x")
    monkeypatch.setenv("PUSH_TOKEN_OF_TEST", "abc")
    assert access_of(token, tmp_path, "push/x").authorization() == "Bearer abc"


def test_no_connection_is_made_before_it_is_needed(tmp_path: Path) -> None:
    """Making a target resolves no name and opens nothing."""
    store = make_store(tmp_path)
    collection = make_collection(store, CollectionKind.PARTNER, "to-north", "north")

    def resolve(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    settings = PushSettings("to-north", "https://x.example/")
    outlet = make_outlet(collection)
    made = target_of("north", settings, tmp_path, store.conn, [outlet], FixedClock(), resolve=resolve)
    assert (made.collection, made.policy) == (collection, outlet.policy)
    with pytest.raises(ConfigurationError, match="nothing is published into 'to-north'"):
        target_of("north", settings, tmp_path, store.conn, [], FixedClock())
    store.close()


def test_destinations_differ(tmp_path: Path) -> None:
    """What goes where is told apart by collection, address and the collection there."""
    store = make_store(tmp_path)
    one = make_collection(store, CollectionKind.PARTNER, "one", "north")
    two = make_collection(store, CollectionKind.PARTNER, "two", "north")
    settings = PushSettings("one", "https://x.example/")
    others = [PushSettings("one", "https://y.example/"), PushSettings("one", "https://x.example/", remote="x")]
    digests = {destination_of(one, settings), destination_of(two, settings), *(destination_of(one, x) for x in others)}
    assert len(digests) == 4
    same = PushSettings("one", "https://x.example/", user="me", max_objects=5)
    assert destination_of(one, same) == destination_of(one, settings), "who we are there changes nothing"
    store.close()


def test_a_new_certificate_is_a_change(tmp_path: Path) -> None:
    """Settings and the files that they name are in the fingerprint; a missing file is no fault."""
    settings = PushSettings("a", "https://x.example/", client_cert="our.pem", ca_file="ca.pem")
    before = fingerprint(settings, tmp_path)
    assert fingerprint(settings, tmp_path) == before
    (tmp_path / "our.pem").write_text("new")
    after = fingerprint(settings, tmp_path)
    assert after != before
    os.utime(tmp_path / "our.pem", (1, 1))
    assert fingerprint(settings, tmp_path) != after


def test_when_a_target_is_due() -> None:
    """At once at first; then by its interval; later after failures and where asked to; never while parked as it is."""
    settings = PushSettings("a", "https://x.example/", every="10m", jitter_seconds=0)
    never = next_push(settings, None, PRINT)
    assert never is not None
    assert never < START
    ran = TargetState("a", b"", 1, last_run=micros(START))
    assert next_push(settings, replace(ran, last_run=None), PRINT) == never
    assert next_push(settings, ran, PRINT) == START + timedelta(minutes=10)
    assert next_push(settings, replace(ran, failures=3), PRINT) == START + timedelta(minutes=4)
    asked = micros(START + timedelta(minutes=30))
    assert next_push(settings, replace(ran, failures=1, not_before=asked), PRINT) == START + timedelta(minutes=30)
    parked = replace(ran, failures=9, parked=PRINT)
    assert next_push(settings, parked, PRINT) is None
    assert next_push(settings, replace(parked, parked=b"older"), PRINT) == never, "a changed target is tried at once"
    assert next_push(PushSettings("a", "https://x.example/", enabled=False), None, PRINT) is None


def test_jitter_does_not_move_with_every_look() -> None:
    """However often it is asked, a target is due at one moment, which differs from run to run and target to target."""
    settings = PushSettings("a", "https://x.example/", every="10m", jitter_seconds=100)
    states = [TargetState(name, b"", 1, last_run=micros(START) + run) for name in "abc" for run in range(3)]
    due = [next_push(settings, one, PRINT) for one in states]
    assert due == [next_push(settings, one, PRINT) for one in states]
    assert len(set(due)) == len(due)
    assert all(at and timedelta(minutes=10) <= at - START <= timedelta(minutes=10, seconds=101) for at in due)


def test_cron_needs_whoever_reads_it() -> None:
    """Five fields replace the interval; they are read by whoever has the library for it."""
    settings = PushSettings("a", "https://x.example/", cron="5 * * * *", jitter_seconds=0)
    ran = TargetState("a", b"", 1, last_run=micros(START))
    with pytest.raises(ConfigurationError, match="needs the daemon"):
        next_push(settings, ran, PRINT)
    asked = []

    def cron_next(expression: str, after: datetime) -> datetime:
        asked.append(expression)
        return after + timedelta(minutes=5)

    assert next_push(settings, ran, PRINT, cron_next) == START + timedelta(minutes=5)
    assert asked == ["5 * * * *"]


def test_targets_are_chosen_by_name() -> None:
    """Named targets run whether enabled or not, all others only where they are enabled."""
    known = {
        "a": PushSettings("a", "https://x.example/"),
        "b": PushSettings("a", "https://x.example/", enabled=False),
    }
    assert list(chosen(known, ())) == ["a"]
    assert list(chosen(known, ("b",))) == ["b"]
    with pytest.raises(UsageError, match="no target 'c'; known: a, b"):
        chosen(known, ("c",))

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import UsageError
from threatshare.model import Account, CollectionKind
from threatshare.store import accounts
from threatshare.store.account_keys import key_prefix, new_key
from threatshare.store.collections import add_collection
from threatshare.store.connection import Connection, open_writer

NOW = 1_800_000_000_000_000


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    opened = open_writer(tmp_path / "store.db")
    for alias in ("one", "two"):
        add_collection(opened, alias, f"Title {alias}", CollectionKind.INTERNAL, None, NOW)
    yield opened
    opened.close()


def test_a_key_opens_its_account(conn: Connection) -> None:
    """A key gives its account with the rights it was made with, with or without the name."""
    key = accounts.add_account(conn, "soc", ["one"], ["two"], NOW)
    for name in ("soc", None):
        account = accounts.verify(conn, name, key, NOW)
        assert account is not None
        assert account == Account("soc", frozenset({"one"}), frozenset({"two"}))


def test_what_is_no_key_opens_nothing(conn: Connection) -> None:
    """A wrong name, a wrong key, another account's key and a mangled key are all alike."""
    key = accounts.add_account(conn, "soc", ["one"], [], NOW)
    other = accounts.add_account(conn, "other", [], [], NOW)
    for name, offered in [
        ("nobody", key),
        ("", key),
        ("soc", other),
        ("soc", new_key()),
        (None, new_key()),
        (None, key[:-1]),
        (None, key + "0"),
        (None, key.swapcase()),
        ("soc", ""),
        ("soc", "ts_" + "é" * 58),
    ]:
        assert accounts.verify(conn, name, offered, NOW) is None


def test_no_account_has_the_name_of_our_own_source(conn: Connection) -> None:
    """Each of its posts would be kept as ours; the name is refused before anything is made."""
    with pytest.raises(UsageError, match="'own'"):
        accounts.add_account(conn, "own", [], ["one"], NOW)
    assert "own" not in accounts.account_names(conn)


def test_only_a_right_key_rests_while_its_account_is_paused(conn: Connection) -> None:
    """A paused account's key opens nothing, and is told from a wrong one; so is its certificate."""
    key, other = (accounts.add_account(conn, name, ["one"], [], NOW) for name in ("soc", "other"))
    accounts.add_certificate(conn, "soc", bytes(32), NOW)
    assert not accounts.rests(conn, "soc", key, None, NOW)
    accounts.pause_account(conn, "soc", NOW)
    offered = [("soc", key), (None, key), ("soc", other), ("other", key), ("soc", new_key()), ("other", other)]
    assert [accounts.rests(conn, name, given, None, NOW) for name, given in offered] == [True] * 2 + [False] * 4
    assert accounts.verify(conn, "soc", key, NOW) is None
    assert accounts.rests(conn, None, "", bytes(32), NOW)
    assert not accounts.rests(conn, None, "", b"x" * 32, NOW)
    accounts.revoke_account(conn, "soc", NOW)
    assert not accounts.rests(conn, "soc", key, None, NOW)


def test_the_store_does_not_hold_the_key(conn: Connection, tmp_path: Path) -> None:
    """Neither the key nor its secret part stands anywhere in the store's files."""
    key = accounts.add_account(conn, "soc", ["one"], [], NOW)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key.split("_")[1].encode() in written
    assert key.split("_")[2][:20].encode() not in written


def test_rotation_overlaps(conn: Connection) -> None:
    """After a rotation the new key works at once and the old one until the overlap ends."""
    old = accounts.add_account(conn, "soc", ["one"], [], NOW)
    new = accounts.rotate_account_key(conn, "soc", NOW, overlap=1_000_000)
    assert accounts.verify(conn, "soc", new, NOW) is not None
    assert accounts.verify(conn, "soc", old, NOW + 999_999) is not None
    assert accounts.verify(conn, "soc", old, NOW + 1_000_000) is None
    newest = accounts.rotate_account_key(conn, "soc", NOW + 10)
    assert accounts.verify(conn, "soc", new, NOW + 10) is None
    assert accounts.verify(conn, "soc", old, NOW + 10) is None
    assert accounts.verify(conn, "soc", newest, NOW + 10) is not None


def test_revocation_is_final(conn: Connection) -> None:
    """A revoked account's keys open nothing, its name stays taken, and it can be given nothing."""
    key = accounts.add_account(conn, "soc", ["one"], [], NOW)
    accounts.revoke_account(conn, "soc", NOW + 5)
    assert accounts.verify(conn, "soc", key, NOW + 6) is None
    with pytest.raises(UsageError, match="already"):
        accounts.add_account(conn, "soc", [], [], NOW)
    for change in (
        lambda: accounts.rotate_account_key(conn, "soc", NOW),
        lambda: accounts.grant(conn, "soc", ["two"]),
        lambda: accounts.revoke_account(conn, "soc", NOW),
    ):
        with pytest.raises(UsageError, match="is revoked, which is for good"):
            change()
    record = accounts.list_accounts(conn)[0]
    assert (record.revoked, record.keys) == (NOW + 5, ())


def test_rights_are_given_and_taken(conn: Connection) -> None:
    """Rights are held per collection and verb; giving one twice is no error, an unknown collection is."""
    key = accounts.add_account(conn, "soc", [], [], NOW)
    accounts.grant(conn, "soc", read=["one", "two"], write=["two"])
    accounts.grant(conn, "soc", read=["one"])
    accounts.withdraw(conn, "soc", read=["two"])
    account = accounts.verify(conn, "soc", key, NOW)
    assert account is not None
    assert account == Account("soc", frozenset({"one"}), frozenset({"two"}))
    with pytest.raises(UsageError, match="there are: one, two"):
        accounts.grant(conn, "soc", read=["three"])


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\n", "-a", "é", "a" * 65])
def test_names_fit_a_header(conn: Connection, name: str) -> None:
    """A name that Basic authentication cannot carry is refused."""
    with pytest.raises(UsageError, match="name"):
        accounts.add_account(conn, name, [], [], NOW)


@given(st.integers(0, 57), st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
def test_a_mistyped_key_is_told_from_a_wrong_one(place: int, letter: str) -> None:
    """One changed character fails the checksum (CRC-32 finds every burst of up to 32 bits)."""
    key = new_key()
    assert key_prefix(key) == key.split("_")[1]
    mistyped = key[:place] + letter + key[place + 1 :]
    if mistyped != key:
        assert key_prefix(mistyped) is None

"""Accounts of the TAXII server: who they are, by which keys, with which rights.

Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from threatshare.errors import UsageError
from threatshare.model import Account, Collection, Micros
from threatshare.store.account_keys import key_hash, key_prefix, new_key
from threatshare.store.collections import collection_by_alias, collections
from threatshare.store.connection import Connection
from threatshare.store.settings import ACCOUNT_PEPPER, make_secret, read_secret

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII).fullmatch
_NO_PEPPER = bytes(32)
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as its administrator sees it."""

    account: Account
    created: Micros
    revoked: Micros | None
    key_prefixes: tuple[str, ...]
    """The public parts of its keys, newest first."""
    findings: bool = False
    """Whether it may push findings."""


def add_account(
    conn: Connection, name: str, read: Iterable[str], write: Iterable[str], now: Micros, findings: bool = False
) -> str:
    """Makes an account with rights on collections by alias; returns its key, which is kept nowhere.

    Raises UsageError where the name is taken (a revoked account keeps its name) or a collection is unknown.
    """
    if _NAME(name) is None:
        raise UsageError(f"{name!r} cannot be an account's name: wanted are up to 64 letters, digits and . _ @ + -")
    if conn.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone() is not None:
        raise UsageError(f"there is an account {name} already, perhaps a revoked one; use another name")
    conn.execute("INSERT INTO account (name, created) VALUES (?, ?)", (name, now))
    grant(conn, name, read, write, findings)
    return _add_key(conn, name, now)


def verify(conn: Connection, name: str | None, key: str, now: Micros) -> Account | None:
    """Finds the account that a key belongs to, and which must have this name unless None is given.

    Takes the same time and gives the same None for an unknown key, a wrong name, an expired key
    and a revoked account.
    """
    prefix = key_prefix(key)
    row = conn.execute(
        """
        SELECT k.account, k.hash FROM account_key AS k JOIN account AS a ON a.name = k.account
        WHERE k.prefix = ? AND a.revoked IS NULL AND (k.expires IS NULL OR k.expires > ?)
        """,
        (prefix or "", now),
    ).fetchone()
    owner, kept = ("", _NO_HASH) if row is None else row
    offered = key_hash(read_secret(conn, ACCOUNT_PEPPER) or _NO_PEPPER, key)
    right_key = hmac.compare_digest(offered, bytes(kept))
    right_name = name is None or hmac.compare_digest(name.encode(), owner.encode())
    if row is None or not right_key or not right_name:
        return None
    return _account(conn, owner)


def rotate_account_key(conn: Connection, name: str, now: Micros, overlap: Micros = 0) -> str:
    """Gives an account a new key; its older ones end after the overlap. Raises UsageError where there is none."""
    _wanted(conn, name)
    conn.execute(
        "UPDATE account_key SET expires = ? WHERE account = ? AND (expires IS NULL OR expires > ?)",
        (now + overlap, name, now + overlap),
    )
    return _add_key(conn, name, now)


def revoke_account(conn: Connection, name: str, now: Micros) -> None:
    """Ends an account and all its keys at once, on every worker; its name stays taken."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET revoked = ? WHERE name = ?", (now, name))
    conn.execute("DELETE FROM account_key WHERE account = ?", (name,))


def may_push_findings(conn: Connection, name: str) -> bool:
    """Tells whether an account may push findings of ours, which become our own indicators."""
    row = conn.execute("SELECT findings FROM account WHERE name = ? AND revoked IS NULL", (name,)).fetchone()
    return row is not None and bool(row[0])


def grant(
    conn: Connection, name: str, read: Iterable[str] = (), write: Iterable[str] = (), findings: bool = False
) -> None:
    """Adds rights: on collections by alias, to push findings.

    Raises UsageError where a collection or the account is unknown.
    """
    _wanted(conn, name)
    if findings:
        conn.execute("UPDATE account SET findings = 1 WHERE name = ?", (name,))
    for alias, verb in _verbs(read, write):
        conn.execute(
            "INSERT INTO account_right (account, collection, verb) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (name, _collection(conn, alias).number, verb),
        )


def withdraw(
    conn: Connection, name: str, read: Iterable[str] = (), write: Iterable[str] = (), findings: bool = False
) -> None:
    """Takes rights away again; raises UsageError where a collection or the account is unknown."""
    _wanted(conn, name)
    if findings:
        conn.execute("UPDATE account SET findings = 0 WHERE name = ?", (name,))
    for alias, verb in _verbs(read, write):
        conn.execute(
            "DELETE FROM account_right WHERE account = ? AND collection = ? AND verb = ?",
            (name, _collection(conn, alias).number, verb),
        )


def list_accounts(conn: Connection) -> list[AccountRecord]:
    """Gives all accounts by name, the revoked ones too."""
    rows = conn.execute("SELECT name, created, revoked, findings FROM account ORDER BY name").fetchall()
    return [
        AccountRecord(_account(conn, name), created, revoked, _prefixes(conn, name), bool(findings))
        for name, created, revoked, findings in rows
    ]


def _add_key(conn: Connection, name: str, now: Micros) -> str:
    key = new_key()
    hashed = key_hash(make_secret(conn, ACCOUNT_PEPPER), key)
    conn.execute(
        "INSERT INTO account_key (prefix, account, hash, created) VALUES (?, ?, ?, ?)",
        (key_prefix(key), name, hashed, now),
    )
    return key


def _account(conn: Connection, name: str) -> Account:
    rights: dict[str, set[str]] = {"read": set(), "write": set()}
    for alias, verb in conn.execute(
        "SELECT c.alias, r.verb FROM account_right AS r JOIN collection AS c ON c.number = r.collection"
        " WHERE r.account = ?",
        (name,),
    ).fetchall():
        rights[verb].add(alias)
    return Account(name, frozenset(rights["read"]), frozenset(rights["write"]))


def _prefixes(conn: Connection, name: str) -> tuple[str, ...]:
    rows = conn.execute(
        "SELECT prefix FROM account_key WHERE account = ? ORDER BY created DESC, prefix", (name,)
    ).fetchall()
    return tuple(row[0] for row in rows)


def _wanted(conn: Connection, name: str) -> None:
    known = conn.execute("SELECT 1 FROM account WHERE name = ? AND revoked IS NULL", (name,)).fetchone()
    if known is None:
        raise UsageError(f"there is no account {name!r}; `threatshare account list` shows those there are")


def _collection(conn: Connection, alias: str) -> Collection:
    found = collection_by_alias(conn, alias)
    if found is None:
        known = ", ".join(one.alias for one in collections(conn)) or "none yet"
        raise UsageError(f"there is no collection {alias!r}; there are: {known}")
    return found


def _verbs(read: Iterable[str], write: Iterable[str]) -> list[tuple[str, str]]:
    return [(alias, "read") for alias in read] + [(alias, "write") for alias in write]

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
from threatshare.store.rights import account_at, account_with, granted
from threatshare.store.settings import ACCOUNT_PEPPER, make_secret, read_secret

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII).fullmatch
_OURS = "own"
"""The source of our own indicators; what an account posts is kept under its name."""
_NO_PEPPER = bytes(32)
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as its administrator sees it."""

    prefix: str
    """Its public part."""
    created: Micros
    expires: Micros | None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as its administrator sees it."""

    account: Account
    created: Micros
    revoked: Micros | None
    findings: bool = False
    """Whether it may push findings."""
    metrics: bool = False
    """Whether it may read the server's metrics."""
    expires: Micros | None = None
    """When it ends by itself; None: never."""
    partner: str | None = None
    """The partner that it was tied to."""
    paused: Micros | None = None
    """Since when it rests; None: it does not."""
    keys: tuple[KeyRecord, ...] = ()
    """Its keys, newest first."""
    certificates: tuple[str, ...] = ()
    """SHA-256 fingerprints of the client certificates that stand for it, in hexadecimal."""


def add_account(
    conn: Connection,
    name: str,
    read: Iterable[str],
    write: Iterable[str],
    now: Micros,
    findings: bool = False,
    metrics: bool = False,
    expires: Micros | None = None,
    partner: str | None = None,
) -> str:
    """Makes an account with rights on collections by alias; returns its key, which is kept nowhere.

    From ``expires`` on neither its keys nor its certificates are good. What it reads as ``partner``'s ends with the
    agreement with that partner.

    Raises UsageError where the name is taken (a revoked account keeps its name) or ours, or a collection is unknown.
    """
    if _NAME(name) is None:
        raise UsageError(f"{name!r} cannot be an account's name: wanted are up to 64 letters, digits and . _ @ + -")
    if name == _OURS:
        raise UsageError(f"no account can be called {name!r}, as our own indicators are; use another name")
    if conn.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone() is not None:
        raise UsageError(f"there is an account {name} already, perhaps a revoked one; use another name")
    if expires is not None and expires <= now:
        raise UsageError("an account cannot expire before it is made")
    conn.execute(
        "INSERT INTO account (name, created, expires, partner) VALUES (?, ?, ?, ?)", (name, now, expires, partner)
    )
    grant(conn, name, read, write, findings, metrics)
    return _add_key(conn, name, now)


def verify(conn: Connection, name: str | None, key: str, now: Micros) -> Account | None:
    """Finds the account that a key belongs to, and which must have this name unless None is given.

    Takes the same time and gives the same None for an unknown key, a wrong name, an expired key
    and an account that is paused or revoked.
    """
    owner, paused = _holder(conn, name, key, now)
    return None if owner is None or paused else account_at(conn, owner, now)


def rests(conn: Connection, name: str | None, key: str, certificate: bytes | None, now: Micros) -> bool:
    """Tells whether a key, or the SHA-256 of a certificate where there is one, would be right were it not paused."""
    if certificate is None:
        return _holder(conn, name, key, now)[1]
    row = conn.execute(
        """
        SELECT 1 FROM account_certificate AS c JOIN account AS a ON a.name = c.account
        WHERE c.fingerprint = ? AND a.revoked IS NULL AND a.paused IS NOT NULL AND (a.expires IS NULL OR a.expires > ?)
        """,
        (certificate, now),
    ).fetchone()
    return row is not None


def _holder(conn: Connection, name: str | None, key: str, now: Micros) -> tuple[str | None, bool]:
    """Gives whose key it is, None: nobody's of that name; and whether that account is paused. Takes the same time."""
    row = conn.execute(
        """
        SELECT k.account, k.hash, a.paused IS NOT NULL FROM account_key AS k JOIN account AS a ON a.name = k.account
        WHERE k.prefix = ?1 AND a.revoked IS NULL AND (a.expires IS NULL OR a.expires > ?2)
            AND (k.expires IS NULL OR k.expires > ?2)
        """,
        (key_prefix(key) or "", now),
    ).fetchone()
    owner, kept, paused = ("", _NO_HASH, False) if row is None else row
    offered = key_hash(read_secret(conn, ACCOUNT_PEPPER) or _NO_PEPPER, key)
    right_key = hmac.compare_digest(offered, bytes(kept))
    right_name = name is None or hmac.compare_digest(name.encode(), owner.encode())
    if row is None or not right_key or not right_name:
        return None, False
    return owner, bool(paused)


def rotate_account_key(conn: Connection, name: str, now: Micros, overlap: Micros = 0) -> str:
    """Gives an account a new key; its older ones end after the overlap. Raises UsageError where there is none."""
    _wanted(conn, name)
    conn.execute(
        "UPDATE account_key SET expires = ? WHERE account = ? AND (expires IS NULL OR expires > ?)",
        (now + overlap, name, now + overlap),
    )
    return _add_key(conn, name, now)


def revoke_account(conn: Connection, name: str, now: Micros) -> None:
    """Ends an account, all its keys and certificates at once, on every worker; its name stays taken."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET revoked = ? WHERE name = ?", (now, name))
    conn.execute("DELETE FROM account_key WHERE account = ?", (name,))
    conn.execute("DELETE FROM account_certificate WHERE account = ?", (name,))


def expire_account(conn: Connection, name: str, expires: Micros | None) -> None:
    """Sets when an account ends by itself; None: never. Raises UsageError where there is no such account."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET expires = ? WHERE name = ?", (expires, name))


def pause_account(conn: Connection, name: str, since: Micros | None) -> None:
    """Has an account rest from now on, on every worker; None: it is good again. Raises UsageError as above."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET paused = ? WHERE name = ?", (since, name))


def tie_account(conn: Connection, name: str, partner: str | None) -> None:
    """Makes an account a partner's; None: nobody's by hand. Raises UsageError where there is no such account."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET partner = ? WHERE name = ?", (partner, name))


def add_certificate(conn: Connection, name: str, fingerprint: bytes, now: Micros) -> None:
    """Has a client certificate (its SHA-256) stand for an account.

    Raises UsageError where there is no such account, or the certificate stands for another already.
    """
    _wanted(conn, name)
    row = conn.execute("SELECT account FROM account_certificate WHERE fingerprint = ?", (fingerprint,)).fetchone()
    if row is not None and row[0] != name:
        raise UsageError(f"this certificate stands for {row[0]} already; take it away there first (--remove)")
    conn.execute(
        "INSERT INTO account_certificate (fingerprint, account, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (fingerprint, name, now),
    )


def remove_certificate(conn: Connection, name: str, fingerprint: bytes) -> None:
    """Ends at once that a certificate stands for an account; raises UsageError where it does not."""
    _wanted(conn, name)
    gone = conn.execute("DELETE FROM account_certificate WHERE fingerprint = ? AND account = ?", (fingerprint, name))
    if not gone.rowcount:
        raise UsageError(
            f"no such certificate stands for {name}; `threatshare account list --json` shows those that do"
        )


def verify_certificate(conn: Connection, fingerprint: bytes, now: Micros) -> Account | None:
    """Finds the account that a client certificate stands for, whose owner's key somebody else has verified."""
    row = conn.execute(
        """
        SELECT a.name FROM account_certificate AS c JOIN account AS a ON a.name = c.account
        WHERE c.fingerprint = ? AND a.revoked IS NULL AND a.paused IS NULL AND (a.expires IS NULL OR a.expires > ?)
        """,
        (fingerprint, now),
    ).fetchone()
    return None if row is None else account_at(conn, row[0], now)


def may_push_findings(conn: Connection, name: str) -> bool:
    """Tells whether an account may push findings of ours, which become our own indicators."""
    row = conn.execute("SELECT findings FROM account WHERE name = ? AND revoked IS NULL", (name,)).fetchone()
    return row is not None and bool(row[0])


def may_read_metrics(conn: Connection, name: str) -> bool:
    """Tells whether an account may read the server's metrics."""
    row = conn.execute("SELECT metrics FROM account WHERE name = ? AND revoked IS NULL", (name,)).fetchone()
    return row is not None and bool(row[0])


def grant(
    conn: Connection,
    name: str,
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    findings: bool = False,
    metrics: bool = False,
) -> None:
    """Adds rights: on collections by alias, to push findings, to read metrics.

    Raises UsageError where a collection or the account is unknown.
    """
    _wanted(conn, name)
    if findings:
        conn.execute("UPDATE account SET findings = 1 WHERE name = ?", (name,))
    if metrics:
        conn.execute("UPDATE account SET metrics = 1 WHERE name = ?", (name,))
    for alias, verb in _verbs(read, write):
        conn.execute(
            "INSERT INTO account_right (account, collection, verb) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (name, _collection(conn, alias).number, verb),
        )


def withdraw(
    conn: Connection,
    name: str,
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    findings: bool = False,
    metrics: bool = False,
) -> None:
    """Takes rights away again; raises UsageError where a collection or the account is unknown."""
    _wanted(conn, name)
    if findings:
        conn.execute("UPDATE account SET findings = 0 WHERE name = ?", (name,))
    if metrics:
        conn.execute("UPDATE account SET metrics = 0 WHERE name = ?", (name,))
    for alias, verb in _verbs(read, write):
        conn.execute(
            "DELETE FROM account_right WHERE account = ? AND collection = ? AND verb = ?",
            (name, _collection(conn, alias).number, verb),
        )


def list_accounts(conn: Connection) -> list[AccountRecord]:
    """Gives all accounts by name, the revoked ones too."""
    rows = conn.execute(
        "SELECT name, created, revoked, findings, metrics, expires, partner, paused FROM account ORDER BY name"
    ).fetchall()
    return [
        AccountRecord(
            account_with(name, granted(conn, name)),
            created,
            revoked,
            bool(findings),
            bool(metrics),
            expires,
            partner,
            paused,
            _keys(conn, name),
            _certificates(conn, name),
        )
        for name, created, revoked, findings, metrics, expires, partner, paused in rows
    ]


def account_names(conn: Connection) -> list[str]:
    """Gives the names of all accounts, the revoked ones too."""
    return [name for (name,) in conn.execute("SELECT name FROM account ORDER BY name").fetchall()]


def readers_of(conn: Connection, collection: Collection) -> list[str]:
    """Gives the names of the accounts that may read a collection and are not revoked, in order."""
    rows = conn.execute(
        "SELECT name FROM account JOIN account_right ON account_right.account = name"
        " WHERE account_right.collection = ? AND verb = 'read' AND revoked IS NULL ORDER BY name",
        (collection.number,),
    )
    return [row[0] for row in rows.fetchall()]


def _add_key(conn: Connection, name: str, now: Micros) -> str:
    key = new_key()
    hashed = key_hash(make_secret(conn, ACCOUNT_PEPPER), key)
    conn.execute(
        "INSERT INTO account_key (prefix, account, hash, created) VALUES (?, ?, ?, ?)",
        (key_prefix(key), name, hashed, now),
    )
    return key


def _keys(conn: Connection, name: str) -> tuple[KeyRecord, ...]:
    rows = conn.execute(
        "SELECT prefix, created, expires FROM account_key WHERE account = ? ORDER BY created DESC, prefix", (name,)
    ).fetchall()
    return tuple(KeyRecord(*row) for row in rows)


def _certificates(conn: Connection, name: str) -> tuple[str, ...]:
    rows = conn.execute(
        "SELECT fingerprint FROM account_certificate WHERE account = ? ORDER BY created, fingerprint", (name,)
    ).fetchall()
    return tuple(bytes(row[0]).hex() for row in rows)


def _wanted(conn: Connection, name: str) -> None:
    known = conn.execute("SELECT revoked FROM account WHERE name = ?", (name,)).fetchone()
    if known is not None and known[0] is not None:
        raise UsageError(f"account {name} is revoked, which is for good; add it under another name")
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

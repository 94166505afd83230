"""Accounts of the TAXII server: who they are, by which keys, with which rights.

Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from threatshare.errors import UsageError
from threatshare.model import Account, Collection, CollectionKind, Micros
from threatshare.policy.agreements import Agreement
from threatshare.store.account_keys import key_hash, key_prefix, new_key
from threatshare.store.collections import collection_by_alias, collections
from threatshare.store.connection import Connection
from threatshare.store.settings import ACCOUNT_PEPPER, make_secret, read_secret

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII).fullmatch
_NO_PEPPER = bytes(32)
_NO_HASH = bytes(32)
_OURS = (CollectionKind.SIEM, CollectionKind.INTERNAL)
"""Collections for our own tools: they hold what agreements let leave for nobody."""


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
) -> str:
    """Makes an account with rights on collections by alias; returns its key, which is kept nowhere.

    From ``expires`` on neither its keys nor its certificates are good.

    Raises UsageError where the name is taken (a revoked account keeps its name) or a collection is unknown.
    """
    if _NAME(name) is None:
        raise UsageError(f"{name!r} cannot be an account's name: wanted are up to 64 letters, digits and . _ @ + -")
    if conn.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone() is not None:
        raise UsageError(f"there is an account {name} already, perhaps a revoked one; use another name")
    if expires is not None and expires <= now:
        raise UsageError("an account cannot expire before it is made")
    conn.execute("INSERT INTO account (name, created, expires) VALUES (?, ?, ?)", (name, now, expires))
    grant(conn, name, read, write, findings, metrics)
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
        WHERE k.prefix = ?1 AND a.revoked IS NULL AND (a.expires IS NULL OR a.expires > ?2)
            AND (k.expires IS NULL OR k.expires > ?2)
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
    """Ends an account, all its keys and certificates at once, on every worker; its name stays taken."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET revoked = ? WHERE name = ?", (now, name))
    conn.execute("DELETE FROM account_key WHERE account = ?", (name,))
    conn.execute("DELETE FROM account_certificate WHERE account = ?", (name,))


def expire_account(conn: Connection, name: str, expires: Micros | None) -> None:
    """Sets when an account ends by itself; None: never. Raises UsageError where there is no such account."""
    _wanted(conn, name)
    conn.execute("UPDATE account SET expires = ? WHERE name = ?", (expires, name))


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
        WHERE c.fingerprint = ? AND a.revoked IS NULL AND (a.expires IS NULL OR a.expires > ?)
        """,
        (fingerprint, now),
    ).fetchone()
    return None if row is None else _account(conn, row[0])


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


def foreign_readings(
    conn: Connection, agreements: Mapping[str, Agreement], name: str | None = None, read: Iterable[str] | None = None
) -> list[str]:
    """Says which accounts of partners may read what is our own, or another partner's, and why that is not theirs.

    An account is a partner's that an agreement names (its partner, or one of ``inbound.sources``), or a collection for
    partners. ``name`` and ``read``: only of this account, and as if it could read just these collections, by alias.
    """
    known = {one.alias: one for one in collections(conn)}
    partners = {one.partner for one in known.values() if one.partner is not None}
    owners = {partner: partner for partner in partners}
    owners |= {sender: one.partner for one in agreements.values() for sender in one.senders}
    wanted = read if name is not None and read is not None else None
    found = []
    for account, alias in [(str(name), alias) for alias in wanted] if wanted is not None else _readings(conn, name):
        partner, one = owners.get(account), known.get(alias)
        if partner is None or one is None:
            continue
        if one.kind in _OURS:
            whose = "our own tools"
        elif one.kind is CollectionKind.PARTNER and one.partner != partner:
            whose = f"{one.partner}"
        else:
            continue
        found.append(f"account {account} is {partner}'s, and the collection {alias} is for {whose}")
    return found


def list_accounts(conn: Connection) -> list[AccountRecord]:
    """Gives all accounts by name, the revoked ones too."""
    rows = conn.execute(
        "SELECT name, created, revoked, findings, metrics, expires FROM account ORDER BY name"
    ).fetchall()
    return [
        AccountRecord(
            _account(conn, name, as_granted=True),
            created,
            revoked,
            bool(findings),
            bool(metrics),
            expires,
            _keys(conn, name),
            _certificates(conn, name),
        )
        for name, created, revoked, findings, metrics, expires in rows
    ]


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


def _readings(conn: Connection, name: str | None) -> list[tuple[str, str]]:
    return conn.execute(
        "SELECT r.account, c.alias FROM account_right AS r JOIN collection AS c ON c.number = r.collection"
        " JOIN account AS a ON a.name = r.account WHERE r.verb = 'read' AND a.revoked IS NULL"
        " AND r.account = coalesce(?, r.account) ORDER BY r.account, c.alias",
        (name,),
    ).fetchall()


def _account(conn: Connection, name: str, as_granted: bool = False) -> Account:
    """Gives an account with its rights.

    One that is named as the partner of a collection is that partner's: of collections that the gate fills, it reads
    that partner's alone, whatever it was granted, unless the rights ``as_granted`` are asked for.
    """
    rights: dict[str, set[str]] = {"read": set(), "write": set()}
    for alias, verb in conn.execute(
        """
        SELECT c.alias, r.verb FROM account_right AS r JOIN collection AS c ON c.number = r.collection
        WHERE r.account = ?1 AND (?2 OR r.verb <> 'read' OR c.kind NOT IN ('siem', 'internal', 'partner')
            OR c.partner = ?1 OR NOT EXISTS (SELECT 1 FROM collection WHERE partner = ?1))
        """,
        (name, as_granted),
    ).fetchall():
        rights[verb].add(alias)
    return Account(name, frozenset(rights["read"]), frozenset(rights["write"]))


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

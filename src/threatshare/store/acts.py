"""The acts of people: who did what, with which roles, and how it ended; chained by hashes as the ledger is.

A second chain beside the ledger of what left, in the same form: a row is hashed as one line of canonical JSON that
holds the hash of the row before it. Each row also names the ledger's head at its time, and so witnesses the ledger.
Parameters are kept only where they are plain: never a secret, never a value of a finding.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.ledger import GENESIS, Head, canonical, guards, hexadecimal
from threatshare.store.ledger import head as ledger_head
from threatshare.store.ledger_check import Checked

BEGUN = "begun"
"""The outcome of a row that was written before the act, so that none is lost to a kill; its end refers to it."""


FILE_ACT = "agreement file"
"""The verb of an act by which an agreement's file was seen to be in force, or not any more."""
IN_FORCE = "in force"
"""Its outcome where terms came into force; ``agreement_version`` has a row for each."""
TAKEN_OVER = "people file"
"""The verb of an act by which a ``people.toml`` that was changed by hand holds from then on."""


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, or tried to."""

    verb: str
    """The command without its parameters, e.g. ``account add``; ``agreement file`` where a file was changed."""
    outcome: str
    """``begun``, ``done``, ``refused`` and why, or ``failed`` and with what error."""
    person: str | None = None
    """By the name that decisions bear; None: it is not known."""
    login: str | None = None
    """The operating system's user; None: none was there."""
    roles: tuple[str, ...] | None = None
    """Those that the person held then; None where roles were not told apart."""
    plain: Mapping[str, object] = field(default_factory=dict)
    """Parameters, as JSON knows them."""
    begun: int | None = None
    """Number of the row that says that it began."""


class ActRow(NamedTuple):
    """A recorded act."""

    number: int
    at: Micros
    told: str
    """The act as canonical JSON."""
    hash: str

    @property
    def act(self) -> dict[str, Any]:
        """The act, read; empty where it cannot be."""
        try:
            read = json.loads(self.told)
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}


def record_act(conn: Connection, act: Act, at: Micros) -> int:
    """Adds an act in the caller's transaction; gives its number."""
    last = head(conn)
    if last is None:
        for guard in guards("act", "the acts of people are only ever added to"):
            conn.execute(guard)
        last = Head(0, GENESIS)
    told = {name: getattr(act, name) for name in act.__dataclass_fields__}
    text = canonical(told | {"ledger": ledger_head(conn)})
    number = last.number + 1
    hashed = sha256(encoded(number, at, last.hash, text).encode()).digest()
    conn.execute("INSERT INTO act (number, at, told, hash) VALUES (?, ?, ?, ?)", (number, at, text, hashed))
    return number


def encoded(number: int, at: Micros, previous: str, told: str) -> str:
    """Gives what is hashed of a row: canonical JSON of its fields and the hash of the row before it."""
    return f'{{"act":{told},"at":{at},"number":{number},"previous":"{previous}"}}'


def head(conn: Connection) -> Head | None:
    """Gives the last row's number and hash; None where nobody has done anything yet."""
    row = conn.execute("SELECT number, hash FROM act ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else Head(row[0], hexadecimal(row[1]))


def acts(conn: Connection, begin: Micros | None = None, end: Micros | None = None) -> Iterator[ActRow]:
    """Yields acts of a time from ``begin`` to before ``end``, newest first, as they stand."""
    for number, at, told, hashed in conn.execute(
        "SELECT number, at, CAST(told AS BLOB), hash FROM act"
        " WHERE at >= coalesce(?, at) AND at < coalesce(?, at + 1) ORDER BY number DESC",
        (begin, end),
    ):
        yield ActRow(number, at, bytes(told).decode("utf-8", "replace"), hexadecimal(hashed))


def check_acts(conn: Connection) -> Checked:
    """Checks every act against the one before it, and what it witnessed of the ledger; the first problem first."""
    found, last, terms = Checked(), Head(0, GENESIS), Counter[tuple[str, str]]()
    for number, at, told, hashed in conn.execute(
        "SELECT number, at, CAST(told AS BLOB), hash FROM act ORDER BY number"
    ):
        row = ActRow(number, at, bytes(told).decode("utf-8", "replace"), hexadecimal(hashed))
        if row.number != last.number + 1:
            found.note(f"act {last.number + 1} is missing: the next is {row.number}")
        if canonical(row.act) != row.told:
            found.note(f"act {row.number}: what it says cannot be read")
        elif sha256(encoded(row.number, row.at, last.hash, row.told).encode()).hexdigest() != row.hash:
            found.note(f"act {row.number}: what it says, or the act before it, does not give its hash")
        elif (problem := _disowned(conn, row)) is not None:
            found.note(problem)
        if row.act.get("verb") == FILE_ACT and row.act.get("outcome") == IN_FORCE:
            plain = row.act["plain"]
            terms[str(plain["partner"]), str(plain["digest"])] += 1
        last = Head(row.number, row.hash)
        found.rows += 1
    found.head = last
    for problem in _forgotten(conn, terms):
        found.note(problem)
    return found


def _forgotten(conn: Connection, terms: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Says which terms came into force by the acts, and are kept no more: what loosens is held against those."""
    for (partner, digest), times in sorted(terms.items()):
        (kept,) = conn.execute(
            "SELECT count(*) FROM agreement_version WHERE partner = ? AND digest = ?", (partner, digest)
        ).fetchone()
        if kept < times:
            missing = times - kept
            yield f"agreement with {partner}: {missing} of the versions {digest[:12]} that came into force are missing"


def _disowned(conn: Connection, row: ActRow) -> str | None:
    """Says which row of the ledger is not any more what it was when the act was recorded."""
    witnessed = row.act.get("ledger")
    if witnessed is None:
        return None
    number, hashed = witnessed
    now = conn.execute("SELECT hash FROM ledger WHERE number = ?", (number,)).fetchone()
    if now is None:
        return f"act {row.number}: row {number} of the ledger is missing, which stood when it was recorded"
    if hexadecimal(now[0]) != hashed:
        return f"act {row.number}: row {number} of the ledger had another hash when it was recorded"
    return None

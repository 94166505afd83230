"""Every version of every agreement that was ever in force here: the file's text, its digest, from when to when.

Only what was in force is kept, seen when agreements are loaded for publishing or checked. Rows are added and
closed, never changed otherwise: a version that comes back is a further row.

A file that loosens what was in force last waits until two persons have confirmed exactly its terms. Until then the
version before acts, with all that the file tightens; where that is neither of the two, it is kept as an interim row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from threatshare.config import AGREEMENTS_DIR, toml_text
from threatshare.errors import ConfigurationError, UsageError
from threatshare.model import Micros
from threatshare.policy.agreement_bounds import loosened, narrowed
from threatshare.policy.agreement_files import parse_agreement
from threatshare.policy.agreements import Agreement, agreement_toml, digest_of, standing
from threatshare.store.acts import FILE_ACT, IN_FORCE, Act, record_act
from threatshare.store.connection import Connection
from threatshare.store.decisions import ByWhom, two_persons
from threatshare.store.embedded import Store
from threatshare.store.roster import ROLES_IN_FORCE


@dataclass(frozen=True, slots=True)
class AgreementVersion:
    """One version of an agreement, as long as it was in force without a change."""

    partner: str
    version: int
    """The number that its file gave it."""
    digest: str
    """SHA-256 of what it says, as ``policy.agreements.digest_of`` gives it."""
    text: str
    """Of the file."""
    since: Micros
    """When it was first seen in force."""
    until: Micros | None
    """When it was first seen not to be any more; None: it still is."""
    unnumbered: bool
    """Whether another text had this number before: a change that nobody has numbered."""
    interim: bool = False
    """Whether these are no file's terms: the version before with what a waiting one tightens."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that loosens what was in force last, and that two persons have not confirmed."""

    partner: str
    version: int
    digest: str
    """Of its terms; a confirmation is for these and no others."""
    loosens: tuple[str, ...]
    """Keys of the terms under which more may leave."""
    base: int
    """Number of the row of the version that was in force last."""
    base_version: int
    signed: tuple[ByWhom, ...] = ()
    """Who has confirmed it."""

    @property
    def words(self) -> str:
        """What it waits for, as one line."""
        by = f"1 of 2, by {self.signed[0].person}" if self.signed else "nobody has yet"
        return (
            f"agreement with {self.partner}: its file (version {self.version}) lets more leave"
            f" ({', '.join(self.loosens)}) and waits for two persons to confirm it, {by}; until then version"
            f" {self.base_version} acts, with what the file tightens. See `threatshare agreement diff {self.partner}`,"
            f' then `threatshare agreement confirm {self.partner} --reason "..."`'
        )


@dataclass(frozen=True, slots=True)
class Acting:
    """An agreement as its file has it, and as it acts."""

    filed: Agreement
    agreement: Agreement
    """Under which everything is decided."""
    waiting: Waiting | None = None
    """Where these two are not the same: why."""


def acting(conn: Connection, filed: Mapping[str, Agreement]) -> dict[str, Acting]:
    """Gives what acts of every agreement, by partner.

    The first version ever of an agreement acts at once, and so does each change that loosens nothing; others once two
    persons have confirmed them against the version that was in force last.
    """
    return {partner: _acting(conn, one) for partner, one in filed.items()}


def _acting(conn: Connection, filed: Agreement) -> Acting:
    base = conn.execute(
        "SELECT number, version, digest, text FROM agreement_version WHERE partner = ? AND NOT interim"
        " ORDER BY number DESC LIMIT 1",
        (filed.partner,),
    ).fetchone()
    digest = digest_of(filed)
    if base is None or base[2] == digest:
        return Acting(filed, filed)
    number, version, _, text = base
    before = parse_agreement(text, f"version {version} of the agreement with {filed.partner}")
    opened = loosened(before, filed)
    signed = tuple(_signed(conn, filed.partner, digest, number)) if opened else ()
    if not opened or (signed and two_persons(signed) is not None):
        return Acting(filed, filed)
    waiting = Waiting(filed.partner, filed.version, digest, opened, number, version, signed)
    return Acting(filed, narrowed(before, filed), waiting)


def _signed(conn: Connection, partner: str, digest: str, base: int) -> list[ByWhom]:
    return [
        ByWhom(person, reason, at, login)
        for person, reason, at, login in conn.execute(
            "SELECT person, reason, at, login FROM agreement_confirmation WHERE partner = ? AND digest = ?"
            f" AND base = ? AND (login IS NOT NULL OR NOT {ROLES_IN_FORCE}) ORDER BY number",
            (partner, digest, base),
        )
    ]


def confirm(store: Store, waiting: Waiting, by: ByWhom) -> bool:
    """Keeps that a person confirms the terms that wait; tells whether they act now.

    Raises UsageError where the same person has confirmed them already.
    """
    with store.writing() as conn:
        signed = _signed(conn, waiting.partner, waiting.digest, waiting.base)
        if any(not by.is_another_than(one) for one in signed):
            raise UsageError(f"{by.person} has confirmed this already: a second, different person has to do so as well")
        conn.execute(
            "INSERT INTO agreement_confirmation (partner, digest, base, at, person, login, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (waiting.partner, waiting.digest, waiting.base, by.at, by.person, by.login, by.reason),
        )
    return two_persons([*signed, by]) is not None


def keep_versions(store: Store, directory: Path, agreements: Mapping[str, Agreement], today: date, now: Micros) -> int:
    """Keeps what is in force today where it is not kept yet, and closes what no longer is; gives how many rows changed.

    ``agreements`` are the files'. Writes only where something changed, and records that in the acts of people: who has
    changed a file nobody knows. A file that changes while this runs is kept by the next call.
    """
    told = acting(store.conn, agreements)
    in_force = {partner: one for partner, one in told.items() if not standing(one.agreement, today)}
    wanted = {partner: digest_of(one.agreement) for partner, one in in_force.items()}
    if _current(store.conn) == wanted:
        return 0
    with store.writing() as conn:
        current = _current(conn)
        ended = [partner for partner, digest in current.items() if wanted.get(partner) != digest]
        new = [
            (partner, one.agreement.version, wanted[partner], text, now, not kept)
            for partner, one in in_force.items()
            if current.get(partner) != wanted[partner]
            for text, kept in _text_of(conn, directory, one)
        ]
        conn.executemany(
            "UPDATE agreement_version SET until = ? WHERE partner = ? AND until IS NULL",
            [(now, partner) for partner in ended],
        )
        conn.executemany(
            "INSERT INTO agreement_version (partner, version, digest, text, since, interim) VALUES (?, ?, ?, ?, ?, ?)",
            new,
        )
        for partner, version, digest, _, _, interim in new:
            plain = {"partner": partner, "version": version, "digest": digest, "interim": interim}
            record_act(conn, Act(FILE_ACT, IN_FORCE, plain=plain), now)
        for partner in ended:
            if partner not in in_force:
                record_act(conn, Act(FILE_ACT, "no longer in force", plain={"partner": partner}), now)
    return len(ended) + len(new)


def history(conn: Connection, partner: str) -> list[AgreementVersion]:
    """Gives every version of the agreement with a partner that was in force, oldest first."""
    found: list[AgreementVersion] = []
    digests: dict[int, set[str]] = {}
    for version, digest, text, since, until, interim in conn.execute(
        "SELECT version, digest, text, since, until, interim FROM agreement_version WHERE partner = ? ORDER BY number",
        (partner,),
    ):
        known = digests.setdefault(version, set())
        unnumbered = bool(known - {digest}) and not interim
        found.append(AgreementVersion(partner, version, digest, text, since, until, unnumbered, bool(interim)))
        if not interim:
            known.add(digest)
    return found


def unnumbered_changes(conn: Connection) -> dict[str, str]:
    """Says by partner of which agreements the text in force has a number that another text had before."""
    return {
        partner: f"agreement with {partner}: its terms changed, but its version is still {version}; raise it"
        for partner, version in conn.execute(
            "SELECT partner, version FROM agreement_version AS one WHERE until IS NULL AND NOT interim AND EXISTS"
            " (SELECT 1 FROM agreement_version AS other WHERE other.partner = one.partner AND NOT other.interim"
            " AND other.version = one.version AND other.digest <> one.digest AND other.number < one.number)"
            " ORDER BY partner"
        )
    }


def _current(conn: Connection) -> dict[str, str]:
    return dict(conn.execute("SELECT partner, digest FROM agreement_version WHERE until IS NULL").fetchall())


def _text_of(conn: Connection, directory: Path, one: Acting) -> list[tuple[str, bool]]:
    """Gives the text of what acts, and whether it stood in a file; nothing where the file has changed meanwhile."""
    partner, digest = one.agreement.partner, digest_of(one.agreement)
    if one.waiting is not None:
        base = conn.execute(
            "SELECT text, digest FROM agreement_version WHERE number = ?", (one.waiting.base,)
        ).fetchone()
        if base[1] == digest:
            return [(base[0], True)]
        notes = [
            f"No file's terms: those of version {one.waiting.base_version}, with all that version"
            f" {one.waiting.version} tightens. They act while that waits for two persons to confirm it.",
        ]
        return [(agreement_toml(one.agreement, notes), False)]
    file = directory / AGREEMENTS_DIR / f"{partner}.toml"
    try:
        text = toml_text(file)
        return [(text, True)] if digest_of(parse_agreement(text, str(file))) == digest else []
    except ConfigurationError:
        return []

"""Every version of every agreement that was ever in force here: the file's text, its digest, from when to when.

Only what was in force is kept, seen when agreements are loaded for publishing or checked. Rows are added and
closed, never changed otherwise: a version that comes back is a further row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from threatshare.config import AGREEMENTS_DIR
from threatshare.errors import ConfigurationError
from threatshare.model import Micros
from threatshare.policy.agreement_files import agreement_text, parse_agreement
from threatshare.policy.agreements import Agreement, digest_of, standing
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store


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


def keep_versions(store: Store, directory: Path, agreements: Mapping[str, Agreement], today: date, now: Micros) -> int:
    """Keeps what is in force today where it is not kept yet, and closes what no longer is; gives how many rows changed.

    Writes only where something changed. A file that changes while this runs is kept by the next call.
    """
    in_force = {partner: one for partner, one in agreements.items() if not standing(one, today)}
    wanted = {partner: digest_of(one) for partner, one in in_force.items()}
    if _current(store.conn) == wanted:
        return 0
    with store.writing() as conn:
        current = _current(conn)
        ended = [partner for partner, digest in current.items() if wanted.get(partner) != digest]
        new = [
            (partner, in_force[partner].version, digest, text, now)
            for partner, digest in wanted.items()
            if current.get(partner) != digest and (text := _text_of(directory, partner, digest)) is not None
        ]
        conn.executemany(
            "UPDATE agreement_version SET until = ? WHERE partner = ? AND until IS NULL",
            [(now, partner) for partner in ended],
        )
        conn.executemany(
            "INSERT INTO agreement_version (partner, version, digest, text, since) VALUES (?, ?, ?, ?, ?)", new
        )
    return len(ended) + len(new)


def history(conn: Connection, partner: str) -> list[AgreementVersion]:
    """Gives every version of the agreement with a partner that was in force, oldest first."""
    found: list[AgreementVersion] = []
    digests: dict[int, set[str]] = {}
    for version, digest, text, since, until in conn.execute(
        "SELECT version, digest, text, since, until FROM agreement_version WHERE partner = ? ORDER BY number",
        (partner,),
    ):
        known = digests.setdefault(version, set())
        found.append(AgreementVersion(partner, version, digest, text, since, until, bool(known - {digest})))
        known.add(digest)
    return found


def unnumbered_changes(conn: Connection) -> dict[str, str]:
    """Says by partner of which agreements the text in force has a number that another text had before."""
    return {
        partner: f"agreement with {partner}: its terms changed, but its version is still {version}; raise it"
        for partner, version in conn.execute(
            "SELECT partner, version FROM agreement_version AS one WHERE until IS NULL AND EXISTS"
            " (SELECT 1 FROM agreement_version AS other WHERE other.partner = one.partner"
            " AND other.version = one.version AND other.digest <> one.digest AND other.number < one.number)"
            " ORDER BY partner"
        )
    }


def _current(conn: Connection) -> dict[str, str]:
    return dict(conn.execute("SELECT partner, digest FROM agreement_version WHERE until IS NULL").fetchall())


def _text_of(directory: Path, partner: str, digest: str) -> str | None:
    """Gives a file's text, or None where it no longer says what was read."""
    file = directory / AGREEMENTS_DIR / f"{partner}.toml"
    try:
        text = agreement_text(file)
        return text if digest_of(parse_agreement(text, str(file))) == digest else None
    except ConfigurationError:
        return None

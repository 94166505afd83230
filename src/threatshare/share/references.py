"""What our incident reports name, as each audience knows it: an object may come back to it under another id.

A report goes to an audience with the ids under which that audience holds what it names, and never outlives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from threatshare.model import Decision, Reason, Verdict
from threatshare.policy.gate import Cleared
from threatshare.policy.report_rules import REFERENCES, REPORTS, edition_of
from threatshare.policy.served import version_of
from threatshare.share.outlets import Outlet
from threatshare.stix import objects
from threatshare.store.connection import Connection
from threatshare.store.incidents import held_version, let_wait, note_held, wait_no_longer
from threatshare.store.releases import Release, releases_of

FORMER = Decision(
    Verdict.HOLD,
    (Reason(REFERENCES, Verdict.HOLD, "what it names has come back under other ids; it comes back naming these"),),
)
"""On a report that its audience holds with ids which have been withdrawn since."""


def is_report(content: Mapping[str, Any]) -> bool:
    """Tells whether an object of ours is a report: it has free text, and names other objects of ours."""
    return content["type"] in REPORTS


def held_by(conn: Connection, collection: int, contents: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Gives what a collection holds of all that some objects name: by our id, the id under which it does."""
    named = {one for content in contents if is_report(content) for one in content["object_refs"]}
    return {key: objects.reborn_id(key, life) for key, life in _lives(conn, collection, named).items()} if named else {}


def renamed(content: Mapping[str, Any], held: Mapping[str, str]) -> Mapping[str, Any]:
    """Gives a report with the ids under which its audience holds what it names; any other object as it is."""
    if not is_report(content):
        return content
    return {**content, "object_refs": [held.get(one, one) for one in content["object_refs"]]}


def names_former(content: Mapping[str, Any], past: Release | None, body: bytes) -> bool:
    """Tells whether the audience holds this version of a report with other ids than ``body`` has."""
    if past is None or not past.served or not is_report(content):
        return False
    return past.version == version_of(dict(content)) and past.digest != sha256(body).digest()


def waits(
    conn: Connection, outlet: Outlet, content: Mapping[str, Any], past: Release | None, decided: Cleared | Decision
) -> Decision | None:
    """Gives the hold of a version of a report that waits while its audience keeps the one before; None where none does.

    An audience keeps what it has only where nothing but the report itself has changed: neither what decisions depend
    on, nor anything that the former version names. Inside the caller's transaction.
    """
    number, object_id = outlet.collection.number, str(content["id"])
    edition = edition_of(content, outlet.audience.disguise)
    if isinstance(decided, Cleared):
        note_held(conn, number, object_id, edition, _lives(conn, number, content["object_refs"]))
    elif decided.verdict is Verdict.HOLD and past is not None and past.served and past.policy == outlet.policy:
        former, named = held_version(conn, number, object_id)
        if former not in ("", edition) and _lives(conn, number, named) == named:
            let_wait(conn, number, object_id, decided.reasons)
            return decided
    wait_no_longer(conn, number, object_id)
    return None


def _lives(conn: Connection, collection: int, ids: Iterable[str]) -> dict[str, int]:
    """Gives the lives in which a collection holds those of some objects that it holds."""
    return {key: one.life for key, one in releases_of(conn, collection, list(ids)).items() if one.served}

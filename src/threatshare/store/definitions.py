"""What objects' markings mean, as their own sources define them: by key, at the moment of asking.

A definition is an object like any other, kept in versions under its source. Nothing refers from it to what it
marks: whatever bears a marking without a fixed meaning is looked up each time it is read, so a definition counts
from the moment it comes, in whatever order things come, and nothing has to be found and changed then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from threatshare.model import Marking, Tlp
from threatshare.policy.markings import effective, marking_of
from threatshare.stix.marking_definitions import FIXED, read_definition, unreadable
from threatshare.stix.received import reread
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, object_key

MAX_VERSIONS = 16
"""A definition in more versions is not read: STIX allows one only (STIX 2.1 §7.2)."""


def definitions(conn: Connection, key_of: KeyOf, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Marking]:
    """Gives what markings (source number, id) mean according to their sources; those never sent are left out.

    Of several versions the most restrictive reading of each property counts: a definition cannot be loosened.
    """
    keys = {object_key(key_of, source, ref): (source, ref) for source, ref in wanted if ref not in FIXED}
    found: dict[tuple[int, str], Marking] = {}
    for key, depth, body in conn.execute(
        "WITH RECURSIVE chain (key, depth, previous, body) AS ("
        " SELECT key, 1, previous, body FROM object JOIN version v ON v.number = object.version"
        " WHERE key IN (SELECT value FROM json_each(?))"
        " UNION ALL SELECT chain.key, depth + 1, v.previous, v.body"
        " FROM chain JOIN version v ON v.number = chain.previous WHERE depth <= ?)"
        " SELECT key, depth, body FROM chain",
        (json.dumps(sorted(keys)), MAX_VERSIONS),
    ):
        one = keys[key]
        read = read_definition(one[1], bytes(body)) if depth <= MAX_VERSIONS else unreadable(one[1])
        found[one] = found.get(one, read).joined(read)
    return found


def markings(conn: Connection, key_of: KeyOf, objects: Mapping[int, tuple[int, Tlp]]) -> dict[int, Marking]:
    """Gives the effective markings of objects by key, each given with its source's number and default."""
    refs: dict[int, list[str]] = {}
    for key, body in conn.execute(
        "SELECT key, body FROM object JOIN version ON version.number = object.version"
        " WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(objects)),),
    ):
        refs[key] = reread(bytes(body)).marking_refs
    known = definitions(conn, key_of, {(objects[key][0], ref) for key, named in refs.items() for ref in named})
    found = {}
    for key, named in refs.items():
        source, default = objects[key]
        told = {ref: known[source, ref] for ref in named if (source, ref) in known}
        found[key] = effective(marking_of(named, (), told), default)
    return found

"""Which ids are ours: what comes from outside under one of them pretends to be ours, or is, without saying so."""

from __future__ import annotations

import json
from collections.abc import Iterable

from threatshare.errors import BadValue
from threatshare.stix.objects import indicator_id, siem_indicator_id
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, object_key
from threatshare.store.objects import held_keys
from threatshare.store.sources import OWN, sources


def ours_among(conn: Connection, key_of: KeyOf, identity: str, objects: Iterable[Received]) -> set[str]:
    """Gives the ids of those objects that bear an id of an object of ours, whoever they say has made them.

    That is one that we hold as our own or have served, and one that follows from our identity and its own pattern.
    """
    # Ours follow from what they name (UUID version 5); most of those of others are random.
    named = {one.id: one for one in objects if one.id[-22] == "5"}
    if not named:
        return set()
    found = {
        row[0]
        for row in conn.execute(
            "SELECT DISTINCT object_id FROM entry WHERE owner = '' AND object_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(named)),),
        )
    }
    own = sources(conn).get(OWN)
    if own is not None:
        keys = {object_key(key_of, own.number, one): one for one in named}
        found.update(keys[key] for key in held_keys(conn, keys))
    return found | {one for one, read in named.items() if follows_from(identity, read)}


def ours_served(conn: Connection, ids: Iterable[str], collections: Iterable[int]) -> set[str]:
    """Gives those of some ids under which we serve something of ours in some collections, by number."""
    return {
        row[0]
        for row in conn.execute(
            "SELECT DISTINCT object_id FROM entry WHERE owner = '' AND object_id IN (SELECT value FROM json_each(?))"
            " AND id >> 40 IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)), json.dumps(list(collections))),
        )
    }


def follows_from(identity: str, read: Received) -> bool:
    """Tells whether an object has the id of the indicator that an identity of ours would make of its pattern."""
    if read.id[-22] != "5" or read.type != "indicator" or read.pattern is None:
        return False
    try:
        observables = read_pattern(read.pattern)
    except BadValue:
        return False
    return any(read.id in (indicator_id(identity, one), siem_indicator_id(identity, one)) for one in observables)

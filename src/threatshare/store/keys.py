"""63-bit keyed hashes as row keys, so that rows of one batch are linked without a look-up.

The hash is keyed with a secret of this store: a partner cannot prepare two values that collide.
Should two collide all the same, the stored value tells them apart and the second is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from secrets import token_bytes

from threatshare.model import Kind, Observable
from threatshare.store.connection import Connection

_MASK = (1 << 63) - 1

KeyOf = Callable[[bytes], int]
"""Hashes bytes to a key of this store."""


KIND_CODE: Mapping[Kind, int] = {
    Kind.IPV4: 1,
    Kind.IPV6: 2,
    Kind.DOMAIN: 3,
    Kind.URL: 4,
    Kind.EMAIL: 5,
    Kind.MAC: 6,
    Kind.MD5: 7,
    Kind.SHA1: 8,
    Kind.SHA256: 9,
    Kind.SHA512: 10,
    Kind.PATTERN: 11,
}
"""How a kind is written in the store; never renumber."""

CODE_KIND: Mapping[int, Kind] = {code: kind for kind, code in KIND_CODE.items()}

_BEFORE: Mapping[Kind, str] = {kind: f"{kind}|" for kind in Kind}
"""What stands before a value where its key is made."""


def store_secret(conn: Connection) -> bytes:
    """Gives the secret that this store's keys are made with; made on first use, inside the caller's transaction."""
    row = conn.execute("SELECT value FROM setting WHERE name = 'key-secret'").fetchone()
    if row is not None:
        return bytes(row[0])
    secret = token_bytes(32)
    conn.execute("INSERT INTO setting (name, value) VALUES ('key-secret', ?)", (secret,))
    return secret


def key_maker(secret: bytes) -> KeyOf:
    """Makes the hash function; copying a prepared state costs less than keying each time."""
    prepared = blake2b(digest_size=8, key=secret)

    def key_of(text: bytes) -> int:
        state = prepared.copy()
        state.update(text)
        return int.from_bytes(state.digest(), "big") & _MASK

    return key_of


def observable_key(key_of: KeyOf, observable: Observable) -> int:
    """Gives the key of an observable's row."""
    kind, value = observable
    return key_of((_BEFORE[kind] + value).encode())


def object_key(key_of: KeyOf, source: int, stix_id: str) -> int:
    """Gives the key of the row that stands for one source's object."""
    return key_of(f"object|{source}|{stix_id}".encode())

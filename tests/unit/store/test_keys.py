"""Row keys: keyed hashes of 63 bits that no partner can prepare."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from threatshare.model import Kind, Observable
from threatshare.store.embedded import Store
from threatshare.store.keys import CODE_KIND, KIND_CODE, key_maker, object_key, observable_key, store_secret

KEY_OF = key_maker(b"k" * 32)


@given(st.binary(), st.binary())
def test_keys(one: bytes, other: bytes) -> None:
    """A key is a whole number that SQLite holds as such, the same each time, and another for another text."""
    assert 0 <= KEY_OF(one) < 1 << 63
    assert (KEY_OF(one) == KEY_OF(other)) == (one == other)
    assert KEY_OF(one) == key_maker(b"k" * 32)(one) != key_maker(b"l" * 32)(one)


def test_kinds_and_sources_are_part_of_the_key() -> None:
    """The same value as another kind, and the same id from another source, have another key."""
    keys = {observable_key(KEY_OF, Observable(kind, "x")) for kind in Kind}
    keys |= {object_key(KEY_OF, source, "x") for source in range(9)}
    assert len(keys) == len(Kind) + 9


def test_codes_of_kinds() -> None:
    """Every kind has its code; these numbers are in every store and never change."""
    assert {kind.value: code for kind, code in KIND_CODE.items()} == {
        "ipv4-addr": 1,
        "ipv6-addr": 2,
        "domain-name": 3,
        "url": 4,
        "email-addr": 5,
        "mac-addr": 6,
        "file:MD5": 7,
        "file:SHA-1": 8,
        "file:SHA-256": 9,
        "file:SHA-512": 10,
        "pattern": 11,
    }
    assert {CODE_KIND[code] for code in KIND_CODE.values()} == set(Kind)


def test_the_secret_is_made_once(store: Store) -> None:
    """A store has one secret of 256 bits, and keeps it."""
    secret = store_secret(store.conn)
    assert len(secret) == 32
    assert store_secret(store.conn) == secret
    assert key_maker(secret)(b"x") == store.key_of(b"x")

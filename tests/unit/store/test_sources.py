"""Sources and origins: numbers for names, each name one number."""

from __future__ import annotations

import pytest

from threatshare.model import Tlp
from threatshare.store.embedded import Store
from threatshare.store.sources import Origins, Source, register_source, sources


def test_registering_again_brings_it_up_to_date(store: Store) -> None:
    """A source that is registered again keeps number and kind and takes the rest."""
    with store.writing() as conn:
        first = register_source(conn, "north", "feed", "C", Tlp.AMBER)
        other = register_source(conn, "south", "partner", "F", Tlp.CLEAR, "an aggregate")
        again = register_source(conn, "north", "feed", "A", Tlp.RED, "another")
    assert first == Source(1, "north", "feed", "C", Tlp.AMBER)
    assert again == Source(1, "north", "feed", "A", Tlp.RED, "another")
    assert sources(store.conn) == {"north": again, "south": other}


def test_origins_are_numbered_as_they_come(store: Store) -> None:
    """A name has one number, whoever asks and whether it was learnt or forgotten."""
    with store.writing() as conn:
        first, second = Origins(conn), Origins(conn)
        numbers = [first.number("a"), second.number("b"), second.number("a"), first.number("b")]
        first.forget()
        assert numbers == [1, 2, 1, 2] == [*numbers[:2], first.number("a"), first.number("b")]
    assert store.conn.execute("SELECT number, name FROM origin").fetchall() == [(1, "a"), (2, "b")]


def test_an_origin_that_was_rolled_back_is_forgotten(store: Store) -> None:
    """After a transaction that failed, the number of an origin is never that of another name."""
    origins = Origins(store.conn)

    def fail() -> None:
        with store.writing():
            assert origins.number("a") == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    origins.forget()
    with store.writing():
        assert (origins.number("b"), origins.number("a")) == (1, 2)

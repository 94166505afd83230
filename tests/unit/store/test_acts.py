"""The acts of people: only ever added, chained, and witnesses of the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import DAY, NOW, find, let_out, make_agreement, make_collection, make_outlet, make_store
from threatshare.model import CollectionKind
from threatshare.store.acts import Act, acts, check_acts, head, record_act
from threatshare.store.connection import DatabaseError
from threatshare.store.embedded import Store
from threatshare.store.ledger import GENESIS, Head

ADD = Act("account add", "done", "Lead desk", "lead", ("operator",), {"name": "siem", "read": ["siem"]})


def record(store: Store, *some: Act) -> list[int]:
    with store.writing() as conn:
        return [record_act(conn, one, NOW + place * DAY) for place, one in enumerate(some)]


def tamper(store: Store, statement: str) -> None:
    """Does what somebody with the file in their hands could do."""
    for verb in ("update", "delete"):
        store.conn.execute(f"DROP TRIGGER IF EXISTS act_no_{verb}")
    store.conn.execute(statement)


def test_an_act_is_kept_as_it_was(store: Store) -> None:
    """Who, login, roles, verb, parameters, outcome and time come back, newest first."""
    assert record(store, ADD, Act("publish", "begun"), Act("publish", "done", begun=2)) == [1, 2, 3]
    last, _, first = acts(store.conn)
    assert (first.number, first.at) == (1, NOW)
    assert first.act == {
        "verb": "account add",
        "outcome": "done",
        "person": "Lead desk",
        "login": "lead",
        "roles": ["operator"],
        "plain": {"name": "siem", "read": ["siem"]},
        "begun": None,
        "ledger": None,
    }
    assert (last.act["begun"], last.act["roles"]) == (2, None)
    assert [one.number for one in acts(store.conn, NOW + DAY, NOW + 2 * DAY)] == [2]


def test_the_chain_holds(store: Store) -> None:
    """A chain that nobody touched has no problems, and its head is the last row's."""
    assert check_acts(store.conn).head == Head(0, GENESIS)
    record(store, ADD, ADD, ADD)
    found = check_acts(store.conn)
    assert (found.problems, found.rows, found.head) == ([], 3, head(store.conn))


@pytest.mark.parametrize("statement", ["UPDATE act SET at = 1", "DELETE FROM act WHERE number = 2"])
def test_rows_are_only_ever_added(store: Store, statement: str) -> None:
    """Changing or deleting a row by mistake is refused."""
    record(store, ADD, ADD)
    with pytest.raises(DatabaseError, match="only ever added to"):
        store.conn.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE act SET at = at + 1 WHERE number = 2", "act 2: what it says, or the act before it"),
        ("UPDATE act SET told = replace(told, 'Lead desk', 'Night desk') WHERE number = 2", "act 2: what it says, or"),
        ("UPDATE act SET told = told || ' ' WHERE number = 2", "act 2: what it says cannot be read"),
        ("UPDATE act SET told = 'nonsense' WHERE number = 2", "act 2: what it says cannot be read"),
        ("UPDATE act SET hash = zeroblob(32) WHERE number = 2", "act 2: what it says, or the act before it"),
        ("DELETE FROM act WHERE number = 2", "act 2 is missing: the next is 3"),
        ("DELETE FROM act WHERE number = 1", "act 1 is missing: the next is 2"),
    ],
)
def test_tampering_is_found(store: Store, statement: str, said: str) -> None:
    """Whatever is altered or dropped, the first problem names the row."""
    record(store, ADD, ADD, ADD)
    tamper(store, statement)
    assert check_acts(store.conn).problems[0].startswith(said)


def test_acts_witness_the_ledger(store: Store) -> None:
    """Each act names the ledger's head of its time, so that a ledger that was cut or made anew is found by the acts."""
    north = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store)
    let_out(store, make_outlet(north, make_agreement()))
    record(store, ADD)
    assert check_acts(store.conn).problems == []
    (row,) = acts(store.conn)
    number = row.act["ledger"][0]
    store.conn.execute("DROP TRIGGER ledger_no_delete")
    store.conn.execute("DROP TRIGGER ledger_no_update")
    store.conn.execute("UPDATE ledger SET hash = zeroblob(32) WHERE number = ?", (number,))
    assert "had another hash" in check_acts(store.conn).problems[0]
    store.conn.execute("DELETE FROM ledger WHERE number = ?", (number,))
    assert f"row {number} of the ledger is missing" in check_acts(store.conn).problems[0]


words = st.text(max_size=20)
some_acts = st.builds(
    Act,
    words,
    words,
    st.none() | words,
    st.none() | words,
    st.none() | st.lists(words, max_size=3).map(tuple),
    st.dictionaries(words, words | st.integers(-9, 9) | st.lists(words, max_size=2), max_size=3),
)


@given(st.lists(some_acts, max_size=6))
def test_any_acts_make_a_chain_that_holds(tmp_path_factory: pytest.TempPathFactory, some: list[Act]) -> None:
    """Whatever text is in an act, the chain that it stands in holds."""
    store = make_store(tmp_path_factory.mktemp("acts"))
    record(store, *some)
    found = check_acts(store.conn)
    store.close()
    assert (found.problems, found.rows) == ([], len(some))

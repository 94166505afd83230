from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.stix.repeated import repeated_property

_NAMES = st.sampled_from(["id", "i,d", "type", ",", '"', "é", "\\", ""])
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=6), st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_stands_twice_is_found(pairs: list[tuple[str, object]], escaped: bool, signs: tuple[str, str]) -> None:
    """Exactly what stands twice in the object itself is named, however it is written."""
    text = signs[0].join(f"{_key(name, escaped)}{signs[1]}{json.dumps(value)}" for name, value in pairs)
    found = repeated_property(f"{{{text}}}".encode())
    names = [name for name, _ in pairs]
    assert (found is None) == (len(names) == len(set(names)))
    assert found is None or names.count(found) > 1


def _key(name: str, escaped: bool) -> str:
    return '"' + "".join(f"\\u{ord(one):04x}" for one in name) + '"' if escaped else json.dumps(name)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"id":1,"x":"a","id":2}', "id"),
        (b'{"\\u0069d":1,"id":2}', "id"),
        (b'{"a":1e400,"b":99999999999999999999999999, "a":-0}', "a"),
        (b'{"\\u002c":1,"a":1,"a":2}', "a"),
        (b'{"objects":{"0":{"id":1},"1":{"id":1}},"id":2}', None),
        (b'{"a":",,,","b":[1,2,{"c":1,"d":2}]}', None),
        (b"{ }", None),
    ],
)
def test_a_name_is_told(raw: bytes, name: str | None) -> None:
    """The first that comes again is named; what stands once in each of two objects does not count."""
    assert repeated_property(raw) == name

"""The quick judgement of patterns against the parser of stix2-patterns: what the one accepts, the other accepts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stix2patterns.exceptions import ParseException
from stix2patterns.v21.pattern import Pattern

from threatshare.stix.pattern_grammar import is_plainly_pattern

PATHS = st.sampled_from(
    ["a:b", "file:name", "x-y:z", "a:b.c", "a:''", "a:b.''", "a:b[0]", "a:b[*].c", "a:b[-1]", "a:b-c", "a:AND", "IN:b",
     "a:b[01]", "a:b.in", "a:b. c", "true:b", "1:b", "a:b.1", "a :b", "ü:b", "a:b[1][2]"]
)  # fmt: skip
LITERALS = st.sampled_from(
    ["''", "1", "0", "-1", "-0", "01", "1.5", ".5", "1.", "-.5", "+1", "true", "false", "TRUE", "x", "1e5", "1a",
     "t'2026-01-01T00:00:00Z'", "t'2026-13-01T00:00:00Z'", "t'x'", "h'aa'", "b'aa=='", "t'2026-01-01T00:00:00.5Z'"]
)  # fmt: skip
BLANK = st.sampled_from(["", " ", "  ", "\n", "\t"])
NOT = st.sampled_from(["", "", "NOT ", "not "])
OPERATORS = st.sampled_from(["=", "==", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"])
COMPARISONS = st.one_of(
    st.builds("{}{}{}{}{}{}".format, PATHS, BLANK, NOT, OPERATORS, BLANK, LITERALS),
    st.builds("{} {}IN{}({})".format, PATHS, NOT, BLANK, st.lists(LITERALS, max_size=3).map(" , ".join)),
    st.builds("EXISTS {}".format, PATHS),
)
LINKS = st.sampled_from([" AND ", " OR ", " FOLLOWEDBY ", "AND", " and ", " "])
INNER = st.recursive(
    COMPARISONS,
    lambda parts: st.one_of(st.builds("({})".format, parts), st.builds("{}{}{}".format, parts, LINKS, parts)),
    max_leaves=5,
)
QUALIFIERS = st.sampled_from(
    ["", "", " WITHIN 5 SECONDS", " WITHIN 0 SECONDS", " WITHIN 1.5 SECONDS", " REPEATS 2 TIMES", " REPEATS 0 TIMES",
     " REPEATS -1 TIMES", "WITHIN 5 SECONDS", " START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
     " START '' STOP ''", " WITHIN 5 SECONDSx"]
)  # fmt: skip
OUTER = st.recursive(
    st.builds("[{}]{}".format, INNER, QUALIFIERS),
    lambda parts: st.one_of(
        st.builds("({}){}".format, parts, QUALIFIERS), st.builds("{}{}{}".format, parts, LINKS, parts)
    ),
    max_leaves=4,
)
PIECES = st.sampled_from(
    ["[", "]", "(", ")", "a:b = 1", " AND ", " OR ", " FOLLOWEDBY ", " WITHIN 5 SECONDS", "'' ", "c", "o", "q"]
)
ANY = st.one_of(OUTER, st.lists(PIECES, max_size=9).map("".join), st.text(max_size=12))


def parsed(structure: str) -> bool:
    """Tells what the parser says."""
    try:
        Pattern(structure)
    except (ParseException, ValueError, RecursionError):
        return False
    return True


@given(ANY)
@example("[a:b = 1] o")
@example("[c]")
@example("(a:b = 1)")
@example("[a:b = 1]WITHIN 5 SECONDS")
@example("[a:b=1AND c:d=2]")
@example("[a:b = '''']")
@example("[a:b = 1 //\n]")
def test_what_is_accepted_is_a_pattern(structure: str) -> None:
    """Nothing is accepted that the parser refuses."""
    if is_plainly_pattern(structure):
        assert parsed(structure)


@pytest.mark.parametrize(
    "structure",
    [
        "[a:b = 1]",
        "[ a:b.c[*].'' NOT = '' AND (x-y:z >= 1.5 OR e:f IN ('', 2)) ]",
        "([a:b = 1] AND [c:d != true]) WITHIN 5 SECONDS FOLLOWEDBY [e:f LIKE ''] REPEATS 3 TIMES",
        "[a:b = t'2026-01-01T00:00:00Z'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
        "[" + " AND ".join("([a:b = 1])"[1:-1].strip("[]") for _ in range(200)) + "]",
    ],
)
def test_common_forms_do_not_need_the_parser(structure: str) -> None:
    """What patterns look like is told at once."""
    assert is_plainly_pattern(structure)
    assert parsed(structure)

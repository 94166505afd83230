"""No pattern takes the processor for itself: each ends soon, in observables or in a reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from threatshare.errors import BadValue
from threatshare.model import Kind
from threatshare.stix.patterns import MAX_DEPTH, MAX_PATTERN, MAX_TERMS, read_pattern

Watch = Callable[[], AbstractContextManager[None]]


def joined(by: str, count: int, one: str = "file:name = 'x{}'") -> str:
    """Writes ``count`` pieces, each with its number."""
    return by.join(one.format(number) for number in range(count))


TOO_MUCH = {
    "a chain of 1000 ORs": f"[{joined(' OR ', 1000)}]",
    "one address 1000 times": "[" + " OR ".join(["ipv4-addr:value = '198.51.100.7'"] * 1000) + "]",
    "1000 addresses": " OR ".join(["[ipv4-addr:value = '198.51.100.7']"] * 1000),
    "1000 observations": joined(" OR ", 1000, "[file:name = 'x{}']"),
    "300 parentheses": "(" * 300 + "[file:name = 'x']" + ")" * 300,
    "300 parentheses within": "[" + "(" * 300 + "file:name = 'x'" + ")" * 300 + "]",
    "1000 opening parentheses": "(" * 1000,
    "1000 opening brackets": "[" * 1000,
    "1000 qualifiers": "[file:name = 'x']" + " WITHIN 5 SECONDS" * 1000,
    "1000 negations": "[file:name" + " NOT" * 1000 + " = 'x']",
    "3000 path steps": "[file:" + joined(".", 3000, "a") + " = 'x']",
    "3000 indexes": "[file:a" + "[0]" * 3000 + " = 'x']",
    "a list of 10,000": "[file:name IN (" + joined(",", 10_000, "'x{}'") + ")]",
    "a list of 5,000": "[file:name IN (" + joined(",", 5_000, "'x'") + ")]",
    "a list of 4,000 addresses": "[ipv4-addr:value IN (" + joined(",", 4_000, "'1.2.3.4'") + ")]",
    "a list of 5,000 numbers": "[file:size IN (" + joined(",", 5_000, "{}") + ")]",
    "a string of a megabyte": "[file:name = '" + "x" * 1_000_000 + "']",
    "a URL of a megabyte": "[url:value = 'http://example.com/" + "x" * 1_000_000 + "']",
    "a megabyte of backslashes": "[url:value = '" + "\\\\" * 500_000,
    "hexadecimal of 60,000": "[file:name = h'" + "ab" * 30_000 + "']",
    "quotes that do not end": "[file:name = '" + "\\'" * 30_000,
    "quotes": "'" * 65_000,
    "comments that do not end": "/*" * 32_000,
    "comments and quotes": "/*'" * 20_000,
    "stars": "[file:name = 'x'] /" + "* " * 30_000,
    "slashes": "//" * 32_000,
    "numbers": "1 " * 32_000,
    "hyphens": "-" * 16_000,
    "dots": "1." * 16_000,
    "pieces": "[a:b = 'x' " * 5_000,
    "marks": "!" * 65_000,
    "line ends": "\u2028" * 65_000,
    "a typed string that does not end": "[a:b = t'" + "2026-" * 10_000,
    "typed strings that do not end": "h'" * 30_000,
}

ENOUGH = {
    "as many ORs as may be": f"[{joined(' OR ', MAX_TERMS)}]",
    "as many observations as may be": joined(" OR ", MAX_TERMS, "[file:name = 'x{}']"),
    "as deep as may be": "(" * (MAX_DEPTH - 1) + "[file:name = 'x']" + ")" * (MAX_DEPTH - 1),
    "deep and wide": "(" * 30 + "[file:name = 'x']" + " OR [file:name = 'y'])" * 30,
    "qualified": "[file:name = 'x']" + " WITHIN 5 SECONDS" * 200,
    "a list": "[file:name IN (" + joined(",", MAX_TERMS, "'x{}'") + ")]",
    "a long string": "[file:name = '" + "x" * 60_000 + "']",
    "a long string of quotes": "[file:name = '" + "\\'" * 30_000 + "']",
    "blanks": "[file:name" + " " * 60_000 + "= 'x']",
    "brackets in a string": f"[file:name = '{'([' * 1000}']",
    "terms in a string": f"[file:name = '{' AND a = b OR ' * 1000}']",
    "a long comment": f"[file:name = 'x' /*{'* / ' * 10_000}*/]",
}


@pytest.mark.parametrize("pattern", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_much_is_refused_soon(pattern: str, quickly: Watch) -> None:
    """Patterns that stop other programs for minutes, or end them, are refused with a reason at once."""
    with quickly(), pytest.raises(BadValue):
        read_pattern(pattern)


@pytest.mark.parametrize("pattern", ENOUGH.values(), ids=ENOUGH)
def test_the_limits_leave_room(pattern: str, quickly: Watch) -> None:
    """What is large but within the limits is taken, and what stands in strings counts for nothing."""
    with quickly():
        found = read_pattern(pattern)
    assert [one.kind for one in found] == [Kind.PATTERN]


def test_as_many_values_as_may_be_are_taken() -> None:
    """The number of observables of one pattern has a limit, which is reached."""
    values = [f"198.51.{number // 250}.{number % 250}" for number in range(MAX_TERMS + 1)]
    assert len(read_pattern("[" + " OR ".join(f"ipv4-addr:value = '{one}'" for one in values[1:]) + "]")) == MAX_TERMS
    with pytest.raises(BadValue, match=str(MAX_TERMS)):
        read_pattern("[" + " OR ".join(f"ipv4-addr:value = '{one}'" for one in values) + "]")


def test_one_term_more_than_may_be_is_refused() -> None:
    """Limits are exact."""
    with pytest.raises(BadValue, match=str(MAX_TERMS)):
        read_pattern(f"[{joined(' OR ', MAX_TERMS + 1)}]")
    with pytest.raises(BadValue, match=str(MAX_DEPTH)):
        read_pattern("(" * MAX_DEPTH + "[file:name = 'x']" + ")" * MAX_DEPTH)
    with pytest.raises(BadValue, match=str(MAX_PATTERN)):
        read_pattern("[file:name = '" + "x" * MAX_PATTERN + "']")


def test_the_same_reason_is_given_twice() -> None:
    """A verdict that is remembered is the verdict that was given, be it good or bad."""
    for pattern in ("[file:name = 'x'] AND", "[file:name = 'x' AND file:size = 7]") * 2:
        if pattern.endswith("]"):
            assert read_pattern(pattern)[0].value == pattern
        else:
            with pytest.raises(BadValue, match="grammar"):
                read_pattern(pattern)


def test_a_reason_does_not_repeat_the_value() -> None:
    """What a complex pattern looks for does not get into logs by way of a fault in its grammar."""
    with pytest.raises(BadValue) as refused:
        read_pattern("[file:name = 'secret name' AND AND]")
    assert "secret" not in str(refused.value)

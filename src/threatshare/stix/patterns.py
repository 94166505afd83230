"""STIX patterns to observables and back.

A pattern whose parts each suffice alone (one ``=``, an OR or IN of such, or an AND of hashes of one
file, each of which names the file) becomes one observable a part. Anything else is checked against
the grammar and kept whole. Equality of complex patterns is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable
from threatshare.stix.observables import MAX_LENGTH, canonical, tidied

MAX_PATTERN = 65_536
"""Characters."""
MAX_TERMS = 256
"""Comparisons, values of a list, qualifiers."""
MAX_DEPTH = 32
MAX_STRUCTURE = 16_384
"""Characters of a pattern outside its strings: the parser's time depends on these, and on the next."""
MAX_TOKENS = 10 * MAX_TERMS
MAX_STRANGE = 300
"""Parts of a pattern that only the parser can tell from what is none: it takes 0.05 ms a part."""

_QUOTED = r"'[^'\\]*+(?:\\['\\][^'\\]*+)*+'"
_STRING = rf"'({_QUOTED[1:-1]})'"
_PATH = r"([a-z0-9-]++:[A-Za-z0-9_.'\"-]++)"
_SINGLE = re.compile(rf"\[\s*+{_PATH}\s*+==?\s*+{_STRING}\s*+\]").fullmatch
_LIST = rf"\(\s*+({_QUOTED}(?:\s*+,\s*+{_QUOTED})*+)\s*+\)"
_TERM = re.compile(rf"\s*+{_PATH}\s*+(?:==?\s*+{_STRING}|IN\s*+{_LIST})\s*+")
_LISTED = re.compile(_STRING)
_LINK = re.compile(r"\]\s*+OR\s*+\[|OR\s|AND\s")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LITERAL = re.compile(r"(?P<typed>[thb]'[^']*+')|'(?:[^'\\]|\\['\\])*+(?P<end>'?)")
_BRACKET = re.compile(r"[()\[\]]")
_TOKEN = re.compile(r"''|\w[\w-]*+|[^\w\s]")
_TERMS = re.compile(r",|\b(?:AND|OR|FOLLOWEDBY|START|WITHIN|REPEATS)\b")

_PATHS: Mapping[str, Kind] = {
    "ipv4-addr:value": Kind.IPV4,
    "ipv6-addr:value": Kind.IPV6,
    "domain-name:value": Kind.DOMAIN,
    "url:value": Kind.URL,
    "email-addr:value": Kind.EMAIL,
    "mac-addr:value": Kind.MAC,
    **{
        f"file:hashes.{quote}{spelling}{quote}": kind
        for kind, spellings in {
            Kind.MD5: ("MD5", "md5"),
            Kind.SHA1: ("SHA-1", "SHA1", "sha1", "sha-1"),
            Kind.SHA256: ("SHA-256", "SHA256", "sha256", "sha-256"),
            Kind.SHA512: ("SHA-512", "SHA512", "sha512", "sha-512"),
        }.items()
        for spelling in spellings
        for quote in ("", "'", '"')
    },
}
_CANONICAL_PATH: Mapping[Kind, str] = {
    Kind.MD5: "file:hashes.MD5",
    Kind.SHA1: "file:hashes.'SHA-1'",
    Kind.SHA256: "file:hashes.'SHA-256'",
    Kind.SHA512: "file:hashes.'SHA-512'",
    **{kind: f"{kind}:value" for kind in (Kind.IPV4, Kind.IPV6, Kind.DOMAIN, Kind.URL, Kind.EMAIL, Kind.MAC)},
}


def pattern_of(observable: Observable) -> str:
    """Writes the canonical one-comparison pattern of an observable.

    Of a complex pattern that was too long to be kept whole there is only a digest, which is no pattern.
    """
    if observable.kind is Kind.PATTERN:
        return observable.value
    value = observable.value.replace("\\", "\\\\").replace("'", "\\'")
    return f"[{_CANONICAL_PATH[observable.kind]} = '{value}']"


def read_pattern(pattern: str, held: bool = False) -> tuple[Observable, ...]:
    """Reads a pattern into the observables each of which matches it alone, or one of Kind.PATTERN.

    Raises BadValue where the pattern breaks the grammar, our limits, or names a value that cannot exist. ``held``: it
    was read before it was stored, so the grammar is not asked again, which may take 15 ms.
    """
    if len(pattern) > MAX_PATTERN:
        raise BadValue(f"pattern of {len(pattern)} characters, at most {MAX_PATTERN} are taken")
    single = _single(pattern)
    if single is not None:
        return (canonical(*single),)
    if isinstance(pattern, ReadAhead):
        return pattern.found()
    text = tidied(pattern)
    return _alternatives(text) or (_whole(text) if held else _opaque(text),)


class ReadAhead(str):
    """A pattern with what came of reading it; ``read_pattern`` says the same of it again, at no cost.

    Reading takes up to 15 ms, and a partner may send twenty thousand such patterns: they are read where nobody waits,
    not within the transaction in which they are stored.
    """

    __slots__ = ("_fault", "_found")
    _fault: str | None
    _found: tuple[Observable, ...]

    def __new__(cls, pattern: str) -> ReadAhead:
        """Reads a pattern."""
        made = super().__new__(cls, pattern)
        made._fault = None
        made._found = ()
        try:
            made._found = read_pattern(pattern)
        except BadValue as problem:
            # Only its words: the exception holds on to whoever called.
            made._fault = str(problem)
        return made

    def found(self) -> tuple[Observable, ...]:
        """Gives what it was read into; raises BadValue as it was raised."""
        if self._fault is not None:
            raise BadValue(self._fault)
        return self._found


def read_ahead(pattern: str) -> str:
    """Gives a pattern that is read already, unless it is so simple that reading it again costs nothing."""
    return pattern if _single(pattern) is not None else ReadAhead(pattern)


def _single(pattern: str) -> tuple[Kind, str] | None:
    """Takes the one ``=`` comparison of a pattern apart; None where it is anything else."""
    # As nearly every pattern is written; the expression says the same of it, in three times the time.
    path, _, text = pattern.partition(" = '")
    kind = _PATHS.get(path[1:])
    if kind is not None and path[0] == "[" and text.find("'") == len(text) - 2 and text[-1] == "]" and "\\" not in text:
        return kind, text[:-2]
    match = _SINGLE(pattern)
    kind = _PATHS.get(match[1]) if match is not None else None
    return None if match is None or kind is None else (kind, _unescaped(match[2]))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _alternatives(pattern: str) -> tuple[Observable, ...] | None:
    """Takes a pattern apart at its ORs; None where it holds anything else."""
    if not (pattern.startswith("[") and pattern.endswith("]")):
        return None
    named: list[tuple[Kind, str]] = []
    links: set[str] = set()
    at, end = 1, len(pattern) - 1
    while True:
        term = _TERM.match(pattern, at, end)
        kind = _PATHS.get(term[1]) if term is not None else None
        if term is None or kind is None:
            return None
        values = [term[2]] if term[2] is not None else _LISTED.findall(term[3])
        named += [(kind, _unescaped(value)) for value in values]
        if len(named) > MAX_TERMS:
            raise BadValue(f"pattern of more than {MAX_TERMS} comparisons")
        if term.end() == end:
            break
        link = _LINK.match(pattern, term.end(), end)
        if link is None:
            return None
        links.add("AND" if link[0].startswith("AND") else "OR")
        at = link.end()
    if "AND" in links and (len(links) > 1 or not _one_file(named)):
        return None
    return tuple(dict.fromkeys(canonical(kind, value) for kind, value in named))


def _one_file(named: Sequence[tuple[Kind, str]]) -> bool:
    """Tells whether these are the hashes of one file: each algorithm once, so that each of them names it."""
    algorithms = [kind.algorithm for kind, _ in named]
    return None not in algorithms and len(set(algorithms)) == len(algorithms)


def _opaque(pattern: str) -> Observable:
    """Checks a complex, tidied pattern against limits and grammar, and takes it whole."""
    # Here, since its expressions take longer to compile than `lookup` takes.
    from threatshare.stix.pattern_grammar import is_plainly_pattern

    structure = _structure(pattern)
    _check_size(structure)
    if not is_plainly_pattern(structure):
        _check_grammar(structure)
    return _whole(pattern)


def _check_grammar(structure: str) -> None:
    """Asks the parser about a form that is not plainly a pattern; takes milliseconds, so it does not for long ones."""
    if len(_TOKEN.findall(structure)) > MAX_STRANGE:
        raise BadValue("pattern breaks the STIX grammar, or is long and of a form that takes long to tell")
    try:
        fault = _fault(structure) if len(structure) <= _KEPT else _fault.__wrapped__(structure)
    except RecursionError as problem:
        raise BadValue("pattern is too deeply nested") from problem
    if fault is not None:
        raise BadValue(f"pattern breaks the STIX grammar, its strings left out: {fault}")


def _check_size(structure: str) -> None:
    if len(structure) > MAX_STRUCTURE or len(_TOKEN.findall(structure)) > MAX_TOKENS:
        raise BadValue(f"pattern of more than {MAX_STRUCTURE} characters or {MAX_TOKENS} parts beside its strings")
    depth = deepest = 0
    for bracket in _BRACKET.findall(structure):
        depth += 1 if bracket in "([" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or len(_TERMS.findall(structure)) >= MAX_TERMS:
        raise BadValue(f"pattern nested deeper than {MAX_DEPTH} or of more than {MAX_TERMS} terms")


def _structure(pattern: str) -> str:
    """Gives a pattern with its strings emptied: what is in them has no part in the grammar, but takes its time.

    Raises BadValue for a string that does not end or has a wrong escape; the grammar would look for
    its end from each of its quotes.
    """

    def emptied(match: re.Match[str]) -> str:
        if match["typed"]:
            return match["typed"]
        if not match["end"]:
            raise BadValue("pattern breaks the STIX grammar: a string without end, or with a wrong escape")
        return "''"

    return _LITERAL.sub(emptied, pattern)


_KEPT = 1024
"""Longest structure whose verdict is cached, in characters."""


@lru_cache(maxsize=4096)
def _fault(structure: str) -> str | None:
    """Says how a pattern breaks the grammar; cached, since feeds have few forms and the parser takes milliseconds."""
    from stix2patterns.exceptions import ParseException
    from stix2patterns.v21.pattern import Pattern

    try:
        Pattern(structure)
    except (ParseException, ValueError) as problem:
        return str(problem)[:200]
    return None


def _whole(pattern: str) -> Observable:
    if len(pattern) <= MAX_LENGTH:
        return canonical(Kind.PATTERN, pattern)
    from hashlib import sha256

    return Observable(Kind.PATTERN, f"sha256:{sha256(pattern.encode()).hexdigest()}")

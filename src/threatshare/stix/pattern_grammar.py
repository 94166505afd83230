"""Tells at once that a pattern is one, for the forms that patterns have: stix2-patterns takes 50 ms over some.

A pattern's terms become one letter each, and then what the grammar puts together (STIX 2.1 §9) is put together, from
the inside outwards, until one letter is left. What is accepted here the parser accepts; the rest may still be patterns.
"""

from __future__ import annotations

import re

_NAME = r"[A-Za-z_][A-Za-z0-9_]*+"
_STEP = rf"(?:\.(?:{_NAME}|'')|\[(?:0|[1-9][0-9]*+|\*)\])"
_PATH = rf"[A-Za-z_][A-Za-z0-9_-]*+:(?:{_NAME}|''){_STEP}*+"
_NUMBER = r"-?(?:[0-9]++\.[0-9]++|0(?![0-9.])|[1-9][0-9]*+(?!\.))(?![A-Za-z0-9_.])"
_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = rf"t'{_DATE}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]++)?Z'"
_ORDERED = rf"(?:''|{_NUMBER}|{_TIME})"
_LITERAL = rf"(?:{_ORDERED}|(?:true|false)\b)"
_TEST = (
    rf"(?:\s*+(?:NOT\s++)?(?:==?|!=|<>)\s*+{_LITERAL}"
    rf"|\s*+(?:NOT\s++)?[<>]=?\s*+{_ORDERED}"
    rf"|\s++(?:NOT\s++)?(?:LIKE|MATCHES|ISSUBSET|ISSUPERSET)\s*+''"
    rf"|\s++(?:NOT\s++)?IN\s*+\(\s*+{_LITERAL}(?:\s*+,\s*+{_LITERAL})*+\s*+\))"
)
_PART = re.compile(
    rf"(?P<link>\b(?:AND|OR|FOLLOWEDBY)\b)"
    rf"|(?P<qualifier>\b(?:WITHIN\s++[1-9][0-9]*+\s++SECONDS|REPEATS\s++[1-9][0-9]*+\s++TIMES"
    rf"|START\s++{_TIME}\s++STOP\s++{_TIME})(?!\w))"
    rf"|(?P<comparison>(?<!\w)(?:EXISTS\s++(?P<known>{_PATH})|(?P<path>{_PATH}){_TEST}))"
    rf"|(?P<bracket>[()\[\]])|(?P<blank>\s++)|(?P<strange>.)",
    re.DOTALL,
)
_KEYWORD = re.compile(
    r"\b(?:AND|OR|NOT|FOLLOWEDBY|LIKE|MATCHES|ISSUPERSET|ISSUBSET|EXISTS|LAST|IN|START|STOP|SECONDS|TRUE|FALSE"
    r"|WITHIN|REPEATS|TIMES|TRUE|FALSE)\b",
    re.IGNORECASE,
).search
_LINKS = {"AND": "&", "OR": "|", "FOLLOWEDBY": ">"}
_COMPARISONS = re.compile(r"\(c(?:[&|]c)*+\)")
_OBSERVATION = re.compile(r"\[c(?:[&|]c)*+\]")
_OBSERVATIONS = re.compile(r"\(o(?:[&|>]o)*+\)")
_QUALIFIED = re.compile(r"oq++")
_WHOLE = re.compile(r"o(?:[&|>]o)*+").fullmatch


def is_plainly_pattern(structure: str) -> bool:
    """Tells whether a pattern whose strings were emptied is surely one by the grammar."""
    letters = []
    for part in _PART.finditer(structure):
        kind = part.lastgroup
        if kind == "strange" or (kind == "comparison" and _KEYWORD(part["path"] or part["known"])):
            return False
        if kind != "blank":
            letters.append(_letter(kind, part[0]))
    left = _reduced("".join(letters), _COMPARISONS, "c")
    left = _reduced(_OBSERVATION.sub("o", left), _OBSERVATIONS, "o")
    return _WHOLE(left) is not None


def _letter(kind: str | None, text: str) -> str:
    if kind == "link":
        return _LINKS[text]
    return text if kind == "bracket" else "q" if kind == "qualifier" else "c"


def _reduced(letters: str, group: re.Pattern[str], to: str) -> str:
    """Puts the innermost groups together again and again; a pattern nests 32 deep at most."""
    while True:
        less = group.sub(to, _QUALIFIED.sub("o", letters))
        if less == letters:
            return letters
        letters = less

"""Writes agreement files: a new one with what each key means, and any agreement as plain TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib.resources import files

from threatshare.errors import ConfigurationError
from threatshare.policy.agreement_files import parse_agreement
from threatshare.policy.agreement_terms import Agreement, stated

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def new_agreement_text(
    partner: str,
    max_tlp: str,
    until: date,
    begins: date,
    signed: date | None = None,
    object_types: Sequence[str] = ("indicator",),
    min_score: int = 0,
    reliability: str = "C",
    sources: Sequence[str] = (),
) -> str:
    """Writes the file of a new agreement, with what each key means; raises ConfigurationError for impossible values.

    Without ``signed`` it is a draft, under which nothing leaves.
    """
    if until < begins:
        raise ConfigurationError(f"agreement with {partner!r}: it would end on {until}, before it begins on {begins}")
    text = files("threatshare.policy").joinpath("new-agreement.txt").read_text("utf-8")
    text = text.format(
        partner=_toml(partner),
        signed=f"signed_on = {signed}" if signed else "# signed_on = YYYY-MM-DD   without it nothing leaves",
        begins=begins,
        until=until,
        max_tlp=_toml(max_tlp),
        object_types=_toml(list(object_types)),
        min_score=min_score,
        reliability=_toml(reliability),
        sources=_toml(list(sources)),
    )
    return _readable(text, partner)


def agreement_toml(agreement: Agreement, notes: Iterable[str] = ()) -> str:
    """Writes what an agreement says beyond the defaults, behind notes as comments; reading it gives it back."""
    comments = [f"# {_CONTROLS.sub(' ', note)}".rstrip() for note in notes]
    text = "\n".join([*comments, *_table(stated(agreement), "")]) + "\n"
    return _readable(text, agreement.partner)


def _readable(text: str, partner: str) -> str:
    """Gives a text back that can be written to a file and read as an agreement; raises ConfigurationError otherwise."""
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ConfigurationError(f"agreement with {partner!r}: a value is no text: {problem}") from problem
    parse_agreement(text, f"agreement with {partner!r}")
    return text


def _table(terms: Mapping[str, object], prefix: str) -> Iterator[str]:
    """Yields a table's lines, its own keys before the tables within it."""
    tables = {name: value for name, value in terms.items() if isinstance(value, dict) or _is_tables(value)}
    for name, value in terms.items():
        if name not in tables:
            yield f"{name} = {_toml(value)}"
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from ("", f"[{prefix}{name}]")
            yield from _table(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for one in value:
                yield from ("", f"[[{prefix}{name}]]")
                yield from _table(one, f"{prefix}{name}.")


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _toml(value: object) -> str:
    match value:
        case str():
            # JSON's escapes are TOML's, but for DEL, which only TOML forbids.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case bool():
            return str(value).lower()
        case _:
            return str(value)

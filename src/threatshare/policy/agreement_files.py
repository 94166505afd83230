"""Reads ``agreements/PARTNER.toml``; what is wrong is said with file, key, value and what was wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shapes

from threatshare.config import AGREEMENTS_DIR, parse_toml, toml_text, was_given
from threatshare.errors import ConfigurationError
from threatshare.policy.agreement_terms import Agreement

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def load_agreements(node_dir: Path) -> dict[str, Agreement]:
    """Reads every ``agreements/PARTNER.toml``, by partner; raises ConfigurationError at the first that is wrong."""
    read, wrong = read_agreements(node_dir)
    for problem in wrong:
        raise ConfigurationError(problem)
    return read


def read_agreements(node_dir: Path) -> tuple[dict[str, Agreement], list[str]]:
    """Reads every agreement file; gives those that can be used by partner, and a message for each thing that is wrong.

    Of two that claim one source both are given, and the message names the second.
    """
    read: dict[str, Agreement] = {}
    wrong: list[str] = []
    for file in sorted((node_dir / AGREEMENTS_DIR).glob("*.toml")):
        try:
            read[file.stem] = load_agreement(file)
        except ConfigurationError as problem:
            wrong.append(str(problem))
    return read, wrong + _shared_senders(read, node_dir)


def check(node_dir: Path) -> list[str]:
    """Gives what is wrong with every agreement file, a message each; empty where all can be used. Never raises."""
    return read_agreements(node_dir)[1]


def load_agreement(file: Path) -> Agreement:
    """Reads one agreement; raises ConfigurationError naming file, key, value and what was wanted."""
    agreement = parse_agreement(toml_text(file), str(file))
    if agreement.partner != file.stem:
        raise ConfigurationError(
            f"{file}: partner is {agreement.partner!r}, wanted {file.stem!r}: the file is named after the partner"
        )
    return agreement


def parse_agreement(text: str, place: str) -> Agreement:
    """Reads the text of an agreement; raises ConfigurationError that names ``place``."""
    data = parse_toml(text, place)
    try:
        _refuse_unknown_keys(data, _shape(), place, "")
        agreement = msgspec.convert(data, Agreement)
    except msgspec.ValidationError as problem:
        raise ConfigurationError(f"{place}: {_explained(str(problem), data)}") from problem
    except (RecursionError, OverflowError, ValueError) as problem:
        raise ConfigurationError(f"{place} cannot be read: {problem}") from problem
    for message in _impossible(agreement):
        raise ConfigurationError(f"{place}: {message}")
    return agreement


@cache
def _shape() -> shapes.Type:
    return shapes.type_info(Agreement)


def _explained(problem: str, data: dict[str, Any]) -> str:
    """Turns msgspec's words into key, what was given, why not, and what was wanted."""
    reason, _, where = problem.partition(" - at `$.")
    key = where.rstrip("`")
    value: Any = data
    kind: shapes.Type | None = _shape()
    for name, index in _STEP.findall(key):
        value = _member(value, name, index)
        kind = _type_of(kind, name, index)
    wanted = _choices(kind)
    return f"{key or 'file'}: {was_given(value)}{reason}" + (f"; wanted {', '.join(wanted)}" if wanted else "")


def _member(value: Any, name: str, index: str) -> Any:
    if index:
        return value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value.get(name) if isinstance(value, dict) else None


def _type_of(kind: shapes.Type | None, name: str, index: str) -> shapes.Type | None:
    match kind:
        case shapes.StructType(fields=fields) if name:
            return next((one.type for one in fields if one.encode_name == name), None)
        case shapes.VarTupleType(item_type=item) if index:
            return item
        case shapes.UnionType(types=types):
            return next((found for one in types if (found := _type_of(one, name, index)) is not None), None)
        case _:
            return None


def _choices(kind: shapes.Type | None) -> list[str]:
    match kind:
        case shapes.LiteralType(values=values):
            return [str(one) for one in values]
        case shapes.DateType():
            return ["a day like 2026-12-31"]
        case shapes.UnionType(types=types):
            return [word for one in types for word in _choices(one)]
        case _:
            return []


def _refuse_unknown_keys(data: object, kind: shapes.Type, place: str, prefix: str) -> None:
    """Names the nearest known key, also within tables of a list, where msgspec would name none."""
    match kind, data:
        case shapes.StructType(fields=fields), dict():
            known = {one.encode_name: one.type for one in fields}
            for key, value in data.items():
                if key not in known:
                    near = get_close_matches(key, known, 1)
                    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
                    raise ConfigurationError(f"{place}: unknown key {prefix}{key}; {hint}")
                _refuse_unknown_keys(value, known[key], place, f"{prefix}{key}.")
        case shapes.VarTupleType(item_type=item), list():
            for number, one in enumerate(data):
                _refuse_unknown_keys(one, item, place, f"{prefix.rstrip('.')}[{number}].")


def _impossible(agreement: Agreement) -> Iterator[str]:
    """Says which periods end before they begin, or lie outside the agreement's own."""
    for key, begins, ends in _periods(agreement):
        if ends < begins:
            yield f"{key} is {ends}, which lies before its beginning {begins}"
    first, last = agreement.effective_from, agreement.expires_on
    for key, day in (("event.start", agreement.event.start), ("event.end", agreement.event.end)):
        if day is not None and not first <= day <= last:
            yield f"{key} is {day}, wanted a day of the agreement, {first} to {last}"


def _periods(agreement: Agreement) -> Iterator[tuple[str, date, date]]:
    yield "expires_on", agreement.effective_from, agreement.expires_on
    for number, basis in enumerate(agreement.legal_basis):
        if basis.ends is not None:
            yield f"legal_basis[{number}].until", basis.begins, basis.ends
    if agreement.event.end is not None:
        yield "event.end", agreement.event.start or agreement.effective_from, agreement.event.end


def _shared_senders(read: dict[str, Agreement], node_dir: Path) -> list[str]:
    """Says which feeds, accounts and identities two agreements claim: whose rights held for them would be chance."""
    wrong = []
    owners: dict[str, str] = {}
    for partner, agreement in read.items():
        for sender in sorted(agreement.senders):
            if sender in owners:
                file = node_dir / AGREEMENTS_DIR / f"{partner}.toml"
                wrong.append(
                    f"{file}: inbound.sources: {sender!r} is {owners[sender]}'s already, wanted one partner each"
                )
            owners.setdefault(sender, partner)
    return wrong

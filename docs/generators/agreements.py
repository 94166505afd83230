"""Writes the reference of agreement files from the shapes that read them, for cog."""

from __future__ import annotations

from collections.abc import Iterator

import settings
from msgspec import inspect as shapes

from threatshare.policy.agreement_terms import Agreement


def reference() -> str:
    """Gives a heading and a table of keys for the agreement and each table within it."""
    return "\n".join(("", "## The agreement", "", *_lines(Agreement, ""))).rstrip() + "\n"


def _lines(shape: settings.Shape, table: str) -> Iterator[str]:
    info = shapes.type_info(shape)
    assert isinstance(info, shapes.StructType)
    meanings = settings._meanings(shape)
    inner = {field.encode_name: found for field in info.fields if (found := settings._inner(field.type)) is not None}
    yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    for field in info.fields:
        if field.encode_name not in inner:
            row = (f"`{table}{field.encode_name}`", _values(field.type), _default(field), meanings[field.name])
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    for field in info.fields:
        found = inner.get(field.encode_name)
        if found is not None:
            name = f"{table}{field.encode_name}"
            header = f"[{name}]" if isinstance(field.type, shapes.StructType) else f"[[{name}]]"
            about = settings._about(found)
            yield from ("", f"## `{header}`", "", about if about.endswith(".") else f"{about}.", "")
            yield from _lines(found, f"{name}.")


def _values(kind: shapes.Type) -> str:
    match kind:
        case shapes.UnionType(types=types):
            return " or ".join(_values(one) for one in types if not isinstance(one, shapes.NoneType))
        case shapes.DateType():
            return "day"
        case shapes.VarTupleType(item_type=item):
            return f"list of {_values(item)}"
        case _:
            return settings._values(kind)


def _default(field: shapes.Field) -> str:
    return "none" if field.default == () else _listed(field.default) or settings._default(field)


def _listed(default: object) -> str | None:
    if not isinstance(default, tuple):
        return None
    texts = ", ".join(f'"{one}"' for one in default)
    return f"`[{texts}]`"

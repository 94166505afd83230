"""Writes the reference of the node directory's files from the shapes that read them, for cog.

Types, bounds and defaults come from the shapes themselves; the meaning of a key is the string
that stands under it in the source, which exists nowhere at run time and is read with ast.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from textwrap import dedent

from msgspec import NODEFAULT, Struct
from msgspec import inspect as shapes

Shape = type[Struct]


def reference(shape: Shape, table: str = "") -> str:
    """Gives a Markdown table of a file's keys, then one for each table within it, in the order of the source."""
    # A blank line first: a table that follows a comment at once is none to some readers of Markdown.
    return "\n".join(("", *_lines(shape, table))).rstrip() + "\n"


def keys(shape: Shape, table: str = "") -> Iterator[str]:
    """Yields every key of a file with its table before it, e.g. ``serve.port``."""
    for field in _fields(shape):
        inner = _inner(field.type)
        if inner is None:
            yield table + field.encode_name
        else:
            yield from keys(inner, f"{table}{field.encode_name}.")


def _lines(shape: Shape, table: str) -> Iterator[str]:
    meanings = _meanings(shape)
    single = [field for field in _fields(shape) if _inner(field.type) is None]
    if single:
        yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    for field in single:
        row = (f"`{table}{field.encode_name}`", _values(field.type), _default(field), meanings[field.name])
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    for field in _fields(shape):
        inner = _inner(field.type)
        if inner is not None:
            name = f"{table}{field.encode_name}"
            several = isinstance(field.type, shapes.ListType | shapes.VarTupleType)
            header = f"[[{name}]]" if several else f"[{name}]"
            yield from ("", f"### `{header}`", "", _about(inner), "")
            yield from _lines(inner, f"{name}.")


def _fields(shape: Shape) -> tuple[shapes.Field, ...]:
    info = shapes.type_info(shape)
    assert isinstance(info, shapes.StructType)
    return info.fields


def _inner(kind: shapes.Type) -> Shape | None:
    """Gives the shape of a table, or of the tables in a list of them."""
    match kind:
        case shapes.StructType(cls=shape):
            return shape
        case shapes.ListType(item_type=item) | shapes.VarTupleType(item_type=item):
            return _inner(item)
        case shapes.UnionType(types=types):
            return next((inner for one in types if (inner := _inner(one)) is not None), None)
        case _:
            return None


def _about(shape: Shape) -> str:
    words = inspect.cleandoc(shape.__doc__ or "").partition("\n\n")[0]
    _, colon, rest = words.partition("``: ")
    said = _markdown(rest if colon else words)
    return said[:1].upper() + said[1:]


def _meanings(shape: Shape) -> dict[str, str]:
    """Reads the string under each field; a field without one has an empty meaning."""
    found = dict.fromkeys(shape.__struct_fields__, "")
    (body,) = ast.parse(dedent(inspect.getsource(shape))).body
    assert isinstance(body, ast.ClassDef)
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            found[node.target.id] = _markdown(str(ast.literal_eval(after.value)))
    return found


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _default(field: shapes.Field) -> str:
    if field.default_factory is not NODEFAULT:
        return f"`{_toml(field.default_factory())}`"
    if field.default is NODEFAULT:
        return "*required*"
    return "none" if field.default is None else f"`{_toml(field.default)}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


def _values(kind: shapes.Type) -> str:
    match kind:
        case shapes.UnionType(types=types):
            return " or ".join(_values(one) for one in types if not isinstance(one, shapes.NoneType))
        case shapes.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in sorted(values, key=str))
        case shapes.IntType():
            return _whole_number(kind)
        case shapes.BoolType():
            return "`true` or `false`"
        case shapes.DateType():
            return "day"
        case shapes.ListType(item_type=item) | shapes.VarTupleType(item_type=item):
            return f"list of {_values(item)}"
        case shapes.DictType(value_type=value):
            return f"table of {_values(value)} by name"
        case shapes.StrType(pattern=pattern):
            return "text" if pattern is None else f"text like `{pattern}`"
        case _:
            raise TypeError(f"the reference has no words yet for values of {kind}")


def _whole_number(kind: shapes.IntType) -> str:
    low = kind.ge if kind.ge is not None else None if kind.gt is None else kind.gt + 1
    match low, kind.le:
        case None, None:
            return "whole number"
        case _, None:
            return f"whole number from {low}"
        case _, high:
            return f"whole number, {low} to {high}"

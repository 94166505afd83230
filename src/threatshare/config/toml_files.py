"""Reads TOML files closed and typed: an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from threatshare.config.toml_lines import line_of
from threatshare.errors import ConfigurationError

Read = TypeVar("Read", bound=Struct)

MOST_BYTES = 1024 * 1024
"""Of a file of settings; no person writes more."""
MOST_BYTES_OF_VALUES = 16 * 1024 * 1024
"""Of a file that lists values, which programs write too."""
_LONGEST_SHOWN = 200
"""Characters of what was given, in a message."""
_LONG_NAME = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""").search
"""A key of many dotted parts: reading one takes time by the square of their number. No domain name has so many."""


def load_toml(file: Path, shape: type[Read], most: int = MOST_BYTES) -> Read:
    """Reads a closed TOML file of the node directory; raises ConfigurationError with file, key and what was wanted."""
    text = toml_text(file, most)
    data = parse_toml(text, str(file))
    _refuse_unknown_keys(data, shape, file, text)
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as problem:
        reason, _, where = str(problem).partition(" - at `$.")
        key = where.rstrip("`")
        said = f"{_said(data, key)}{reason}{at_line(text, key)}"
        raise ConfigurationError(f"{file}: {key or 'file'}: {said}") from problem


def toml_text(file: Path, most: int = MOST_BYTES) -> str:
    """Reads the text of a TOML file as ``settings_bytes`` does; raises ConfigurationError where that cannot be done."""
    try:
        return settings_bytes(file, most).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as problem:
        raise ConfigurationError(f"{file} is not valid TOML: {problem}") from problem


def settings_bytes(file: Path, most: int = MOST_BYTES) -> bytes:
    """Reads a regular file of at most so many bytes; raises ConfigurationError for any other.

    Nobody need ever write into a pipe, and a device may have no end.
    """
    try:
        # Without O_NONBLOCK opening a pipe waits for whoever writes into it.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as stream:
            if not S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ConfigurationError(f"{file} cannot be read: it is no regular file")
            raw = stream.read(most + 1)
    except OSError as problem:
        raise ConfigurationError(f"{file} cannot be read: {problem.strerror}") from problem
    if len(raw) > most:
        raise ConfigurationError(f"{file} cannot be read: it is larger than {most} bytes")
    return raw


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Reads TOML; raises ConfigurationError that names ``place``, also for what ``tomllib`` lets through or hangs on.

    That is what ``int()`` and ``date()`` say of a number or day that is too large, tables within tables without end,
    and names of very many parts.
    """
    if found := _LONG_NAME(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigurationError(f"{place} is not valid TOML: a name of more than 64 parts (at line {line})")
    try:
        data = tomllib.loads(text)
    except RecursionError as problem:
        raise ConfigurationError(f"{place} cannot be read: it has too many values within one another") from problem
    except (ValueError, OverflowError) as problem:
        raise ConfigurationError(f"{place} is not valid TOML: {problem}") from problem
    if not _holds_no_long_number(data):
        raise ConfigurationError(f"{place} is not valid TOML: a number of more than 64 bits")
    return data


def _holds_no_long_number(data: dict[str, Any]) -> bool:
    """Tells whether all numbers have at most 64 bits (TOML 1.0, Integer): others cannot always be written out again."""
    left: list[Any] = [data]
    while left:
        one = left.pop()
        if isinstance(one, int) and not -(2**63) <= one < 2**63:
            return False
        if isinstance(one, dict | list):
            left.extend(one.values() if isinstance(one, dict) else one)
    return True


def at_line(text: str, key: str) -> str:
    """Says in which line of a file's text a key is given, in the words in which ``tomllib`` says it."""
    line = line_of(text, key)
    return "" if line is None else f" (at line {line})"


def _said(data: dict[str, Any], key: str) -> str:
    value: Any = data
    for step in key.replace("[", ".[").split(".") if key else []:
        if step.startswith("["):
            place = step.strip("[]")
            value = value[int(place)] if isinstance(value, list) and place.isdecimal() else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return was_given(value)


def was_given(value: object) -> str:
    """Says what a file gives a key, as the beginning of a message; nothing of a table."""
    if value is None or isinstance(value, dict):
        return ""
    said = repr(value)
    return f"{said if len(said) <= _LONGEST_SHOWN else said[:_LONGEST_SHOWN] + '…'} was given. "


def _refuse_unknown_keys(data: dict[str, Any], shape: type[Struct], file: Path, text: str, prefix: str = "") -> None:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    for key, value in data.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            raise ConfigurationError(f"{file}: unknown key {prefix}{key}; {hint}{at_line(text, prefix + key)}")
        inner = next((one for one in (known[key], *get_args(known[key])) if _is_struct(one)), None)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown_keys(value, inner, file, text, f"{prefix}{key}.")
        elif inner is not None and isinstance(value, list):
            for place, table in enumerate(value):
                if isinstance(table, dict):
                    _refuse_unknown_keys(table, inner, file, text, f"{prefix}{key}[{place}].")


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)

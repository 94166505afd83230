"""Changes TOML files that people keep: comments and order stay; what is added to a list has who and why beside it."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from threatshare.config import MOST_BYTES_OF_VALUES, parse_toml, toml_text
from threatshare.errors import ConfigurationError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def add_to_list(file: Path, key: str, entries: Sequence[str], note: str) -> list[str]:
    """Adds what is not there yet to the array ``key``, each entry on a line of its own with ``note`` as its comment.

    Makes the file where it is missing; gives what was added. The file is replaced in one step, so whoever reads it
    meanwhile sees it before or after. Raises ConfigurationError where it is no TOML or ``key`` is no list.
    """
    import tomlkit
    from tomlkit.items import Array

    document = _document(file)
    comment = "".join(char if char.isprintable() else " " for char in note)
    listed = document.setdefault(key, tomlkit.array())
    if not isinstance(listed, Array):
        raise ConfigurationError(f"{file}: {key} is no list, so nothing can be added to it")
    held = {str(one) for one in listed}
    added = [one for one in dict.fromkeys(entries) if one not in held]
    if added:
        for one in added:
            listed.add_line(one, comment=" ".join(comment.split()))
        _replace(file, _checked(tomlkit.dumps(document), file))
    return added


def set_value(file: Path, key: str, value: bool) -> None:
    """Gives the key ``key`` of the outermost table another value; raises ConfigurationError as ``add_to_list`` does."""
    import tomlkit

    document = _document(file)
    document[key] = value
    _replace(file, _checked(tomlkit.dumps(document), file))


def _document(file: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import ParseError

    text = toml_text(file, MOST_BYTES_OF_VALUES) if file.exists() else ""
    parse_toml(text, str(file))  # since it says what tomlkit would hang on or fail at
    try:
        return tomlkit.parse(text)
    except ParseError as problem:
        raise ConfigurationError(f"{file} is not valid TOML: {problem}") from problem


def _checked(text: str, file: Path) -> str:
    """Gives a text that is still TOML: what every command reads must not be broken by what a person typed."""
    try:
        tomllib.loads(text)
        text.encode()
    except (tomllib.TOMLDecodeError, UnicodeEncodeError) as problem:
        raise ConfigurationError(f"{file} is left as it is: what was to be added makes no valid TOML") from problem
    return text


def _replace(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        if file.exists():
            shutil.copymode(file, fresh)
        os.replace(fresh, file)  # noqa: PTH105  the word for it
    except OSError as problem:
        raise ConfigurationError(f"{file} cannot be written: {problem.strerror}") from problem
    finally:
        fresh.unlink(missing_ok=True)

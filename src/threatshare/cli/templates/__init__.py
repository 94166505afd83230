"""Annotated files that commands write into a node directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files


def filled(name: str, values: Mapping[str, object]) -> str:
    """Gives a template with its places filled in; strings, lists and booleans are written as TOML."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{" + key + "}", toml(value))
    return text


def toml(value: object) -> str:
    """Writes a string, number, boolean or list as TOML; JSON's form of them is TOML's."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")

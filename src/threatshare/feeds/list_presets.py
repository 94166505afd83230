"""Published lists that need no settings of their own: ``list-presets.toml`` beside this file says how each is read."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from threatshare.errors import ConfigurationError
from threatshare.feed_settings import ListSettings


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """One published list, or one form that lists have."""

    title: str
    publisher: str
    source: str
    """Where its form is described."""
    verified: bool
    """Whether its form was seen in a real file; else it follows what the publisher says of it."""
    list: ListSettings
    url: str | None = None
    """Where it is published; None: anywhere."""
    note: str = ""
    """What whoever uses it has to know: keys, terms, how often it may be fetched."""
    every: str = "1h"
    """How often it may be asked for."""


@cache
def presets() -> dict[str, Preset]:
    """Gives every preset by name."""
    text = files("threatshare.feeds").joinpath("list-presets.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Preset])


def settled(terms: ListSettings, place: str) -> ListSettings:
    """Gives a list's settings with those of its preset where it says nothing itself; raises ConfigurationError."""
    if terms.preset is None:
        return terms
    known = presets().get(terms.preset)
    if known is None:
        raise ConfigurationError(f"{place}: there is no preset {terms.preset!r}; there are {', '.join(presets())}")
    said = msgspec.to_builtins(terms)
    return msgspec.convert({**msgspec.to_builtins(known.list), **said}, ListSettings)

"""A profile and its rules, as they are once their file is read (``policy.profiles``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

OnFail = Literal["block", "queue", "alert"]
Introduction = Literal["identity", "identity-set"]
SEVERITY: Mapping[OnFail, int] = {"block": 0, "queue": 1, "alert": 2}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a profile, its parameters read."""

    id: str
    title: str
    check: str
    """A name of ``profile_checks.CHECKS``."""
    on_fail: OnFail
    verified: bool
    source: str
    parameters: Struct
    """Of the check's type."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What an exchange wants of a submission."""

    name: str
    version: str
    title: str
    source: str
    rules: tuple[Rule, ...]
    shipped: bool = True
    """Whether it comes with the program, and not from the site."""
    introduction: Introduction = "identity"
    """What says who submits."""

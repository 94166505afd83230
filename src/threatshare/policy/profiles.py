"""Profiles: what an exchange wants of a submission, as data; and objects held against them.

A profile is a closed TOML file: the shipped ones are in ``profile_data``, a site's own in ``profiles/NAME.toml`` of the
node directory. Its rules name checks of the table in ``profile_checks``; what is not confirmed says ``verified =
false`` and where it comes from. That nothing is found does not mean that anybody accepts the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from threatshare.config import load_toml
from threatshare.errors import ConfigurationError, UsageError
from threatshare.policy.profile_bundles import Bundle, NodeFacts, Spot, Unchecked
from threatshare.policy.profile_checks import CHECKS, Asked
from threatshare.policy.profile_terms import SEVERITY, Introduction, OnFail, Profile, Rule

PROFILES_DIR = "profiles"
READABLE = "readable"
"""Rule id of what no profile can be asked about: it cannot be read."""
MOST_FAULTS = 1_000
"""Of one rule in one file, and as many that only queue where it blocks; more are counted, not kept."""

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]


class RuleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[rule]]``: one rule as the file says it."""

    id: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9]{0,15}-[0-9]{2}$")]
    """What faults name, e.g. ``AIS-01``."""
    title: Text
    """What it wants, in words."""
    check: str
    """Name of the check that is asked."""
    on_fail: OnFail
    """``block``: it does not go; ``queue``: a person looks at it first; ``alert``: it goes, and somebody is told."""
    verified: bool
    """Whether the rule itself was seen in a source of whoever makes the rules."""
    source: Text
    """Where it comes from, and what of it is not confirmed."""
    parameters: dict[str, Any] = {}
    """What the check takes; each check has its own."""


class ProfileFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``NAME.toml``: one profile."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,40}$")]
    """As it is chosen; the file is named after it."""
    version: Text
    """Raised with every change."""
    title: Text
    """What it is for."""
    source: Text
    """Where it comes from, as a whole."""
    rule: tuple[RuleFile, ...]
    """Tables ``[[rule]]``."""
    introduction: Introduction = "identity"
    """What says who submits: ``identity``, our Identity; ``identity-set``, our Identity with the consent label of the
    agreement, our Location, and the ``located-at`` between them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that a rule found."""

    rule: str
    on_fail: OnFail
    place: str
    """Where the object stands in the file; empty for the file itself."""
    object: str
    """The object's id; empty for the file itself, or where it cannot be read."""
    pointer: str
    """JSON pointer within the object; a name that is no property of STIX is written ``*``."""
    found: str
    """What is wrong, without any value that may be private."""
    mend: str
    """What would mend it."""


@dataclass(frozen=True, slots=True)
class NotChecked:
    """What a rule could not look at; neither for nor against the file."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that a profile has to say on a file."""

    profile: str
    version: str
    objects: int
    """Objects that could be read."""
    faults: tuple[Fault, ...]
    """Most severe first, then in the order of the rules and of the file."""
    not_checked: tuple[NotChecked, ...] = ()
    left_off: int = 0
    """Faults beyond the most that are kept of one rule."""

    def count(self, on_fail: OnFail) -> int:
        """Counts the faults of one severity."""
        return sum(one.on_fail == on_fail for one in self.faults)

    @property
    def passes(self) -> bool:
        """Whether nothing was found that blocks or queues; what was not checked does not count."""
        return all(one.on_fail == "alert" for one in self.faults)


def check(
    profile: Profile, bundle: Bundle, facts: NodeFacts | None = None, asked: frozenset[Asked] | None = None
) -> Report:
    """Holds a file against a profile, or against those of its rules that are asked of some things only. Never raises,
    whatever the file holds.
    """
    known = facts or NodeFacts()
    faults = [
        Fault(READABLE, "block", place, "", "", reason, "mend or leave out what cannot be read")
        for place, reason in bundle.broken[:MOST_FAULTS]
    ]
    left_off = len(bundle.broken) - len(faults)
    not_checked: list[NotChecked] = []
    for rule in profile.rules:
        if asked is not None and CHECKS[rule.check].asked_of not in asked:
            continue
        # Counted apart, so that many doubtful ones do not push out one that blocks.
        kept = {True: 0, False: 0}
        for one in CHECKS[rule.check].run(bundle, rule.parameters, known):
            if isinstance(one, Unchecked):
                not_checked.append(NotChecked(rule.id, one.why))
            elif kept[one.doubtful] == MOST_FAULTS:
                left_off += 1
            else:
                kept[one.doubtful] += 1
                faults.append(_fault(rule, one))
    faults.sort(key=lambda one: SEVERITY[one.on_fail])
    return Report(profile.name, profile.version, len(bundle.members), tuple(faults), tuple(not_checked), left_off)


def _fault(rule: Rule, spot: Spot) -> Fault:
    # What goes by form alone is for a person to judge.
    on_fail: OnFail = "queue" if spot.doubtful and rule.on_fail == "block" else rule.on_fail
    place, object_id = (spot.member.place, spot.member.id) if spot.member is not None else ("", "")
    return Fault(rule.id, on_fail, place, object_id, spot.pointer, spot.found, spot.mend)


def shipped_profiles() -> dict[str, Profile]:
    """Reads the profiles that come with the program, by name."""
    with as_file(files("threatshare.policy") / "profile_data") as folder:
        return {file.stem: load_profile(file) for file in sorted(folder.glob("*.toml"))}


def load_profiles(node_dir: Path | None = None) -> dict[str, Profile]:
    """Reads the shipped profiles and those of a site, by name.

    Raises ConfigurationError at the first that is wrong, and for one of the site that is named like a shipped one.
    """
    found, wrong = read_profiles(node_dir)
    for problem in wrong:
        raise ConfigurationError(problem)
    return found


def read_profiles(node_dir: Path | None) -> tuple[dict[str, Profile], list[str]]:
    """Reads every profile; gives those that can be used by name, and a message for each file that is wrong."""
    found = dict(_shipped())
    wrong = []
    for file in sorted((node_dir / PROFILES_DIR).glob("*.toml")) if node_dir is not None else ():
        if file.stem in _shipped():
            wrong.append(f"{file}: {file.stem} comes with the program and stays as it is: rename yours")
            continue
        try:
            found[file.stem] = load_profile(file, shipped=False)
        except ConfigurationError as problem:
            wrong.append(str(problem))
    return found, wrong


@cache
def _shipped() -> Mapping[str, Profile]:
    return shipped_profiles()


def chosen(name: str, profiles: Mapping[str, Profile]) -> Profile:
    """Gives a profile by name; raises UsageError that names the nearest."""
    if name in profiles:
        return profiles[name]
    raise UsageError(f"there is no profile {name!r}; {_nearest(name, profiles)}")


def digest(profile: Profile) -> bytes:
    """Gives the SHA-256 of all that a profile says; while it stays the same, so do its verdicts."""
    return sha256(msgspec.json.encode(profile)).digest()


def load_profile(file: Path, shipped: bool = True) -> Profile:
    """Reads one profile; raises ConfigurationError naming file, rule, value and what was wanted."""
    read = load_toml(file, ProfileFile)
    if read.name != file.stem:
        raise ConfigurationError(f"{file}: name is {read.name!r}, wanted {file.stem!r}: the file is named after it")
    seen: set[str] = set()
    for one in read.rule:
        if one.id in seen or one.id == READABLE:
            raise ConfigurationError(f"{file}: there are two rules {one.id}")
        seen.add(one.id)
    rules = tuple(_rule(one, str(file)) for one in read.rule)
    return Profile(read.name, read.version, read.title, read.source, rules, shipped, read.introduction)


def _rule(one: RuleFile, file: str) -> Rule:
    if one.check not in CHECKS:
        raise ConfigurationError(f"{file}: {one.id}: there is no check {one.check!r}; {_nearest(one.check, CHECKS)}")
    shape = CHECKS[one.check].parameters
    known = [field.encode_name for field in msgspec.structs.fields(shape)]
    for key in one.parameters:
        if key not in known:
            raise ConfigurationError(f"{file}: {one.id}: unknown parameter {key!r}; {_nearest(key, known)}")
    try:
        parameters = msgspec.convert(one.parameters, shape)
    except msgspec.ValidationError as problem:
        raise ConfigurationError(f"{file}: {one.id}: parameters: {problem}") from problem
    return Rule(one.id, one.title, one.check, one.on_fail, one.verified, one.source, parameters)


def _nearest(name: str, known: Iterable[str]) -> str:
    listed = list(known)
    near = get_close_matches(name, listed, 1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(islice(listed, 20)) or 'none'}"

"""The gate's rules ``privacy`` and ``never-share``: no text leaves our organisation with what belongs to a person.

The first wall is the allow-list: objects of ours consist of fields that our builder writes (``fields``). This is the
second, over every string of an object, its property names too, in every reading that percent escapes, base64 and
hexadecimal give it. A hit is told by rule, field and keyed hash, never by its value.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from threatshare.config import OwnAssets
from threatshare.model import Kind, Observable, Reason, Role, Verdict
from threatshare.policy.candidates import OWN, Audience, Candidate, Facts
from threatshare.policy.decoding import views
from threatshare.policy.detectors import DETECTORS, ENCODED, Detector, Text
from threatshare.policy.fields import NAMES, VOCABULARY
from threatshare.policy.report_rules import REPORTS
from threatshare.stix.objects import name_of
from threatshare.stix.patterns import pattern_of

PRIVACY = "privacy"
NEVER_SHARE = "never-share"

_FORMAL = re.compile(
    r"[a-z][a-z-]{0,40}--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z|T\d{4}(?:\.\d{3})?",
    re.ASCII,
).fullmatch
"""Ids of objects, times and ATT&CK techniques: nothing that anybody chooses stands in them."""
_SAYING: Mapping[str, Callable[[Observable], str]] = {"name": name_of, "pattern": pattern_of}
_NOTHING_BUT_DIGITS = frozenset({Kind.IPV4, Kind.IPV6, Kind.MAC})
"""Kinds whose canonical values are an address and can be nothing else."""
_write, _read = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
_LARGEST_PLAIN = 10**12 - 1
"""A number of more digits may be anything's."""
_ENCODED = Detector(
    ENCODED,
    Verdict.HOLD,
    "more encodings within each other than are looked into",
    "what cannot be read cannot be cleared",
    lambda _: (),
)
_STAYS_INSIDE = (Reason(PRIVACY, Verdict.RELEASE, "stays in our own organisation"),)
_NOTHING_PRIVATE = (Reason(PRIVACY, Verdict.RELEASE, "finds nobody's private data"),)
_NEVER_OUTSIDE = (Reason(NEVER_SHARE, Verdict.RELEASE, "stays in our own organisation"),)
_NOT_LISTED = (Reason(NEVER_SHARE, Verdict.RELEASE, "not on the list"),)


@dataclass(frozen=True, slots=True)
class Hit:
    """Something private in a text that would leave."""

    detector: Detector
    field: str
    """JSON pointer of the string (RFC 6901); names that STIX does not know are written ``*``."""
    digest: str
    """Keyed hash of what was found; empty where there is no key."""


def hashed(key: bytes, value: str) -> str:
    """Hashes a private value: the first 16 hexadecimal digits of its HMAC-SHA256 under the node's secret."""
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256").hex()[:16]


def privacy(candidate: Candidate, audience: Audience, facts: Facts) -> tuple[Reason, ...]:
    """Lets nobody's private data out of our organisation; inside it, our own tools see what our sensors saw."""
    if audience.inside:
        return _STAYS_INSIDE
    found = hits(candidate, facts.own, facts.privacy_key)
    return tuple(map(_reason, found)) or _NOTHING_PRIVATE


def never_share(candidate: Candidate, audience: Audience, facts: Facts) -> tuple[Reason, ...]:
    """Lets nothing that never-share.toml names out of our organisation.

    Others' objects, and our reports, may not mention it either.
    """
    if audience.inside:
        return _NEVER_OUTSIDE
    if not facts.never_share:
        return _NOT_LISTED
    listed = [(f"the {one.kind}", facts.never_share.names(one)) for one in candidate.observables]
    if candidate.source != OWN or candidate.type in REPORTS:
        listed += [(field, facts.never_share.mentioned(text)) for field, text in strings(candidate)]
    texts = dict.fromkeys(f"{what} is on, or mentions, {which} of never-share.toml" for what, which in listed if which)
    return tuple(Reason(NEVER_SHARE, Verdict.REFUSE, text) for text in texts) or _NOT_LISTED


def hits(candidate: Candidate, own: OwnAssets, key: bytes) -> list[Hit]:
    """Finds what is private in an object: each thing once a field, in the order of fields and detectors."""
    ours = candidate.source == OWN and candidate.type == "identity"
    whole = any(one.kind is Kind.PATTERN for one in candidate.observables)
    indicators = _senders(candidate)
    found: dict[Hit, None] = {}
    for field, text in strings(candidate):
        free = whole or not (ours or field == "/pattern")
        texts, left = views(text)
        if left:
            found[Hit(_ENCODED, field, _digest(key, text))] = None
        for reading in texts:
            said = Text(reading, own, indicators, free)
            has = said.has
            for detector in DETECTORS:
                if detector.needs in has:
                    for value in detector.find(said):
                        found[Hit(detector, field, _digest(key, value))] = None
    return list(found)


def _senders(candidate: Candidate) -> frozenset[str]:
    """Gives the mail addresses that an object is about, and that are a phisher's own: threat data, and nobody else's.

    Of ours the role says so; a mail address that some tool named as a server is anybody's. Others' indicators of mail
    addresses say so themselves.
    """
    labels = candidate.content.get("labels")
    if candidate.source == OWN and not (isinstance(labels, list) and Role.PHISH_SENDER.value in labels):
        return frozenset()
    return frozenset(one.value for one in candidate.observables if one.kind is Kind.EMAIL)


def strings(candidate: Candidate) -> Iterator[tuple[str, str]]:
    """Yields every string of an object that may hold anything, with its JSON pointer, property names included.

    A pattern of one canonical value stands for what it says, and so does a name that our builder wrote.
    """
    one = candidate.observables[0] if len(candidate.observables) == 1 else None
    for name, value in candidate.content.items():
        if type(value) is str and name in NAMES:
            if value in VOCABULARY or _FORMAL(value) is not None:
                continue
            if one is None or name not in _SAYING or value != _SAYING[name](one):
                yield "/" + name, value
            elif name == "pattern" and not _is_form(one):
                yield "/pattern", one.value
        elif name not in NAMES:
            yield from _unknown(name, value, "")
        elif value is not True and value is not False and not (type(value) is list and _says_nothing(_write(value))):
            yield from _inner(value, "/" + name)


def _is_form(one: Observable) -> bool:
    """Tells whether a canonical value can be nothing but what it is: an address, or a hash that is no text in hex."""
    if one.kind in _NOTHING_BUT_DIGITS:
        return True
    return one.kind.algorithm is not None and not bytes.fromhex(one.value).isascii()


@lru_cache(maxsize=1024)
def _says_nothing(written: bytes) -> bool:
    """Tells whether a list, as JSON, holds only ids and words of our builder; most objects have the same lists."""
    return next(_inner(_read(written), ""), None) is None


def _unknown(name: str, value: Any, within: str) -> Iterator[tuple[str, str]]:
    # The name of a property may itself be what must not be told.
    yield f"{within}/*", name
    yield from _inner(value, f"{within}/*")


def _inner(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if value not in VOCABULARY and _FORMAL(value) is None:
            yield field, value
    elif isinstance(value, dict):
        for name, member in value.items():
            if name in NAMES or name in VOCABULARY:
                yield from _inner(member, f"{field}/{name}")
            else:
                yield from _unknown(name, member, field)
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from _inner(member, f"{field}/{place}")
    elif type(value) is int and value > _LARGEST_PLAIN:
        yield field, str(value)


def _digest(key: bytes, value: str) -> str:
    # Without a secret anybody could try all card numbers until one hashes to this.
    return hashed(key, value) if key else ""


def _reason(hit: Hit) -> Reason:
    one = hit.detector
    value = f" (keyed hash {hit.digest})" if hit.digest else ""
    text = f"{hit.field} holds {one.what}{value}"
    if one.verdict is Verdict.HOLD:
        text += f"; held: two persons who know whose it is can release {one.rule} by name"
    return Reason(one.rule, one.verdict, text)

"""Tells values that stand in their canonical spelling already, all of it by one regular expression.

Most of what partners publish does: addresses, lower-case names, hashes and ordinary URLs. What is told here is what
``observables.canonical`` and ``recognise`` would make of it; of anything else nothing is said, and they have the word.
"""

from __future__ import annotations

import re

from threatshare.model import Kind, Observable
from threatshare.stix.observables import HASH_KINDS

_LONGEST = 253
"""Characters of a name (RFC 1035 §2.3.4); longer values are not told here."""
_HASH = "[0-9a-f]{32}(?:[0-9a-f]{8}(?:[0-9a-f]{24}(?:[0-9a-f]{64})?)?)?"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_NAME = r"(?:[a-z0-9_-]{1,63}+\.)++[a-z][a-z0-9-]{0,61}[a-z0-9]"
_PORT = "(?::(?!(?:80|443)/)(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
"""Neither scheme's own port, which is left out of a URL."""
_BARE = "[A-Za-z0-9._:&=@+~-]"
"""Neither escaped nor taken for defanging anywhere."""
_URL = rf"https?://(?:{_IPV4}|{_NAME}){_PORT}(?:/(?!\.){_BARE}*+)++(?:\?(?:{_BARE}|[/?])*+)?"
_PLAIN = re.compile(f"({_HASH})|({_IPV4})|({_NAME})|({_URL})", re.ASCII).fullmatch
_KINDS = (None, None, Kind.IPV4, Kind.DOMAIN, Kind.URL)
"""By the group that matched; which hash it is, its length tells."""


def plain(text: str) -> Observable | None:
    """Gives what a text is that is a canonical value as it stands; None where that cannot be told at a glance."""
    if len(text) > _LONGEST:
        return None
    found = _PLAIN(text)
    if found is None:
        return None
    return Observable(_KINDS[found.lastindex or 0] or HASH_KINDS[len(text)], text)

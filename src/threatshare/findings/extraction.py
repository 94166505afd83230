"""Finds addresses, names, URLs, mail addresses and file hashes in running text, defanged or not.

One alternation runs over the text once; what it finds is checked by small rules, each of them a table below.
A value that the rules cannot tell from a file name, a version number or a piece of code is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable, host_of
from threatshare.stix.observables import canonical, refang


@dataclass(frozen=True, slots=True)
class Extracted:
    """One value found in a text."""

    observable: Observable
    original: str
    """As it stood in the text, ``text[start:end]``."""
    start: int
    end: int
    defanged: bool
    """Whether the author had made it harmless, e.g. ``hxxp`` or ``[.]``."""


class _Spot(NamedTuple):
    """One match of the grammar with the text around it; a tuple, because thousands are made a second."""

    text: str
    raw: str
    plain: str
    start: int
    end: int
    defanged: bool


# --- tables ---------------------------------------------------------------------------------------------------

_HASHES: Mapping[int, Kind] = {32: Kind.MD5, 40: Kind.SHA1, 64: Kind.SHA256, 128: Kind.SHA512}

_FILE_SUFFIXES = frozenset("zip mov cab save pub dot java foo".split())
"""Top-level domains that are nearly always file suffixes in a report; not defanged, they name no host."""

_MAYBE_FILES = frozenset("com sh py pl rs md so ps cc app ai".split())
"""Top-level domains that are file suffixes too: a two-label name is a file where the words before it say so."""

_HIDDEN_SUFFIXES = frozenset("onion example test invalid".split())
"""No public top-level domains, but names that we take: Tor (RFC 7686), exercise and documentation (RFC 2606)."""

_PRIVATE_ROOTS = frozenset("bit i2p bazar coin emc lib".split())
"""Roots outside the DNS that malware resolves by other means; taken where defanged or behind a scheme."""

_DETECTION_HEADS = frozenset(
    "adware android backdoor downloader dropper exploit gen generic generik hacktool heur linux macos malware msil osx "
    "ransom ransomware riskware rootkit spyware troj trojan trojandownloader virus vbs w32 w64 win32 win64 worm".split()
)
"""First words of vendors' detection names, e.g. ``Trojan.Linux.Mirai.ba``; capitalised there, never in a host."""

_CODE_HEADS = frozenset("this self document window console java javax system".split())
"""First words of program identifiers such as ``this.name``."""

_OID_ARCS = ("1.3.6.1", "2.23.140.", "2.5.29.", "2.5.4.")
"""Beginnings of object identifiers that look like IPv4 addresses (IANA enterprise, CA/Browser Forum, X.500)."""

# --- grammar --------------------------------------------------------------------------------------------------

_ASCII_WORD = "A-Za-z0-9_"
_CASED_WORD = _ASCII_WORD + "\u00c0-\u024f\u0370-\u052f"
"""Latin, Greek and Cyrillic letters may stand in a name; other scripts end it: there words are not spaced."""

_DOT = r"(?:\.|[ ]?(?:\[[ ]?(?:\.|dot|DOT)[ ]?\]|\((?:\.|dot|DOT)\)|\{(?:\.|dot|DOT)\})[ ]?|\\\.|\[\.|\.\])"
_AT = r"(?:@|[ ]?(?:\[[ ]?(?:@|at|AT)[ ]?\]|\((?:@|at|AT)\)|\{(?:@|at|AT)\})[ ]?)"
_SCHEME = r"(?:[hH](?:[tTxX]{2}|\*\*)[pP][sS]?|[fF][tTxX][pP][sS]?|[wW][sS]{1,2}|[lL][dD][aA][pP][sS]?)"
_COLON_SLASHES = (
    r"(?:(?::|\[:\]|\(:\)|\{:\})(?:\\?/\\?/|\[//\]|\[/\]\[/\])|\[://\]|\(://\))"  # hxxp[:]//, http[://], http:\/\/
)
_URL_BODY = (
    r"(?:\[[0-9A-Fa-f:.]{2,45}\])?(?:[^\s<>\"'|`,;\]\u00ab\u00bb\u2018-\u201d]++|\](?!\()"
    # Joined lists: a comma before another URL, a date or a hash ends this one.
    r"|[,;](?!h(?:tt|xx)ps?[:\[(]|\d{4}-\d\d-\d\d|[0-9a-fA-F]{32}))+"
)
_IPV6 = (
    r"(?<!:)(?:[23][0-9A-Fa-f]{3}|[fF][c-fC-F][0-9A-Fa-f]{2}|64:[fF]{2}9[bB])"  # blocks that IANA has allocated
    r"(?:(?::|\[:\]|\[::\])[0-9A-Fa-f]{0,4}){2,8}+(?:/\d{1,3})?"
)


@cache
def _grammar(word: str) -> re.Pattern[str]:
    # The bounds keep a line of a million hyphens from costing its square.
    label = rf"[{word}]{{1,64}}+(?:-{{1,8}}+[{word}]{{1,64}}+){{0,32}}+"
    host = rf"{label}(?:{_DOT}{label})++"
    return re.compile(
        rf"(?<![{word}])(?:"
        rf"(?P<url>{_SCHEME}{_COLON_SLASHES}{_URL_BODY})"
        rf"|(?P<hash>[0-9A-Fa-f]{{32,128}}+)(?![{word}])"
        rf"|(?P<ipv6>{_IPV6})(?![{word}:])"
        rf"|(?P<name>{label}(?:(?:{_DOT}{label})++(?P<host>{_AT}{host})?|(?P<host2>{_AT}{host})))"
        rf")"
    )


_MARKS = re.compile(r"[\[\](){}\\ ]").search
_QUAD = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}").fullmatch
_QUADS = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})-(\d{1,3}(?:\.\d{1,3}){3})").fullmatch
_PREFIX = re.compile(r"/(?:3[0-2]|[12]?\d)(?![\w./?-])").match
_VERSION_BEFORE = re.compile(r"(?:\b[vV](?:er(?:sion)?)?\W{0,2}|\b(?!(?:tcp|udp|TCP|UDP)/)[A-Za-z]+/)$").search
_OID_NEAR = re.compile(r"(?i)\boid|policy|x\.?509|certificat").search
_FILE_BEFORE = re.compile(
    r"(?i)(?:\b(?:files?|file ?names?|attachments?|scripts?|documents?|archives?|named|saved as|renamed to|"
    r"executables?|binar(?:y|ies))\W{0,4}|\b[0-9a-f]{32,128}[\s,|`+:;*-]+)$"
).search
_HASH = re.compile(r"\b[0-9A-Fa-f]{32,128}\b").search
_NO_FILE_HASH = re.compile(
    r"(?i)\b(?:imphash|import hash|serial(?: ?number)?|thumbprint|fingerprint|ja3s?|jarm|tlsh|authentihash|vhash|"
    r"rich header(?: hash)?|key ?id)\b[^0-9a-z]*$"
).search
_LOCAL_BEFORE = re.compile(r"\w[\w.-]*(?:[+%][\w.-]*)*[+%]$").search
_URL_STOP = re.compile(
    r"\\[nrt](?![\w])|&(?:quot|gt|lt);|\[(?!(?:\.|:|@|/|//|dot|DOT|at)\]|\.)|\](?<!\[.\])(?<!\[//\])(?<!\[dot\])(?<!\[DOT\])(?<!\[at\])(?<!\.\])"
).search

_NEAR = 200
"""Characters around a value that are looked at."""

# --- extraction -----------------------------------------------------------------------------------------------


def extract(text: str) -> Iterator[Extracted]:
    """Yields every value in the order of the text, each place once: a hash inside a URL is part of the URL.

    Kinds: IPv4 and IPv6 addresses and networks, domains, URLs with a scheme, mail addresses, MD5, SHA-1, SHA-256
    and SHA-512. Names need a public top-level domain (Public Suffix List, bundled) or one of the tables above.
    """
    for match in _grammar(_ASCII_WORD if text.isascii() else _CASED_WORD).finditer(text):
        group = match.lastgroup
        if group == "hash":
            digits = match[0]
            kind = _HASHES.get(len(digits))
            start = match.start()
            if kind is not None and _is_file_hash(text, start):
                yield Extracted(Observable(kind, digits.lower()), digits, start, match.end(), False)
        else:
            yield from _FINDERS[group or "name"](text, match)


def _is_file_hash(text: str, start: int) -> bool:
    # A bare list is the common case and is decided by one look at the characters before the digits.
    if start == 0 or text[start - 1] == "\n" or text[start - 2 : start] == "- ":
        return True
    return _NO_FILE_HASH(text[max(0, start - 48) : start]) is None


def _found(spot: _Spot, kind: Kind) -> tuple[Extracted, ...]:
    try:
        observable = canonical(kind, spot.plain)
    except BadValue:
        return ()
    return (Extracted(observable, spot.raw, spot.start, spot.end, spot.defanged),)


def _refanged(raw: str) -> str:
    """Undoes defanging; the one common form without the cost of looking for all the others."""
    quick = raw.replace("[.]", ".")
    return refang(raw) if _MARKS(quick) else quick


def _refanged_url(raw: str) -> str:
    quick = "http" + raw[4:] if raw[:4].lower() == "hxxp" else raw
    return _refanged(quick.replace("[:]", ":").replace("\\/", "/"))


def _authority(raw: str) -> int:
    """Gives where the host begins, behind the brackets of an IPv6 address."""
    begin = raw.find("/") + 2
    begin += raw[begin : begin + 1] in ("]", ")", "/")
    return raw.find("]", begin) + 1 if raw[begin : begin + 1] == "[" and ":" in raw[begin : begin + 6] else begin


def _urls(text: str, match: re.Match[str]) -> Iterable[Extracted]:
    raw, start = match[0], match.start()
    stop = _URL_STOP(raw, _authority(raw))
    raw = _balanced(raw[: stop.start()] if stop else raw)
    if start and text[start - 1] in "+*_~":  # what opened before the value closes after it (AsciiDoc, Markdown)
        raw = raw.rstrip(text[start - 1])
    raw = raw.rstrip(".,;:!?*\\")
    defanged = _MARKS(raw) is not None or raw[1] not in "tTsSdD"
    try:
        observable = canonical(Kind.URL, _refanged_url(raw) if defanged else raw)
    except BadValue:
        return ()
    if not has_public_host(observable):
        return ()
    return (Extracted(observable, raw, start, start + len(raw), defanged),)


def _balanced(raw: str) -> str:
    """Cuts a URL at the first bracket that closes what was opened before it."""
    if ")" not in raw and "}" not in raw:
        return raw
    for opening, closing in ("()", "{}"):
        depth = 0
        for at, char in enumerate(raw):
            depth += (char == opening) - (char == closing)
            if depth < 0:
                raw = raw[:at]
                break
    return raw


def _ipv6s(text: str, match: re.Match[str]) -> Iterable[Extracted]:
    raw = match[0]
    plain = raw.replace("[", "").replace("]", "")
    return _found(_Spot(text, raw, plain, match.start(), match.end(), plain != raw), Kind.IPV6)


def _names(text: str, match: re.Match[str]) -> Iterable[Extracted]:
    raw, start, end = match[0], match.start(), match.end()
    defanged = _MARKS(raw) is not None
    spot = _Spot(text, raw, _refanged(raw) if defanged else raw, start, end, defanged)
    if match["host"] or match["host2"]:
        return _email(spot)
    last = spot.plain.rpartition(".")[2]
    if last.isdigit():
        return _ipv4s(spot)
    if _is_host_suffix(last.lower(), defanged) and (defanged or _is_host(spot, last)):
        # No registry takes an underscore: "vt_ioc_linux_rakos.py" is a file.
        return () if "_" in spot.plain.split(".")[-2] else _found(spot, Kind.DOMAIN)
    return ()


def _email(spot: _Spot) -> Iterable[Extracted]:
    if not _is_host_suffix(spot.plain.rpartition(".")[2].lower(), spot.defanged):
        return ()
    before = _LOCAL_BEFORE(spot.text[max(0, spot.start - 64) : spot.start])
    if before is not None:
        start = spot.start - len(before[0])
        raw, plain = spot.text[start : spot.end], before[0] + spot.plain
        spot = _Spot(spot.text, raw, plain, start, spot.end, spot.defanged)
    return _found(spot, Kind.EMAIL)


def _ipv4s(spot: _Spot) -> Iterable[Extracted]:
    if _QUAD(spot.plain):
        prefix = _PREFIX(spot.text, spot.end)
        if prefix is not None:
            end = prefix.end()
            raw = spot.text[spot.start : end]
            spot = spot._replace(raw=raw, plain=spot.plain + prefix[0], end=end)
        return _found(spot, Kind.IPV4) if spot.defanged or _is_address(spot) else ()
    ends = _QUADS(spot.plain)
    if ends is None or spot.defanged:
        return ()
    first, last = (
        spot._replace(raw=ends[n], plain=ends[n], start=spot.start + ends.start(n), end=spot.start + ends.end(n))
        for n in (1, 2)
    )
    return _found(first, Kind.IPV4) + _found(last, Kind.IPV4)


def _is_address(spot: _Spot) -> bool:
    """Tells an address from a version number (``Chrome/120.0.0.0``) or an object identifier."""
    before = spot.text[max(0, spot.start - 24) : spot.start]
    if _VERSION_BEFORE(before):
        return False
    if not spot.plain.startswith(_OID_ARCS):
        return True
    return spot.plain not in ("1.3.6.1", "2.23.140.1") and _OID_NEAR(_line_before(spot)) is None


def _line_before(spot: _Spot) -> str:
    return spot.text[max(0, spot.start - _NEAR) : spot.start].rpartition("\n")[2]


def _is_host(spot: _Spot, last: str) -> bool:
    """Tells a host name that is not defanged from a file name, a detection name or a piece of code."""
    text, plain, suffix = spot.text, spot.plain, last.lower()
    if suffix in _FILE_SUFFIXES or suffix == "arpa" or plain.lower() in _public_suffixes():
        return False
    if (spot.start and text[spot.start - 1] in "/\\$@") or text[spot.end : spot.end + 1] == "(":
        return False
    if last[0].isupper() and not plain.isupper():
        return False
    head = plain.partition(".")[0].lower()
    if head in _CODE_HEADS or (head in _DETECTION_HEADS and plain[0].isupper()):
        return False
    return not (plain.count(".") == 1 and suffix in _MAYBE_FILES and _is_file(spot))


def _is_file(spot: _Spot) -> bool:
    """Tells ``Everyone.com``, a program, from a host: by the words before it, or a hash on its line."""
    if _FILE_BEFORE(_line_before(spot)):
        return True
    if not spot.plain[0].isupper():
        return False
    return _HASH(spot.text[spot.end : spot.end + _NEAR].partition("\n")[0]) is not None


def _is_host_suffix(suffix: str, certain: bool) -> bool:
    return suffix in _suffixes() or suffix in _HIDDEN_SUFFIXES or (certain and suffix in _PRIVATE_ROOTS)


def has_public_host(observable: Observable) -> bool:
    """Tells whether a domain, URL or mail address names a host that could be looked up; True for all other kinds."""
    match observable.kind:
        case Kind.DOMAIN | Kind.EMAIL:
            return _is_host_suffix(observable.value.rpartition(".")[2], True)
        case Kind.URL:
            host = host_of(observable.value)
            return bool(_QUAD(host)) or ":" in host or _is_host_suffix(host.rpartition(".")[2], True)
        case _:
            return True


@cache
def _public_suffixes() -> frozenset[str]:
    """Gives the ICANN section of the Public Suffix List, without exceptions, wildcards by their parent."""
    data = (files("publicsuffixlist") / "public_suffix_list.dat").read_text(encoding="utf-8")
    section = data.partition("===END ICANN DOMAINS===")[0]
    lines = (line.split(maxsplit=1)[0] for line in section.splitlines() if line and not line.startswith(("//", "!")))
    return frozenset(line.removeprefix("*.") for line in lines)


@cache
def _suffixes() -> frozenset[str]:
    """Gives every top-level domain, in Unicode and in its ASCII form."""
    import idna

    # Some, as .za, have rules for their second level only.
    top = {name.rpartition(".")[2] for name in _public_suffixes()}
    return frozenset(top) | {idna.encode(name).decode("ascii") for name in top if not name.isascii()}


_FINDERS: Mapping[str, Callable[[str, re.Match[str]], Iterable[Extracted]]] = {
    "url": _urls,
    "ipv6": _ipv6s,
    "name": _names,
    "host": _names,
    "host2": _names,
}

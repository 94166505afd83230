"""Cuts what names a recipient of a phishing mail out of the URLs and addresses in it.

Phishers write the victim's address into links to fill in the form, or to see who clicked. It is looked for as it is,
in either case, reversed, percent-encoded any number of times, in base64 (both alphabets, padded or not, also in the
middle of a longer value), base32 and hexadecimal (also with separators), quoted-printable, as character references
and escapes, in full-width letters, all that nested up to four deep, and as MD5, SHA-1 or SHA-2, written in hexadecimal,
base64 or base32. Of an address that is first and last name, also the initial with the last name and the two swapped.
An opaque token that a sender made up for each recipient cannot be told from the id of a page and stays.
"""

from __future__ import annotations

import binascii
import hashlib
import html
import re
import unicodedata
from base64 import b32decode, b32encode, b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.model import Kind, Observable, Removal, host_of
from threatshare.stix.observables import canonical
from threatshare.triage.neighbourhood import network_of

FREE_MAIL = frozenset(
    "126.com 163.com aol.com bk.ru email.com fastmail.com free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de "
    "gmx.net googlemail.com hey.com hotmail.co.uk hotmail.com hotmail.de hotmail.fr icloud.com inbox.lv inbox.ru "
    "keemail.me laposte.net libero.it list.ru live.co.uk live.com live.fr mac.com mail.com mail.ru me.com msn.com "
    "naver.com onet.pl orange.fr outlook.com outlook.de outlook.fr pm.me proton.me protonmail.com qq.com "
    "rediffmail.com rocketmail.com seznam.cz sina.com t-online.de tuta.io tutamail.com tutanota.com ukr.net wanadoo.fr "
    "web.de wp.pl yahoo.ca yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yahoo.de yahoo.es yahoo.fr "
    "yahoo.it yandex.com yandex.ru ya.ru ymail.com zoho.com zohomail.com".split()
)
"""Large providers at which anyone has an address: a sender's address there is his own, the domain is not."""

_ROLES = frozenset(
    "abuse account accounts admin administrator billing career careers contact enquiries finance help helpdesk "
    "hello hostmaster info jobs kontakt mail marketing news newsletter noreply office orders postmaster press "
    "privacy root sales security service services support team test user webmaster".split()
)
"""Local parts that name a desk and no person (RFC 2142 and the usual ones); by themselves they give nobody away."""

MIN_LOCAL = 4
"""Characters from which a local part by itself tells something."""

_RULE = "recipient-in-url"
_DEPTH = 4
_UNQUOTINGS = 64
_READINGS = 4_000
"""Texts looked at for one URL; what has more readings than that is not trusted to be clean."""
_MIN_NEEDLE = 8
"""Characters from which an encoded name is no accident."""
_LONGEST_RUN = 16
"""Parts between separators that an address is taken to consist of."""

_RUNS = re.compile(r"[^\W_]+").findall
_ADDRESSES = tuple(
    # With = for @ as bounce addresses have it; one after the other, since ``to=anna@host`` is both.
    re.compile(rf"(?<![a-z0-9._+~-])([a-z0-9._+~-]++){at}((?:[a-z0-9-]+\.)+[a-z0-9-]{{2,}})").findall
    for at in "@="
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}").findall
_SPLITS = tuple(re.compile(rf"[{marks}]").split for marks in ("/", "_-", "+/_-"))
_HEX = re.compile(r"[0-9A-Fa-f]{8,}").findall
_HEX_GROUPS = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]++(?:[-:._,;+ |~/][0-9A-Fa-f]++)++").findall
_NO_HEX = re.compile(r"[^0-9A-Fa-f]+").sub
_BASE32 = re.compile(r"[A-Z2-7]{7,}|[a-z2-7]{7,}").findall
_BASE32_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_WORDED = re.compile(r"[\w.@%+=&/-]{4}").search
"""What a decoded text must hold to be looked at: names and all encodings of them have four such characters on end."""
_URLSAFE = str.maketrans("-_", "+/")
_PRINTABLE = re.compile(r"(?:=(?:[2-7][0-9A-Fa-f]|[C-Fc-f][0-9A-Fa-f](?:=[89ABab][0-9A-Fa-f])++))++")
"""Quoted-printable (RFC 2045 §6.7): ASCII, and UTF-8 of more than one byte; ``e=dean`` holds neither."""
_PARAMETER = re.compile(r"([?&;/][^=?&;/]*+)=")
_ESCAPE = re.compile(r"[\\/%](?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,5})\})")
"""Escapes of programming languages; the slash is what a canonical URL makes of the backslash."""
_WIDE = re.compile(
    "[\u00aa\u00ba\u1d2c-\u1d6a\u2070-\u209c\u2100-\u214f\u2460-\u24ff\ufe52-\uff5e\U0001d400-\U0001d7ff]"
).search
"""Characters that are letters, digits and signs of an address in another shape (Unicode's NFKC makes them those)."""
_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_HASH_BYTES = tuple(hashlib.new(name, usedforsecurity=False).digest_size for name in _HASHES)
_HEX_LENGTHS = frozenset(2 * size for size in _HASH_BYTES)
_BASE32_LENGTHS = frozenset((8 * size + 4) // 5 for size in _HASH_BYTES)
_BASE64_LENGTHS = tuple((8 * size + 5) // 6 for size in _HASH_BYTES)
_BASE64_DIGESTS = re.compile(rf"[A-Za-z0-9+/_-]{{{min(_BASE64_LENGTHS)},}}").findall
_BASE64_SIGNS = frozenset("+/_-")
_BASE64_STARTS = re.compile(r"\A|(?<=[+/_-])").finditer
_TWO_NAMES = re.compile(r"([^\W\d_]{2,})[._-]([^\W\d_]{2,})").fullmatch
_PARTS = re.compile(r"[^:]*+://([^/?#]*)[^?#]*(?:\?[^#]*)?(?:#(.*))?", re.DOTALL).match

_IN_HOST = "its host named a recipient: the registered domain is what is left of it, and may be a service's; held"
_IN_PATH = "the path named a recipient and was cut to nothing: whether the whole site is bad, a person must say; held"


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a URL without the parts that name a recipient."""

    observable: Observable | None
    """A URL, the registered domain where the host named one, or None where nothing can be kept."""
    removals: tuple[Removal, ...] = ()
    hold: str | None = None
    """Why what is left does not stand for the URL any more; None: it does."""


class Recipients:
    """The addresses that got a mail, made ready to be looked for in texts."""

    def __init__(self, addresses: Iterable[str], own: OwnAssets) -> None:
        """Takes recipients' addresses; addresses at our domains are recipients in any case.

        So are all addresses at a recipient's domain, unless it is a large provider's.
        """
        known = {one.strip().lower() for one in addresses if "@" in one}
        self.addresses = frozenset(known)
        domains = {one.rpartition("@")[2] for one in known} - FREE_MAIL
        self._domains = frozenset({*own.domains, *own.mail_domains, *domains} - {""})
        self._names = frozenset({name for one in known for name in _squeezed_names(one)})
        self._longest = max(map(len, self._names), default=0)
        self._digests = frozenset({one for address in known for one in _digests(address)})
        self._encoded = frozenset({needle for one in known for needle in _needles(one)})

    def are_in(self, text: str) -> bool:
        """Tells whether a text names a recipient, in any of the ways above."""
        readings = enumerate(_readings(text))
        return any(number > _READINGS or self._named(reading) for number, reading in readings)

    def are_in_host(self, host: str) -> bool:
        """Tells whether a host name does; there, case is lost and dots may stand anywhere in an encoding."""
        try:
            ip_address(host)
        except ValueError:
            joined = host.replace(".", "")
            return self.are_in(host) or self.are_in(joined) or any(needle in joined for needle in self._encoded)
        return False

    def _named(self, reading: str) -> bool:
        text = reading.lower()
        runs = _RUNS(text)
        for at in range(len(runs)):
            name = ""
            for run in runs[at : at + _LONGEST_RUN]:
                name += run
                if len(name) > self._longest:
                    break
                if name in self._names:
                    return True
        if self._digests and any(one in self._digests for one in (*_digests_in(runs), *_base64_digests_in(reading))):
            return True
        return any(self._is_one(local, domain) for find in _ADDRESSES for local, domain in find(text))

    def _is_one(self, local: str, domain: str) -> bool:
        labels = domain.split(".")
        if any(".".join(labels[at:]) in self._domains for at in range(len(labels))):
            return True
        return any(f"{local[at:]}@{domain}" in self.addresses for at in range(len(local)))


def without_recipients(url: str, recipients: Recipients, part: str = "body") -> Cut | None:
    """Cuts a URL before the first part that names a recipient; None where the text is no URL.

    ``part`` says where it stood, for the record of what was removed. A query is cut from that parameter on, a path
    from that segment on; user names and fragments are no part of the canonical value, and are recorded only.
    """
    try:
        whole = canonical(Kind.URL, url)
    except BadValue:
        return None
    removals = [Removal(_RULE, part, text) for text in _never_kept(url) if recipients.are_in(text)]
    host = host_of(whole.value)
    if recipients.are_in_host(host) or recipients.are_in(_host_as_written(url)):
        domain = network_of(Observable(Kind.DOMAIN, host))
        kept = None if recipients.are_in_host(domain) else Observable(Kind.DOMAIN, domain)
        return Cut(kept, (*removals, Removal(_RULE, part, host)), _IN_HOST)
    begin = whole.value.index("/", whole.value.index("://") + 3)
    rest = whole.value[begin:]
    if not recipients.are_in(rest):
        return Cut(whole, tuple(removals))
    left = _clean_start(rest, recipients)
    removals.append(Removal(_RULE, part, rest[len(left) :]))
    in_path = len(left) < len(rest.partition("?")[0])
    hold = _IN_PATH if in_path and left in ("", "/") else None
    if in_path and not left.endswith("/"):
        left += "/"
    return Cut(Observable(Kind.URL, whole.value[:begin] + left), tuple(removals), hold)


def _never_kept(url: str) -> list[str]:
    """Gives the user name and the fragment of a URL."""
    found = _PARTS(url)
    if found is None:
        return []
    authority, fragment = found.groups(default="")
    return [text for text in (authority.rpartition("@")[0], fragment) if text]


def _host_as_written(url: str) -> str:
    found = _PARTS(url)
    return found[1].rpartition("@")[2] if found is not None else ""


def _clean_start(rest: str, recipients: Recipients) -> str:
    """Gives the parts of path and query before the one that names a recipient, or begins a name over several."""
    path, mark, query = rest.partition("?")
    units = re.findall(r"/[^/]*", path) + re.findall(r"[?&;][^&;]*", mark + query)
    low, high = 0, len(units)  # units[:high] name one
    while high - low > 1:
        middle = (low + high) // 2
        if recipients.are_in("".join(units[:middle])):
            high = middle
        else:
            low = middle
    first, beyond = 0, high  # units[first:high] name one: characters may be written one a part
    while beyond - first > 1:
        middle = (first + beyond) // 2
        if recipients.are_in("".join(units[middle:high])):
            first = middle
        else:
            beyond = middle
    left = units[:first]
    while left and recipients.are_in("".join(left)):
        left.pop()
    return "".join(left)


def _digests(address: str) -> Iterator[bytes]:
    """Yields the hashes of an address, and of its local part as far as that names a person."""
    local = address.rpartition("@")[0]
    tellings = (one for one in (local, local.partition("+")[0]) if len(one) >= MIN_LOCAL and one not in _ROLES)
    for text in {address, *tellings}:
        for name in _HASHES:
            yield hashlib.new(name, text.encode("utf-8", "replace"), usedforsecurity=False).digest()


def _digests_in(runs: Iterable[str]) -> Iterator[bytes]:
    """Yields what runs of letters and digits are as hashes in hexadecimal or base32."""
    for run in runs:
        if len(run) in _HEX_LENGTHS or len(run) in _BASE32_LENGTHS:
            with suppress(ValueError):
                yield bytes.fromhex(run)
            with suppress(binascii.Error, ValueError):
                yield b32decode(run.upper() + "=" * (-len(run) % 8))


def _base64_digests_in(text: str) -> Iterator[bytes]:
    """Yields what pieces of a text are as hashes in base64, whose own signs may be separators."""
    for run in _BASE64_DIGESTS(text):
        for begin in _BASE64_STARTS(run):
            for length in _BASE64_LENGTHS:
                end = begin.start() + length
                if end == len(run) or run[end : end + 1] in _BASE64_SIGNS:
                    piece = run[begin.start() : end].translate(_URLSAFE)
                    yield b64decode(piece + "=" * (-length % 4))


def _squeezed_names(address: str) -> Iterator[str]:
    """Yields an address and its local part without separators, and the local part before a plus."""
    local = address.rpartition("@")[0]
    yield "".join(_RUNS(address))
    for name in {local, local.partition("+")[0]}:
        squeezed = "".join(_RUNS(name))
        if len(squeezed) >= MIN_LOCAL and squeezed not in _ROLES:
            yield squeezed
        two = _TWO_NAMES(name)
        if two is not None and not _ROLES & {*two.groups()}:
            first, last = two.groups()
            yield from (form for form in (first[0] + last, last + first) if len(form) >= MIN_LOCAL)


def _needles(address: str) -> Iterator[str]:
    """Yields what an address's base64 and base32 are in a host name, at each place where they may begin."""
    for data in (name.encode("utf-8", "replace") for name in (address, address.rpartition("@")[0])):
        for before in range(3):
            text = urlsafe_b64encode(b"\0" * before + data).decode().lower().rstrip("=")
            needle = text[before + (before > 0) : len(text) - 1]
            if len(needle) >= _MIN_NEEDLE:
                yield needle
        if len(data) >= _MIN_NEEDLE:
            yield b32encode(data).decode().lower().rstrip("=")[:-1]


def _readings(text: str) -> Iterator[str]:
    """Yields a text and all that it may be an encoding of."""
    seen = {text, text[::-1]}
    level = list(seen)
    for depth in range(_DEPTH + 1):
        yield from level
        if depth == _DEPTH or not level or len(seen) > _READINGS:
            return
        after = dict.fromkeys(inner for outer in level for inner in _decodings(outer) if inner not in seen)
        seen.update(after)
        level = list(after)


def _decodings(text: str) -> Iterator[str]:
    if "%" in text:
        plain = text
        for _ in range(_UNQUOTINGS):
            if (unquoted := unquote(plain)) == plain:
                break
            plain = unquoted
        yield plain
    yield from _unescaped(text)
    for run in _BASE64(text):
        for piece in {run, *(piece for split in _SPLITS for piece in split(run) if len(piece) >= 6)}:
            for at in range(4):
                yield from _from_base64(piece[at:])
    for run in _HEX(text):
        for at in range(2):
            digits = run[at:]
            yield _as_text(bytes.fromhex(digits[: len(digits) & ~1]))
    for run in _BASE32(text):
        yield from _from_base32(run)


def _unescaped(text: str) -> Iterator[str]:
    """Yields a text with single characters put in the place of what stands for them."""
    if "=" in text and (plain := _PRINTABLE.sub(_printable, text)) != text:
        yield plain
        # A parameter's own sign before a name that begins with hexadecimal digits; the next reading finds the rest.
        yield _PRINTABLE.sub(_printable, _PARAMETER.sub(r"\1 ", text))
    if "&" in text and (plain := html.unescape(text)) != text:
        yield plain
    if (plain := _ESCAPE.sub(_escaped, text)) != text:
        yield plain
    if _WIDE(text):
        yield unicodedata.normalize("NFKC", text)
    if "0x" in text or "0X" in text:
        yield text.replace("0x", "").replace("0X", "")
    for groups in _HEX_GROUPS(text):
        digits = _NO_HEX("", groups)
        if len(digits) >= 2 * MIN_LOCAL:
            yield digits


def _printable(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("=", "")).decode("utf-8", "replace")


def _escaped(found: re.Match[str]) -> str:
    return chr(int(found[1] or found[2] or found[3], 16))


def _from_base32(text: str) -> Iterator[str]:
    """Yields what digits of base32 may be, beginning at any of the eight bits of a byte."""
    number = int(text.lower().translate(_BASE32_DIGITS), 32)
    for _ in range(8):
        plain = _as_text(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        if _WORDED(plain):
            yield plain
        number >>= 1


def _from_base64(text: str) -> Iterator[str]:
    """Yields what a text of base64's alphabets decodes to; one digit too many at the end is left out."""
    if len(text) % 4 == 1:
        text = text[:-1]
    if len(text) >= 4:
        yield _as_text(b64decode(text.translate(_URLSAFE) + "=" * (-len(text) % 4)))


def _as_text(data: bytes) -> str:
    # UTF-16 of an address is its letters with zeros between them.
    return data.replace(b"\0", b"").decode("utf-8", "replace")

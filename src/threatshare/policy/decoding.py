"""The texts within a text: percent escapes undone as often as there are any, and what base64 and hex tokens say.

A phishing URL carries its recipient as ``?e=amFuZUBleGFtcGxlLmNvbQ``, within an address that a redirector escaped
twice. Tokens are found by what they would decode to: a run of characters each of whose groups gives printable ASCII,
at whatever place of a longer token it begins. Random tokens give little that is long, and nothing that means anything.
"""

from __future__ import annotations

import re
from base64 import b32decode
from binascii import a2b_base64
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from unicodedata import category, normalize
from urllib.parse import unquote

UNQUOTINGS = 8
"""Redirectors escape an address within an address, several times over."""
LAYERS = 4
"""Encodings within each other that are undone."""
_SHORTEST = 6
"""Characters of the shortest text worth a look, ``a@b.cc``."""
_LONGEST = 262_144
"""Characters of one text that are searched for tokens."""

# RFC 4648 §4 and §5: a group of four characters stands for three bytes. Printable ASCII (0x20 to 0x7E) leaves of the
# 64 characters these 24 in the first place, 24 in the second, 32 in the third and any in the last.
_GROUP = "[I-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
# Looking ahead finds runs that overlap; looking back finds each but once, at its beginning.
_BASE64 = re.compile(f"(?={_GROUP})(?<!{_GROUP})(?=((?:{_GROUP}){{2,}}[A-Za-z0-9+/_-]{{0,3}}))", re.ASCII)
_HEX = re.compile(r"(?=[2-7][0-9A-Fa-f]{2})(?<![2-7][0-9A-Fa-f])(?=((?:[2-7][0-9A-Fa-f]){6,}))", re.ASCII)
_PRINTED = re.compile(r"[\x20-\x7e]{6,}")

# Text in UTF-16 has a zero byte behind or before each character: every six bytes, eight characters of this form.
_BASE64_16 = re.compile(
    "((?:[A-Za-z0-9+/_-]{4}){0,2}(?:[I-Za-f][AQgw][AB][A-Za-z0-9+/_-]A[C-H][AEIMQUYcgkosw048]A){2,}(?:[A-Za-z0-9+/_-]{4})?[A-Za-z0-9+/_-]{0,3})",
    re.ASCII,
)
_ZEROS = 3
"""As many of its characters at least are the letter A."""
_BASE64_BROKEN = re.compile(
    r"[A-Za-z0-9_-](?<![A-Za-z0-9_-]{2})[A-Za-z0-9_-]*(?:(?:\r?\n|[.+ ])[A-Za-z0-9_-]+)+", re.ASCII
)
_BREAKS = str.maketrans("", "", "\r\n.+ ")
_HEX_BROKEN = re.compile(
    r"[2-7](?<![2-7][0-9A-Fa-f][2-7])[0-9A-Fa-f](?:[2-7][0-9A-Fa-f])*"
    r"(?:[:;.,_ +-](?:0x)?(?:[2-7][0-9A-Fa-f])+)+(?![0-9A-Fa-f])",
    re.ASCII,
)
_NO_HEX = re.compile("0x|[^0-9A-Fa-f]")
# The first of base32's characters (RFC 4648 §6) that begins a printable byte is E, the last is P.
_BASE32 = re.compile(r"[E-Pe-p](?<![A-Za-z0-9]{2})[A-Za-z2-7]{15,}(?![A-Za-z0-9])", re.ASCII)
_WHOLE_BASE32 = {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 5, 6: 5, 7: 7}
"""By characters beyond whole groups of eight, how many of them say anything."""
_PRINTED_WHOLE = re.compile(rb"[\x20-\x7e]{6,}").fullmatch

_CODED = re.compile(r"\\x([0-9A-Fa-f]{2})|[\\%]u([0-9A-Fa-f]{4})|\\u\{([0-9A-Fa-f]{1,5})\}", re.ASCII)
# RFC 2045 §6.7, of ASCII only; the first alternative is its soft line break.
_QUOTED = re.compile(r"=\r?\n|=([2-7][0-9A-Fa-f])", re.ASCII)
_TO_STANDARD = str.maketrans("-_", "+/")


def plain(text: str) -> tuple[str, bool]:
    """Undoes percent escapes until there are none left; tells also whether there were more layers than are undone."""
    for _ in range(UNQUOTINGS):
        if "%" not in text or (unquoted := unquote(text, errors="replace")) == text:
            return text, False
        text = unquoted
    return text, "%" in text and unquote(text, errors="replace") != text


@lru_cache(maxsize=4)
def views(text: str) -> tuple[tuple[str, ...], bool]:
    """Gives a text with all that it says when decoded, itself first, and whether anything was left undecoded.

    What is left is nested more than ``LAYERS`` deep, escaped more than ``UNQUOTINGS`` times, or longer than 262,144
    characters: nobody writes so but to hide something, or to keep this search busy. Several rules ask for the readings
    of one value, one after another.
    """
    found = [text]
    known = {text}
    left = False
    begin = 0
    for _ in range(LAYERS + 1):
        end = len(found)
        for one in found[begin:end]:
            for other, more in _within(one):
                left |= more
                if other not in known:
                    known.add(other)
                    found.append(other)
        if len(found) == end:
            return tuple(found), left
        begin = end
    return tuple(found[:begin]), True


def _within(text: str) -> Iterator[tuple[str, bool]]:
    if "%" in text:
        yield plain(text)
    if len(text) > _LONGEST:
        yield text, True
        text = text[:_LONGEST]
    loose = _loosened(text)
    if loose != text:
        yield loose, False
    if "=" in text and (unquoted := _QUOTED.sub(_quoted, text)) != text:
        yield unquoted, False
    for found in (_from_base64(text), _from_hex(text), _from_base32(text)):
        if len(found) >= _SHORTEST:
            yield found, False


def _loosened(text: str) -> str:
    """Undoes what is shown alike: HTML's and programs' escapes, wide and other forms of letters, invisible ones."""
    if "\\" in text or "%u" in text:
        text = _CODED.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), text)
    if "&" in text and (";" in text or "&#" in text):
        text = unescape(text)
    if not text.isascii():
        text = "".join(one for one in normalize("NFKC", text) if category(one) != "Cf")
    return text


def _quoted(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else ""


def _from_base64(text: str) -> str:
    """Gives what the base64 tokens of a text say, each on a line."""
    said: list[str] = []
    for run in _BASE64.findall(text):
        said += _PRINTED.findall(_of_base64(run))
    if text.islower():
        # What follows has capitals.
        return "\n".join(said) if said else ""
    if text.count("A") > _ZEROS:
        for run in _BASE64_16.findall(text):
            said += _PRINTED.findall(_of_base64(run).replace("\0", ""))
    for broken in _BASE64_BROKEN.findall(text, text.find("/", 8) if text.startswith("http") else 0):
        # Host names and words are written in one case; tokens have both.
        if len(broken) > _SHORTEST and broken != broken.lower() and broken != broken.upper():
            for run in _BASE64.findall(broken.translate(_BREAKS)):
                said += _PRINTED.findall(_of_base64(run))
    return "\n".join(dict.fromkeys(said))


def _of_base64(run: str) -> str:
    rest = len(run) % 4
    padded = run[:-1] if rest == 1 else run + "=" * (-rest % 4)
    return a2b_base64(padded.translate(_TO_STANDARD)).decode("latin-1")


def _from_hex(text: str) -> str:
    """Gives what the hexadecimal tokens of a text say, each on a line."""
    runs = _HEX.findall(text)
    runs += [_NO_HEX.sub("", one) for one in _HEX_BROKEN.findall(text)]
    return "\n".join([bytes.fromhex(run).decode("ascii") for run in runs if len(run) >= 2 * _SHORTEST])


def _from_base32(text: str) -> str:
    """Gives what the base32 tokens of a text say, each on a line; a token that says no text throughout is none."""
    said = []
    for run in _BASE32.findall(text):
        run = run[: len(run) - len(run) % 8 + _WHOLE_BASE32[len(run) % 8]]
        read = b32decode(run + "=" * (-len(run) % 8), casefold=True)
        if _PRINTED_WHOLE(read) is not None:
            said.append(read.decode("ascii"))
    return "\n".join(said)

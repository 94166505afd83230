"""The texts within a text: percent escapes undone as often as there are any, and what base64 and hex tokens say.

A phishing URL carries its recipient as ``?e=amFuZUBleGFtcGxlLmNvbQ``, within an address that a redirector escaped
twice. Tokens are found by what they would decode to: a run of characters each of whose groups gives printable ASCII,
at whatever place of a longer token it begins. Random tokens give little that is long, and nothing that means anything.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterator
from functools import lru_cache
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
    for found in (_from_base64(text), _from_hex(text)):
        if len(found) >= _SHORTEST:
            yield found, False


def _from_base64(text: str) -> str:
    """Gives what the base64 tokens of a text say, each on a line."""
    said: list[str] = []
    for run in _BASE64.findall(text):
        rest = len(run) % 4
        padded = run[:-1] if rest == 1 else run + "=" * (-rest % 4)
        said += _PRINTED.findall(a2b_base64(padded.translate(_TO_STANDARD)).decode("latin-1"))
    return "\n".join(said)


def _from_hex(text: str) -> str:
    """Gives what the hexadecimal tokens of a text say, each on a line."""
    return "\n".join(bytes.fromhex(run).decode("ascii") for run in _HEX.findall(text))

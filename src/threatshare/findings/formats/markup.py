"""Reads HTML as a flat run of tags and texts, in time linear in its length whatever stands in it.

A tokeniser of our own, because mails and pages come from attackers: the standard library's ``html.parser`` (Python
3.11.7), which beautifulsoup4 builds on, took 36 seconds for 60 kB of ``<a <a <a`` and four times that for twice the
length. It follows the HTML standard (§13.2.5) where browsers' reading matters: comments, raw text, quotes, and what
is not closed ends with the text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import NamedTuple


class Tag(NamedTuple):
    """A start or end tag; names in lower case, values with their character references resolved."""

    name: str
    attributes: Mapping[str, str]
    closing: bool
    at: int
    """Where it begins, in characters."""


class Text(NamedTuple):
    """Text between tags."""

    text: str
    at: int


_OPEN = re.compile(r"<(?:(?=/?[A-Za-z])|(?=[!?])|(?=/[^A-Za-z]))").search
_NAME = re.compile(r"</?([A-Za-z][^\s/>]*+)").match
_REST = re.compile(r"(?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+>").match
_ATTRIBUTE = re.compile(
    r"([^\s=>/\"'][^\s=>/]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>\"'][^\s>]*+)))?+"
).finditer
_ZEROS = re.compile(r"(&#[xX]?)0++(?=[0-9a-fA-F])")
_TOO_LONG = re.compile(r"&#[0-9]{8,}+;?|&#[xX][0-9a-fA-F]{7,}+;?")
"""No character; and Python refuses to make a number of more than 4300 digits."""
_RAW = frozenset("script style xmp iframe noembed noframes textarea title".split())
"""Elements whose content is no markup (HTML §13.2.5.2 to 5)."""
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,8}=\s{0,8}["']?\s{0,8}([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)

CHARSETS = frozenset(
    "ascii utf-8 utf-16 utf-16-le utf-16-be utf-7 iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 "
    "iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 cp1250 cp1251 cp1252 "
    "cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp437 cp850 cp866 cp874 koi8-r koi8-u mac-roman gb2312 gbk gb18030 "
    "hz big5 big5hkscs shift_jis cp932 euc_jp iso2022_jp euc_kr cp949 iso2022_kr tis-620".split()
)
"""Python's names of what mails and pages are written in; its other codecs are none of text, or slow on purpose."""


def text_of(data: bytes, charset: str | None = None) -> str:
    """Decodes bytes whose declared encoding may be wrong, unknown or missing: UTF-8, else Windows-1252; never fails."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(name, "replace").removeprefix("\ufeff")
    try:
        known = codecs.lookup(charset or "").name
    except (LookupError, ValueError):
        known = ""
    if known in CHARSETS and known not in ("ascii", "utf-8"):
        return data.decode(known, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8" if known == "utf-8" else "cp1252", "replace")


def declared_charset(html: bytes) -> str | None:
    """Gives the encoding that a page names in its first 4 KiB; None where it names none."""
    found = _META.search(html[:4096])
    if found is None:
        return None
    # A page that could be read so far is not in UTF-16, whatever it says (HTML §13.2.3.2).
    return "utf-8" if found[1].lower().startswith(b"utf-16") else found[1].decode("ascii")


def plain(text: str) -> str:
    """Resolves character references."""
    return unescape(_TOO_LONG.sub("\ufffd", _ZEROS.sub(r"\1", text))) if "&" in text else text


def tokens(html: str) -> Iterator[Tag | Text]:
    """Yields tags and texts in order; comments, declarations and the contents of scripts and styles are left out."""
    at = 0
    while (found := _OPEN(html, at)) is not None:
        begin = found.start()
        if begin > at:
            yield Text(plain(html[at:begin]), at)
        named = _NAME(html, begin)
        if named is None:
            at = _behind_declaration(html, begin)
            if not at:
                return
            continue
        rest = _REST(html, named.end())
        if rest is None:
            return
        name, closing = named[1].lower(), html[begin + 1] == "/"
        yield Tag(name, {} if closing else _attributes(rest[0]), closing, begin)
        at = rest.end()
        if name in _RAW and not closing:
            end = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(html, at)
            if end is None:
                return
            if name == "textarea":
                yield Text(plain(html[at : end.start()]), at)
            at = end.start()
    if at < len(html):
        yield Text(plain(html[at:]), at)


def _behind_declaration(html: str, begin: int) -> int:
    """Gives where a comment or declaration ends; 0 where it does not."""
    if not html.startswith("<!--", begin):
        return html.find(">", begin) + 1
    if html.startswith((">", "->"), begin + 4):
        return html.index(">", begin) + 1
    end = html.find("-->", begin + 4)
    return end + 3 if end >= 0 else 0


def _attributes(text: str) -> dict[str, str]:
    """Reads the attributes of a tag; of two with one name the first counts, as in browsers."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE(text):
        found.setdefault(match[1].lower(), plain(match[2] or match[3] or match[4] or ""))
    return found

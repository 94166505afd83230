"""Where the links of a mail lead: out of text and HTML, through the redirectors that mail filters put before them."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote, urljoin

from threatshare.errors import BadValue
from threatshare.findings.extraction import Extracted, extract
from threatshare.findings.formats.mail_hops import registered
from threatshare.findings.formats.markup import Tag, tokens
from threatshare.model import Kind, host_of
from threatshare.stix.observables import canonical


class Use(Enum):
    """What a value does in a mail."""

    LINK = "a link, or an address to open"
    MENTION = "a name, network address or mail address in the text"
    SHOWN = "what a link shows, while it leads elsewhere"
    PICTURE = "a picture, style or sound that is fetched"


class Found(NamedTuple):
    """One value of a mail's body."""

    kind: Kind
    text: str
    use: Use


# --- HTML -------------------------------------------------------------------------------------------------------

_LINKS: Mapping[str, tuple[str, ...]] = {
    "a": ("href", "xlink:href"),
    "area": ("href",),
    "form": ("action",),
    "button": ("formaction",),
    "input": ("formaction",),
    "iframe": ("src",),
    "frame": ("src",),
    "embed": ("src",),
    "object": ("data",),
}
"""Attributes that lead the reader somewhere, or send what he types."""

_PICTURES: Mapping[str, tuple[str, ...]] = {
    "img": ("src",),
    "input": ("src",),
    "image": ("href", "xlink:href"),
    "link": ("href",),
    "source": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
}
_INLINE = frozenset("a abbr b bdi bdo big code em font i mark s small span strike strong sub sup tt u wbr".split())
"""Elements that do not end a word."""
_REFRESH = re.compile(r"url\s{0,8}=\s{0,8}['\"]?([^'\"]+)", re.IGNORECASE).search
_UNSEEN = re.compile("[\t\r\n]|[\u00ad\u200b-\u200f\u2060\ufeff]")
_WEB = re.compile(r"(?i)(https?):[/\\]*+([^?#]*)").match
_NEVER = re.compile(r"(?i)(?:javascript|data|cid|mid|about|blob|tel|sms|file|vbscript|x-[a-z-]+):").match


def found_in_html(html: str) -> Iterator[Found]:
    """Yields what an HTML body links to, fetches, shows and names."""
    base, href = "", ""
    seen: list[str] = []
    shown: list[str] = []
    for token in tokens(html):
        if not isinstance(token, Tag):
            (shown if href else seen).append(token.text)
            continue
        if token.name == "a":
            yield from _shown("".join(shown), href)
            href, shown = "", []
        elif token.name not in _INLINE:
            (shown if href else seen).append("\n")
        if token.name == "base":
            base = base or token.attributes.get("href", "")
        for found in _of_tag(token, base):
            href = found.text if token.name == "a" else href
            yield found
    yield from _shown("".join(shown), href)
    yield from found_in_text(_UNSEEN.sub(_without, "".join(seen)))


def _without(match: re.Match[str]) -> str:
    return " " if match[0].isspace() else ""


def _of_tag(tag: Tag, base: str) -> Iterator[Found]:
    for names, use in ((_LINKS, Use.LINK), (_PICTURES, Use.PICTURE)):
        for name in names.get(tag.name, ()):
            yield from _address(tag.attributes.get(name, ""), base, use)
    if "background" in tag.attributes:
        yield from _address(tag.attributes["background"], base, Use.PICTURE)
    if tag.name == "meta" and tag.attributes.get("http-equiv", "").lower() == "refresh":
        refresh = _REFRESH(tag.attributes.get("content", "")[:4096])
        if refresh is not None:
            yield from _address(refresh[1], base, Use.LINK)


def _address(text: str, base: str, use: Use) -> Iterator[Found]:
    """Reads an attribute as browsers do: without line ends, with slashes the wrong way round or missing."""
    address = _UNSEEN.sub("", text).strip()
    if not address or _NEVER(address):
        return
    if address.lower().startswith("mailto:"):
        yield Found(Kind.EMAIL, unquote(address[7:].partition("?")[0]), Use.MENTION)
        return
    if address.startswith(("//", "\\\\")):
        address = "https:" + address
    web = _WEB(address)
    if web is not None:
        address = f"{web[1]}://" + web[2].replace("\\", "/") + address[web.end() :]
    elif base and "://" not in address:
        try:
            address = urljoin(base, address)
        except ValueError:
            return
    if "://" in address:
        yield Found(Kind.URL, address, use)


def _shown(text: str, href: str) -> Iterator[Found]:
    """Yields the address that a link shows where it is not the one that it leads to."""
    if not href:
        return
    target = _host(unwrapped(href).url)
    for value in extract(_UNSEEN.sub(_without, text)):
        kind, plain = value.observable.kind, _written(value)
        if kind is Kind.EMAIL:
            yield Found(kind, plain, Use.MENTION)
        elif kind in (Kind.URL, Kind.DOMAIN):
            host = _host(plain) if kind is Kind.URL else plain.lower()
            if registered(host) != registered(target):
                yield Found(kind, plain, Use.SHOWN)


# --- text ---------------------------------------------------------------------------------------------------------


def found_in_text(text: str) -> Iterator[Found]:
    """Yields the URLs of a text as links, and the names and addresses in it; hashes say nothing there."""
    for value in extract(text):
        kind = value.observable.kind
        if kind is Kind.URL:
            yield Found(kind, value.original, Use.LINK)
        elif kind in (Kind.EMAIL, Kind.DOMAIN, Kind.IPV4, Kind.IPV6):
            yield Found(kind, _written(value), Use.MENTION)


def _written(value: Extracted) -> str:
    """Gives a value as it stands: capitals, and what a canonical value leaves out, may encode a recipient."""
    return value.observable.value if value.defanged else value.original


# --- redirectors ----------------------------------------------------------------------------------------------------


class Unwrapped(NamedTuple):
    """A link without the redirectors around it."""

    url: str
    """Where it leads; empty where a redirector does not tell."""
    wrappers: tuple[str, ...] = ()
    """Hosts of the redirectors, from the outside in."""


def unwrapped(url: str) -> Unwrapped:
    """Takes the redirectors off a link, one inside the other, at most five."""
    wrappers: list[str] = []
    for _ in range(_DEEPEST):
        host = _host(url)
        reader = next((reader for is_one, reader in _WRAPPERS if is_one(host)), None)
        if reader is None:
            break
        inner = reader(canonical(Kind.URL, url).value)
        if inner is None:
            break
        wrappers.append(host)
        url = inner if _host(inner) else ""
    return Unwrapped(url, tuple(wrappers))


def _host(url: str) -> str:
    try:
        return host_of(canonical(Kind.URL, url).value) if url else ""
    except BadValue:
        return ""


def _parameter(url: str, name: str) -> str | None:
    found = re.search(rf"[?&]{name}=([^&]+)", url)
    return unquote(found[1]) if found else None


def _safe_links(url: str) -> str | None:
    return _parameter(url, "url")


def _google(url: str) -> str | None:
    path = url.partition("://")[2].partition("/")[2]
    if path.startswith("url?"):
        return _parameter(url, "q") or _parameter(url, "url")
    if path.startswith("amp/"):
        secure, rest = path[4:6] == "s/", path[4:].removeprefix("s/")
        return f"http{'s' * secure}://{rest}"
    return None


def _proofpoint(url: str) -> str | None:
    path = url.partition("://")[2].partition("/")[2]
    if path.startswith("v1/"):
        return _parameter(url, "u")
    if path.startswith("v2/"):
        found = re.search(r"[?&]u=([^&]+)", url)
        return unquote(found[1].translate(_PROOFPOINT_2)) if found else None
    found = _PROOFPOINT_3(path)
    if found is None:
        return None
    try:
        left_out = iter(urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)).decode())
    except ValueError:
        return ""
    plain = _STARS.sub(
        lambda star: "".join(char for _, char in zip(range(_run(star[0])), left_out, strict=False)), found[1]
    )
    return re.sub(r"^(\w+:/)(?=[^/])", r"\1/", plain)


def _run(star: str) -> int:
    """Tells how many characters a star stands for: ``*`` one, ``**A`` two, ``**B`` three and so on."""
    return 1 if len(star) == 1 else _RUN_LENGTHS.find(star[2]) + 2


def _hidden(url: str) -> str | None:
    return ""


_DEEPEST = 5
_PROOFPOINT_2 = str.maketrans("-_", "%/")
_PROOFPOINT_3 = re.compile(r"v3/__(.+?)__;([\w-]*)").match
_STARS = re.compile(r"\*(?:\*[A-Za-z0-9_-])?")
_RUN_LENGTHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_WRAPPERS: tuple[tuple[Callable[[str], object], Callable[[str], str | None]], ...] = (
    # Microsoft Defender Safe Links: the address in ``url``; ``data`` names the recipient.
    (
        re.compile(r".+\.safelinks\.protection\.(?:outlook\.com|office365\.us|partner\.outlook\.cn)").fullmatch,
        _safe_links,
    ),
    # Proofpoint URL Defense, by the decoder that the vendor publishes: v1 escaped, v2 with - and _ for % and /,
    # v3 with stars for characters that follow in base64.
    (re.compile(r"urldefense(?:\.proofpoint)?\.com|urldefense\.us").fullmatch, _proofpoint),
    # Google's link in search results and mails, and its AMP pages.
    (re.compile(r"(?:www\.)?google(?:\.[a-z]{2,3}){1,2}").fullmatch, _google),
    # Mimecast keeps the address to itself.
    (re.compile(r"(?:.+\.)?(?:mimecastprotect\.com|protect(?:-[a-z]+)?\.mimecast\.com)").fullmatch, _hidden),
)
"""Redirectors by host: what reads the address inside; None: this is no such link, empty: it does not tell."""

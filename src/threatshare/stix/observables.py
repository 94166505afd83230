"""Canonical values: one spelling for each address, name, URL, mail address and hash.

Ambiguous input is refused with a reason, never guessed; the caller keeps the original text.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable

MAX_LENGTH = 8192
"""Longest text taken for one value, in characters."""

_REFANG: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)^h(?:xx|\*\*|tt|xt|tx)p(s?)(?=\s?[\[({]?:)"), r"http\1"),
    (re.compile(r"(?i)^fxp(?=\s?[\[({]?:)"), "ftp"),
    (re.compile(r"[\[({](:/{0,2})[\])}]"), r"\1"),
    (re.compile(r"[\[({](//?)[\])}]"), r"\1"),
    # Blanks are few: a run of them would be tried from each of its places.
    (re.compile(r"(?i)\s{0,2}[\[({]\s{0,2}(?:\.|dot)\s{0,2}[\])}]\s{0,2}"), "."),
    (re.compile(r"(?i)\s{0,2}[\[({]\s{0,2}(?:@|at)\s{0,2}[\])}]\s{0,2}"), "@"),
    (re.compile(r"\\\."), "."),
    (re.compile(r"\[\.|\.\]"), "."),
)
_PLAIN = re.compile(r"(?:https?(?=:)|(?![Hh]..[Pp]|[Ff][Xx][Pp]))[A-Za-z0-9._:/?&=%@+~#-]*+").fullmatch
"""What none of these would change: most values are not defanged, and trying each costs ten times as much."""
_JUNK = "\"'`<>«»“”‘’„‹› \t\r\n\xa0\xad\u200b\u200e\u200f\u2060\ufeff"
_WRAPPED = {"(": ")", "[": "]", "{": "}"}
_HEX = re.compile(r"[0-9a-f]+", re.ASCII).fullmatch
_LABELS = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII).fullmatch
"""The last label begins with a letter: programs take ``1.2.3.0x4`` for an address."""
_LOCAL = re.compile(r"[^\s@<>\"(),:;\[\]\\\x00-\x1f\x7f]{1,64}").fullmatch
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL).fullmatch
_NO_AUTHORITY = re.compile(r"[\x00-\x20\x7f-\x9f\\]").search
"""The backslash too: browsers end the host there, other programs do not."""
_PORT = re.compile(r"[0-9]{1,5}").fullmatch
_NUMERIC = re.compile(r"[0-9.]+").fullmatch
_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}").fullmatch
_ZONE = re.compile(r"[A-Za-z0-9._~-]{1,64}").fullmatch
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})?")
_NOT_BARE = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]++")
"""What may not stand in a path or query as it is (RFC 3986 §3.3); brackets do everywhere, though they may not."""
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORT = {"http": 80, "https": 443, "ftp": 21}
_DEFANGED_SCHEME = {"hxxp": "http", "hxxps": "https", "hxtp": "http", "htxp": "http", "fxp": "ftp"}
HASH_KINDS: Mapping[int, Kind] = {32: Kind.MD5, 40: Kind.SHA1, 64: Kind.SHA256, 128: Kind.SHA512}
"""By the number of hexadecimal digits."""
_COMMENT = r"/\*(?:[^*]|\*(?!/))*+"
_BETWEEN = re.compile(
    rf"(?P<kept>'(?:[^'\\]|\\.)*+'?|{_COMMENT}\Z)|(?:\s|{_COMMENT}\*/|//[^\r\n]*+)++",
    re.DOTALL,
)
"""A string, a comment without end, or all the blanks and comments in one place."""
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_MAC = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}", re.ASCII).fullmatch


def refang(text: str) -> str:
    """Undoes the usual defanging: ``hxxp``, ``[.]``, ``(dot)``, ``[:]//``, ``[@]``, ``\\.``.

    Quotes and brackets around the whole are stripped, and commas and semicolons, but not from a URL:
    there they can be part of the value.
    """
    if _PLAIN(text):
        return text
    text = _unwrapped(text.strip(_JUNK))
    for pattern, plain in _REFANG:
        text = pattern.sub(plain, text)
    return text if "://" in text else text.strip(_JUNK + ",;")


def _unwrapped(text: str) -> str:
    closing = _WRAPPED.get(text[:1])
    # In ``[:][:]1`` and ``(a)(b)`` the first bracket is not closed by the last.
    if closing is None or len(text) < 3 or text[-1] != closing or closing in text[1:-1].partition(text[0])[0]:
        return text
    return text[1:-1].strip(_JUNK)


def canonical(kind: Kind, text: str) -> Observable:
    """Gives the one spelling of a value; raises BadValue with the reason.

    The kind may change: an IPv4-mapped IPv6 address is an IPv4 address.
    """
    if len(text) > MAX_LENGTH:
        raise BadValue(f"value of {len(text)} characters, at most {MAX_LENGTH} are taken")
    if not text.isascii():
        _check_encodable(text)
    found = _CANONICAL[kind](text)
    if len(found.value) > MAX_LENGTH:
        # Escaping makes it longer; it must be taken again as it was written.
        raise BadValue(f"value of {len(found.value)} characters when escaped, at most {MAX_LENGTH} are taken")
    return found


def _check_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise BadValue(f"{text[:60]!r} is not valid Unicode") from problem


def recognise(text: str) -> Observable:
    """Tells what a value is from its form alone, defanged or not; raises BadValue where it is nothing we know."""
    if len(text) > 2 * MAX_LENGTH:
        raise BadValue(f"value of {len(text)} characters, at most {MAX_LENGTH} are taken")
    plain = refang(text)
    if not plain:
        raise BadValue("empty value")
    return canonical(_kind_of(plain), plain)


def _kind_of(text: str) -> Kind:
    if "://" in text:
        return Kind.URL
    lower = text.lower()
    if _HEX(lower) and len(text) in HASH_KINDS:
        return HASH_KINDS[len(text)]
    if "@" in text:
        return Kind.EMAIL
    if _MAC(lower):
        return Kind.MAC
    if ":" in text:
        return Kind.IPV6
    if re.fullmatch(r"[0-9./]+", text, re.ASCII):
        return Kind.IPV4
    return Kind.DOMAIN


def _ipv4(text: str) -> Observable:
    address, slash, prefix = text.partition("/")
    try:
        # inet_pton takes four decimal numbers without leading zeros and nothing else.
        socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError) as problem:
        raise BadValue(f"{text[:60]!r} is no dotted-quad IPv4 address") from problem
    if slash and prefix != "32":
        return Observable(Kind.IPV4, _network(IPv4Network, text))
    return Observable(Kind.IPV4, address)


def _ipv6(text: str) -> Observable:
    address, slash, prefix = text.partition("/")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    address, percent, zone = address.partition("%")
    if percent and _ZONE(zone) is None:
        raise BadValue(f"{text[:60]!r}: {zone[:20]!r} is no zone id")
    try:
        parsed = IPv6Address(address)
    except AddressValueError as problem:
        raise BadValue(f"{text[:60]!r} is no IPv6 address") from problem
    mapped = parsed.ipv4_mapped
    if slash and prefix != "128":
        network = _network(IPv6Network, f"{address}/{prefix}")
        if mapped is None or int(prefix) < 96:
            return Observable(Kind.IPV6, network)
        return _ipv4(f"{mapped}/{int(prefix) - 96}")
    return Observable(Kind.IPV6, parsed.compressed) if mapped is None else Observable(Kind.IPV4, str(mapped))


def _network(shape: type[IPv4Network] | type[IPv6Network], text: str) -> str:
    if _PREFIX(text.partition("/")[2]) is None:
        raise BadValue(f"{text[:60]!r}: write the prefix as a number of bits, without leading zeros")
    try:
        return shape(text, strict=False).compressed
    except (AddressValueError, NetmaskValueError) as problem:
        raise BadValue(f"{text[:60]!r} is no network: {problem}") from problem


def _domain(text: str) -> Observable:
    return Observable(Kind.DOMAIN, _name(text))


def _name(text: str) -> str:
    name = text.removesuffix(".")
    name = name.lower() if name.isascii() else _from_unicode(name)
    if _LABELS(name) is None:
        raise BadValue(f"{text[:60]!r} is no domain name")
    return name


def _from_unicode(text: str) -> str:
    """Folds a name as browsers do (UTS 46) and encodes it label by label: IDNA knows no ``_dmarc``."""
    import idna

    try:
        labels = idna.uts46_remap(text, std3_rules=False).removesuffix(".").split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except UnicodeError as problem:
        raise BadValue(f"{text[:60]!r} is no domain name: {problem}") from problem


def _host(text: str) -> str:
    if text.startswith("["):
        if ":" not in text:
            return _ipv4(text[1:-1]).value
        address = _ipv6(text)
        return f"[{address.value}]" if address.kind is Kind.IPV6 else address.value
    if _NUMERIC(text):
        return _ipv4(text).value
    return _name(text)


def _url(text: str) -> Observable:
    match = _URL(text)
    if match is None:
        raise BadValue(f"{text[:60]!r} is no URL with scheme and host")
    scheme, authority, path, query = match.groups(default="")
    scheme = scheme.lower()
    scheme = _DEFANGED_SCHEME.get(scheme, scheme)
    if _NO_AUTHORITY(authority):
        raise BadValue(f"{text[:60]!r}: blank, control character or backslash in the host")
    # Userinfo is personal data or a trick; the host is what is behind the last @.
    host, port = _split_port(authority.rpartition("@")[2])
    where = _host(host)
    if port:
        number = int(port) if _PORT(port) else 0
        if not 0 < number < 65536:
            raise BadValue(f"{text[:60]!r}: {port[:10]!r} is no port")
        if number != _DEFAULT_PORT.get(scheme):
            where = f"{where}:{number}"
    return Observable(Kind.URL, f"{scheme}://{where}{_dot_segments(_escaped(path)) or '/'}{_escaped(query)}")


def _split_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        return host + bracket, rest.removeprefix(":")
    host, _, port = authority.partition(":")
    return host, port


def _escaped(text: str) -> str:
    """Upper-cases escapes, undoes those of unreserved characters, escapes what may not stand bare (RFC 3986 §6.2.2)."""
    if "%" in text:
        text = _PERCENT.sub(_normal_escape, text)
    return text if _NOT_BARE.search(text) is None else _NOT_BARE.sub(_new_escape, text)


def _normal_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        # A percent sign that begins no escape stands for itself; left bare, it could begin one later.
        return "%25"
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else f"%{match[1].upper()}"


def _new_escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _dot_segments(path: str) -> str:
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept) if len(kept) > 1 else "/"


def _email(text: str) -> Observable:
    local, at, domain = text.rpartition("@")
    local = local.lower()
    if not at or _LOCAL(local) is None or not local.isprintable():
        raise BadValue(f"{text[:60]!r} is no mail address")
    return Observable(Kind.EMAIL, f"{local}@{_name(domain)}")


def _mac(text: str) -> Observable:
    lower = text.lower()
    if _MAC(lower) is None:
        raise BadValue(f"{text[:60]!r} is no MAC address")
    return Observable(Kind.MAC, lower.replace("-", ":"))


def _hash_of(kind: Kind, length: int) -> Callable[[str], Observable]:
    def read(text: str) -> Observable:
        digits = text.strip().lower()
        if len(digits) != length or _HEX(digits) is None:
            raise BadValue(f"{text[:60]!r} is no {kind.algorithm} hash: {length} hexadecimal digits are wanted")
        return Observable(kind, digits)

    return read


def tidied(pattern: str) -> str:
    """Writes the blanks and comments between the parts of a pattern as one space each; strings stay as they are.

    Raises BadValue where a string holds a control character.
    """
    text = _BETWEEN.sub(_kept_or_space, pattern).strip()
    if _UNSEEN(text):
        raise BadValue("pattern: control character in a string")
    return text


def _kept_or_space(match: re.Match[str]) -> str:
    return match["kept"] or " "


def _pattern(text: str) -> Observable:
    return Observable(Kind.PATTERN, tidied(text))


_CANONICAL: Mapping[Kind, Callable[[str], Observable]] = {
    Kind.IPV4: _ipv4,
    Kind.IPV6: _ipv6,
    Kind.DOMAIN: _domain,
    Kind.URL: _url,
    Kind.EMAIL: _email,
    Kind.MAC: _mac,
    Kind.PATTERN: _pattern,
    **{kind: _hash_of(kind, length) for length, kind in HASH_KINDS.items()},
}

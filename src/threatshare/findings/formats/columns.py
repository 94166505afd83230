"""Which column of a table holds what: told from the header's words, or from the cells where there is no header."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from threatshare.errors import BadValue
from threatshare.findings.extraction import has_public_host
from threatshare.model import Kind, Observable, Role
from threatshare.stix.observables import canonical, recognise, refang
from threatshare.stix.timestamps import read_loose_time

Row = list[str]

COMMENTS = ("#", "//", ";;")
DELIMITERS = (",", ";", "\t", "|")

_VALUE_WORDS = frozenset(
    "value indicator indicators ioc iocs data observable indicator_value ioc_value artifact artefact pattern".split()
)
_TYPE_WORDS = frozenset("type kind indicator_type ioc_type data_type observable_type value_type".split())
_ROLE_WORDS = frozenset("role".split())
_USE_WORDS = frozenset("category threat_type threat use".split())
"""Columns that may say a role, but say much else too."""
_TIME_WORDS = frozenset(
    "time date timestamp seen seen_at first_seen firstseen first_seen_utc first_seen_at date_added dateadded created "
    "observed observed_at".split()
)
_LAST_WORDS = frozenset("last_seen lastseen last_seen_utc last_seen_at last_online".split())
_DESTINATION_WORDS = frozenset(
    "dst dest destination dst_ip dest_ip destination_ip dstip destip dst_addr dst_host dst_port dest_port dstport "
    "destination_port destination_address id_resp_h resp_h target_ip".split()
)
_CONFIDENCE_WORDS = frozenset("confidence confidence_level".split())

_BARE = frozenset({Kind.IPV4, Kind.IPV6, Kind.DOMAIN})

KINDS: Mapping[str, tuple[Kind, ...]] = {
    **dict.fromkeys(
        "ip ip_address ipaddress ip_addr ip_port ip_src ip_dst src_ip dst_ip source_ip destination_ip".split(),
        (Kind.IPV4, Kind.IPV6),
    ),
    **dict.fromkeys("ipv4 ipv4_addr ipv4_address cidr".split(), (Kind.IPV4,)),
    **dict.fromkeys("ipv6 ipv6_addr ipv6_address".split(), (Kind.IPV6, Kind.IPV4)),
    **dict.fromkeys("domain domains domain_name hostname host fqdn".split(), (Kind.DOMAIN,)),
    **dict.fromkeys("url urls uri link".split(), (Kind.URL,)),
    **dict.fromkeys("email emails email_addr email_address mail email_src sender".split(), (Kind.EMAIL,)),
    **dict.fromkeys("md5 md5_hash filehash_md5 file_md5 hash_md5".split(), (Kind.MD5,)),
    **dict.fromkeys("sha1 sha_1 sha1_hash filehash_sha1 file_sha1 hash_sha1".split(), (Kind.SHA1,)),
    **dict.fromkeys("sha256 sha_256 sha256_hash filehash_sha256 file_sha256 hash_sha256".split(), (Kind.SHA256,)),
    **dict.fromkeys("sha512 sha_512 sha512_hash filehash_sha512".split(), (Kind.SHA512,)),
    **dict.fromkeys("hash hashes file_hash filehash file".split(), (Kind.MD5, Kind.SHA1, Kind.SHA256, Kind.SHA512)),
}
"""What a type cell or a header may say, and which kinds it allows."""

ROLES: Mapping[str, Role] = {
    **{role.value.replace("-", "_"): role for role in Role},
    **dict.fromkeys("c2 c_c cnc c2_server command_and_control botnet_cc botnet_c2 beacon callback".split(), Role.C2),
    **dict.fromkeys(
        "payload payload_delivery malware malware_download download dropper delivery distribution".split(), Role.PAYLOAD
    ),
    **dict.fromkeys("attacker scanner scanning brute_force bruteforce source exploitation".split(), Role.ATTACKER),
    **dict.fromkeys("sender phish_sender phishing_sender".split(), Role.PHISH_SENDER),
    **dict.fromkeys("victim target targeted".split(), Role.VICTIM_ASSET),
    **dict.fromkeys("benign legitimate whitelist allowlist false_positive".split(), Role.THIRD_PARTY),
}


_DEFANGED = re.compile(r"[\[\](){}\\\"'`<>]|^\s*[hf](?:xx|\*\*|x)p", re.IGNORECASE).search


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions of the columns that are read; None where a table has none of the sort."""

    values: tuple[tuple[int, tuple[Kind, ...] | None], ...]
    """Each column of values, with the kinds that its header allows."""
    type: int | None = None
    role: int | None = None
    use: int | None = None
    first: int | None = None
    last: int | None = None
    confidence: int | None = None
    has_header: bool = True


@dataclass(slots=True)
class _Tally:
    filled: int = 0
    values: int = 0
    bare: int = 0
    """Values that are addresses or names, and not defanged: in a log they say nothing of good or bad."""
    types: int = 0
    times: int = 0


def word(text: str) -> str:
    """Folds a header or type cell to the form of the tables above."""
    return re.sub(r"[^a-z0-9]+", "_", text.strip().lower()).strip("_")


def split(line: str, delimiter: str) -> Row:
    """Splits one line of a table; raises BadValue where its quoting is broken."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration) as problem:
        raise BadValue(f"no row of a table: {problem}") from problem


def _is_events(cells: Row) -> bool:
    """Tells a table of connections, which has two ends, from a list of indicators."""
    return any(word(cell) in _DESTINATION_WORDS for cell in cells)


def layout(lines: Sequence[str]) -> tuple[str, Columns] | None:
    """Tells delimiter and columns from the first lines of a file; None where it is no table of indicators."""
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith(COMMENTS)]
    for delimiter in sorted(DELIMITERS, key=lambda sign: -sum(sign in row for row in rows)):
        cells = [row for line in rows[:200] if (row := _split_or_none(line, delimiter))]
        if cells and _is_events(cells[0]):
            return None
        if cells and (columns := _from_header(cells[0]) or _from_cells(cells)):
            return delimiter, columns
    return None


def _split_or_none(line: str, delimiter: str) -> Row | None:
    try:
        return split(line, delimiter)
    except BadValue:  # a broken row, or one that goes on in the next line: no help in telling columns
        return None


def value_of(text: str, kinds: tuple[Kind, ...] | None) -> Observable:
    """Reads one cell; raises BadValue with the reason where it holds no value of these kinds."""
    plain = refang(text) if _DEFANGED(text) else text.strip()
    if kinds is None:
        observable = recognise(text)
        kinds = (observable.kind,)
    elif kinds[0] is Kind.IPV4 and plain.count(":") == 1:
        observable = canonical(Kind.IPV4, plain.partition(":")[0])  # address:port
    elif kinds[-1] is Kind.SHA512 and len(kinds) > 1:
        observable = recognise(plain)
    else:
        observable = canonical(Kind.IPV6 if kinds[0] is Kind.IPV4 and ":" in plain else kinds[0], plain)
    if observable.kind not in kinds:
        raise BadValue(f"{text[:60]!r} is a {observable.kind}, but the table says {kinds[0]}")
    if not has_public_host(observable):
        raise BadValue(f"{text[:60]!r} has no public top-level domain")
    return observable


def _from_header(cells: Row) -> Columns | None:
    words = [word(cell) for cell in cells]
    generic = [at for at, name in enumerate(words) if name in _VALUE_WORDS][:1]
    values: list[tuple[int, tuple[Kind, ...] | None]] = [(at, None) for at in generic]
    values = values or [(at, KINDS[name]) for at, name in enumerate(words) if name in KINDS]
    if not values or any(_value_or_none(cell) for cell in cells):
        return None
    return Columns(
        tuple(values),
        _position(words, _TYPE_WORDS),
        _position(words, _ROLE_WORDS),
        _position(words, _USE_WORDS),
        _position(words, _TIME_WORDS),
        _position(words, _LAST_WORDS),
        _position(words, _CONFIDENCE_WORDS),
    )


def _position(words: list[str], wanted: frozenset[str]) -> int | None:
    return next((at for at, name in enumerate(words) if name in wanted), None)


def _from_cells(rows: list[Row]) -> Columns | None:
    """Reads a table without a header: a column counts where most of its cells are of one sort."""
    width = max(map(len, rows))
    if width < 2 or sum(len(row) == width for row in rows) < 0.8 * len(rows):
        return None
    tallies = [_tally([row[at] for row in rows if at < len(row)]) for at in range(width)]
    types = next((at for at, column in enumerate(tallies) if column.types >= 0.8 * column.filled > 0), None)
    first = next((at for at, column in enumerate(tallies) if column.times >= 0.8 * column.filled > 0), None)
    valued = [at for at, column in enumerate(tallies) if column.values >= 0.6 * column.filled > 0]
    if types is not None:
        agreeing = {at: _agreement(rows, at, types) for at in valued}
        best = max(agreeing, key=lambda at: agreeing[at], default=None)
        valued = [best] if best is not None and agreeing[best] >= 0.6 * len(rows) else []
    elif _looks_like_log([tallies[at] for at in valued], first is not None):
        return None
    if not valued:
        return None
    return Columns(tuple((at, None) for at in valued), type=types, first=first, has_header=False)


def _looks_like_log(valued: list[_Tally], timed: bool) -> bool:
    """Tells rows of events: two columns of addresses, or a time and nothing but addresses and names."""
    bare = sum(column.bare >= 0.5 * column.values for column in valued)
    return bare > 1 or (timed and bare == len(valued))


def _agreement(rows: list[Row], at: int, types: int) -> int:
    total = 0
    for row in rows:
        kinds = KINDS.get(word(row[types])) if max(at, types) < len(row) else None
        if kinds is not None:
            try:
                value_of(row[at], kinds)
            except BadValue:
                continue
            total += 1
    return total


def _tally(cells: list[str]) -> _Tally:
    tally = _Tally()
    for cell in cells:
        if cell.strip():
            tally.filled += 1
            observable = _value_or_none(cell)
            tally.values += observable is not None
            tally.bare += observable is not None and observable.kind in _BARE and not _DEFANGED(cell)
            tally.types += word(cell) in KINDS
            tally.times += len(cell.strip()) >= 8 and read_loose_time(cell) is not None
    return tally


def _value_or_none(cell: str) -> Observable | None:
    try:
        observable = recognise(cell)
    except BadValue:
        return None
    return observable if has_public_host(observable) else None

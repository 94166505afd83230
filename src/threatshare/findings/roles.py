"""Who is the attacker and what is ours: the one rule for two ends of a connection, and the last word on every value.

The one-sided rule: where exactly one end lies inside our walls, the other is the candidate, and who began the
connection says what it is. Both ends inside: no indicator. Both outside: held, because only a list of what is ours
can tell. Nothing here guesses: what the rules do not decide is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from threatshare.config import Address, Network, OwnAssets
from threatshare.findings.third_parties import is_no_host, third_party
from threatshare.model import Kind, Observable, Observation, Role, host_of


@dataclass(frozen=True, slots=True)
class Ruling:
    """A role with the rule that gave it, in words for an analyst."""

    role: Role
    why: str


class Side(Enum):
    """Where an address stands."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    NOBODY = "nobody"
    """Multicast, broadcast, unspecified."""


class Began(Enum):
    """Which end opened the connection."""

    SOURCE = "source"
    DESTINATION = "destination"
    UNKNOWN = "unknown"


class Situation(Enum):
    """What the two ends of a connection say together."""

    INBOUND = "inbound"
    """One end is outside, and it began."""
    OUTBOUND = "outbound"
    """One end is outside, and our side began."""
    ONE_SIDED = "one-sided"
    """One end is outside; who began is not known."""
    INTERNAL = "internal"
    EXTERNAL = "external"


OURS = Ruling(Role.VICTIM_ASSET, "inside our networks")
NOBODYS = Ruling(Role.THIRD_PARTY, "multicast, broadcast or unspecified: no machine")
ATTACKER = Ruling(Role.ATTACKER, "outside, and began the connection to our side")
C2 = Ruling(Role.C2, "outside, and our side began the connection to it")
ONE_SIDED = Ruling(
    Role.UNKNOWN, "outside, but who began is not known: the flow's direction would decide; held for a person"
)
EXTERNAL = Ruling(
    Role.UNKNOWN,
    "both ends lie outside our networks: if one is ours, add it to own-assets.toml and read this again; held",
)


def side_of(address: Address, own: OwnAssets) -> Side:
    """Tells on which side of our walls an address stands."""
    if own.inside(address):
        return Side.INSIDE
    return Side.NOBODY if is_no_host(address) else Side.OUTSIDE


def situation(source: Side, destination: Side, began: Began) -> Situation:
    """Combines both ends and who began; multicast and broadcast never leave the network they are sent in."""
    outside = (source is Side.OUTSIDE, destination is Side.OUTSIDE)
    if outside == (True, True):
        return Situation.EXTERNAL
    if outside == (False, False):
        return Situation.INTERNAL
    if Side.NOBODY in (source, destination):
        return Situation.EXTERNAL
    if began is Began.UNKNOWN:
        return Situation.ONE_SIDED
    began_outside = outside[0] if began is Began.SOURCE else outside[1]
    return Situation.INBOUND if began_outside else Situation.OUTBOUND


def one_sided(
    source: Side, destination: Side, began: Began, inbound: Ruling = ATTACKER, outbound: Ruling = C2
) -> tuple[Ruling, Ruling]:
    """Rules on source and destination; ``inbound`` and ``outbound`` are what an outside end is, by who began."""
    met = situation(source, destination, began)
    candidate = EXTERNAL
    if met is Situation.INBOUND:
        candidate = inbound
    elif met is Situation.OUTBOUND:
        candidate = outbound
    elif met is Situation.ONE_SIDED:
        candidate = ONE_SIDED
    return _ruling(source, candidate), _ruling(destination, candidate)


def _ruling(side: Side, candidate: Ruling) -> Ruling:
    if side is Side.INSIDE:
        return OURS
    return NOBODYS if side is Side.NOBODY else candidate


def judge(observable: Observable, ruling: Ruling, original: str, own: OwnAssets) -> Observation:
    """Gives the observation of a value, with the last word on it: what is ours or a bystander's is no indicator."""
    role, why = ruling.role, ruling.why
    literal = _literal(observable)
    if _is_ours(observable, literal, own):
        role, why = Role.VICTIM_ASSET, OURS.why if literal is not None else "names something of ours"
    elif role.is_indicator or role is Role.UNKNOWN or role is Role.KNOWN_INDICATOR:
        bystander = NOBODYS.why if _is_nobodys(literal) else third_party(observable)
        if bystander:
            role, why = Role.THIRD_PARTY, bystander
    return Observation(observable, role, why, original)


def judge_end(end: tuple[Observable, Side], ruling: Ruling, original: str) -> Observation:
    """Gives the observation of a connection's end, whose side is known already."""
    observable, side = end
    if side is Side.OUTSIDE and ruling.role is not Role.REFERENCE:
        bystander = third_party(observable)
        if bystander:
            return Observation(observable, Role.THIRD_PARTY, bystander, original)
    return Observation(observable, ruling.role, ruling.why, original)


def sides(own: OwnAssets) -> Callable[[str], tuple[Observable, Side] | None]:
    """Makes a remembering look-up from an address's text to its observable and side; None for no address.

    A sensor's log names the same few thousand addresses over and over.
    """

    @lru_cache(maxsize=65_536)
    def look_up(text: str) -> tuple[Observable, Side] | None:
        try:
            address: Address = ip_address(text.partition("%")[0])
        except ValueError:
            return None
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        kind = Kind.IPV4 if address.version == 4 else Kind.IPV6
        return Observable(kind, str(address)), side_of(address, own)

    return look_up


def _literal(observable: Observable) -> Address | Network | None:
    """Gives the address or network that a value is, or the address that is a URL's host."""
    text = observable.value
    if observable.kind is Kind.URL:
        text = host_of(text)
    elif observable.kind is not Kind.IPV4 and observable.kind is not Kind.IPV6:
        return None
    try:
        return ip_network(text) if "/" in text else ip_address(text)
    except ValueError:
        return None


def _is_ours(observable: Observable, literal: Address | Network | None, own: OwnAssets) -> bool:
    if literal is None:
        return own.owns(observable)
    if isinstance(literal, IPv4Address | IPv6Address):
        return own.inside(literal)
    ends = (literal.network_address, literal.broadcast_address)
    return own.owns(observable) or any(own.inside(end) for end in ends)


def _is_nobodys(literal: Address | Network | None) -> bool:
    if literal is None:
        return False
    return is_no_host(literal if isinstance(literal, IPv4Address | IPv6Address) else literal.network_address)

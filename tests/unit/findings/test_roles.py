"""Who is the attacker: the one-sided rule, and the last word on what is ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.roles import (
    Began,
    Ruling,
    Side,
    Situation,
    judge,
    judge_end,
    one_sided,
    side_of,
    sides,
    situation,
)
from threatshare.model import Kind, Observable, Role
from threatshare.stix.observables import canonical

OWN = OwnAssets(
    networks=(ip_network("203.0.113.0/24"), ip_network("2001:db8:5::/48")),
    domains=("corp.example",),
    mail_domains=("mail.example",),
)

RULES = [
    # source, destination, who began -> role of source, role of destination
    (Side.OUTSIDE, Side.INSIDE, Began.SOURCE, Role.ATTACKER, Role.VICTIM_ASSET),
    (Side.OUTSIDE, Side.INSIDE, Began.DESTINATION, Role.C2, Role.VICTIM_ASSET),
    (Side.INSIDE, Side.OUTSIDE, Began.SOURCE, Role.VICTIM_ASSET, Role.C2),
    (Side.INSIDE, Side.OUTSIDE, Began.DESTINATION, Role.VICTIM_ASSET, Role.ATTACKER),
    (Side.INSIDE, Side.OUTSIDE, Began.UNKNOWN, Role.VICTIM_ASSET, Role.UNKNOWN),
    (Side.INSIDE, Side.INSIDE, Began.SOURCE, Role.VICTIM_ASSET, Role.VICTIM_ASSET),
    (Side.OUTSIDE, Side.OUTSIDE, Began.SOURCE, Role.UNKNOWN, Role.UNKNOWN),
    (Side.INSIDE, Side.NOBODY, Began.SOURCE, Role.VICTIM_ASSET, Role.THIRD_PARTY),
    (Side.NOBODY, Side.NOBODY, Began.SOURCE, Role.THIRD_PARTY, Role.THIRD_PARTY),
    (Side.OUTSIDE, Side.NOBODY, Began.SOURCE, Role.UNKNOWN, Role.THIRD_PARTY),
]


@pytest.mark.parametrize(("source", "destination", "began", "first", "second"), RULES)
def test_one_sided_rule(source: Side, destination: Side, began: Began, first: Role, second: Role) -> None:
    """Exactly one end outside is a candidate, and who began says for what; all else is ours, nobody's or held."""
    assert tuple(ruling.role for ruling in one_sided(source, destination, began)) == (first, second)


def test_held_values_say_what_would_decide() -> None:
    """An analyst who finds a held value learns what to do about it."""
    external, _ = one_sided(Side.OUTSIDE, Side.OUTSIDE, Began.SOURCE)
    assert "own-assets.toml" in external.why
    _, undirected = one_sided(Side.INSIDE, Side.OUTSIDE, Began.UNKNOWN)
    assert "direction" in undirected.why


def test_a_reader_may_say_what_an_outside_end_is() -> None:
    """A reader that knows better, as by a reputation list, replaces both roles of the outside end."""
    listed = Ruling(Role.KNOWN_INDICATOR, "listed")
    assert one_sided(Side.OUTSIDE, Side.INSIDE, Began.SOURCE, listed, listed)[0] is listed
    assert one_sided(Side.INSIDE, Side.OUTSIDE, Began.SOURCE, listed, listed)[1] is listed


SIDES = st.sampled_from(Side)


@given(SIDES, SIDES, st.sampled_from(Began))
def test_the_rule_is_symmetric(source: Side, destination: Side, began: Began) -> None:
    """Swapping the ends, and who began, swaps the answers and changes none."""
    swapped = {Began.SOURCE: Began.DESTINATION, Began.DESTINATION: Began.SOURCE}.get(began, began)
    assert one_sided(source, destination, began) == one_sided(destination, source, swapped)[::-1]
    assert situation(source, destination, began) == situation(destination, source, swapped)


@given(SIDES, SIDES, st.sampled_from(Began))
def test_only_an_outside_end_opposite_an_inside_one_is_an_indicator(
    source: Side, destination: Side, began: Began
) -> None:
    """No other constellation gives an indicator role."""
    first, second = one_sided(source, destination, began)
    assert not first.role.is_indicator or (source is Side.OUTSIDE and destination is Side.INSIDE)
    assert not second.role.is_indicator or (destination is Side.OUTSIDE and source is Side.INSIDE)
    if situation(source, destination, began) is Situation.INTERNAL:
        assert not first.role.is_indicator
        assert not second.role.is_indicator


OURS = st.one_of(
    st.integers(0, 255).map(lambda n: str(IPv4Address("203.0.113.0") + n)),
    st.integers(0, 2**24 - 1).map(lambda n: str(IPv4Address("10.0.0.0") + n)),
    st.integers(0, 2**80 - 1).map(lambda n: IPv6Address("2001:db8:5::") + n).map(str),
)
ANY_ROLE = st.sampled_from(Role)


@given(OURS, ANY_ROLE)
def test_an_address_of_ours_is_always_a_victim_asset(text: str, proposed: Role) -> None:
    """Whatever a reader proposes, an address inside our walls stays ours, alone and as a URL's host."""
    kind = Kind.IPV6 if ":" in text else Kind.IPV4
    host = f"[{text}]" if ":" in text else text
    for observable in (canonical(kind, text), canonical(Kind.URL, f"http://{host}:8080/x")):
        assert judge(observable, Ruling(proposed, "proposed"), text, OWN).role is Role.VICTIM_ASSET


@given(
    st.sampled_from(
        [
            (Kind.DOMAIN, "corp.example"),
            (Kind.DOMAIN, "a.b.corp.example"),
            (Kind.URL, "https://www.corp.example/login"),
            (Kind.EMAIL, "someone@mail.example"),
            (Kind.IPV4, "203.0.0.0/16"),
            (Kind.IPV4, "10.1.0.0/16"),
        ]
    ),
    ANY_ROLE,
)
def test_a_name_of_ours_is_always_a_victim_asset(value: tuple[Kind, str], proposed: Role) -> None:
    """Domains, mail domains, URLs on them and networks that touch ours are ours in every role."""
    assert judge(canonical(*value), Ruling(proposed, "proposed"), "", OWN).role is Role.VICTIM_ASSET


@pytest.mark.parametrize(
    ("kind", "value", "role"),
    [
        (Kind.IPV4, "198.51.100.7", Role.C2),
        (Kind.IPV4, "8.8.8.8", Role.THIRD_PARTY),
        (Kind.IPV4, "224.0.0.251", Role.THIRD_PARTY),
        (Kind.IPV4, "255.255.255.255", Role.THIRD_PARTY),
        (Kind.IPV4, "0.0.0.0", Role.THIRD_PARTY),
        (Kind.IPV6, "ff02::fb", Role.THIRD_PARTY),
        (Kind.IPV6, "2606:4700:4700::1111", Role.THIRD_PARTY),
        (Kind.DOMAIN, "www.google.com", Role.THIRD_PARTY),
        (Kind.DOMAIN, "jimmy.ns.cloudflare.com", Role.THIRD_PARTY),
        (Kind.DOMAIN, "notgoogle.com", Role.C2),
        (Kind.URL, "https://github.com/", Role.THIRD_PARTY),
        (Kind.URL, "https://github.com/someone/x/raw/main/a.apk", Role.C2),
        (Kind.MD5, "d41d8cd98f00b204e9800998ecf8427e", Role.THIRD_PARTY),
    ],
)
def test_bystanders_are_no_indicators(kind: Kind, value: str, role: Role) -> None:
    """Public services, resolvers, multicast and the empty file are told from what merely stands on such a host."""
    assert judge(Observable(kind, value), Ruling(Role.C2, "proposed"), value, OWN).role is role


def test_the_end_of_a_connection_is_judged_by_its_side() -> None:
    """A public resolver at the far end is a bystander, an address of ours keeps its ruling."""
    look_up = sides(OWN)
    resolver, ours = look_up("8.8.8.8"), look_up("203.0.113.9")
    assert resolver is not None
    assert ours is not None
    assert judge_end(resolver, Ruling(Role.C2, ""), "8.8.8.8").role is Role.THIRD_PARTY
    assert judge_end(ours, Ruling(Role.VICTIM_ASSET, ""), "203.0.113.9").role is Role.VICTIM_ASSET


def test_look_up_reads_what_sensors_write() -> None:
    """Zone ids and mapped addresses are folded; what is no address is none."""
    look_up = sides(OWN)
    assert look_up("fe80::1%eth0") == (Observable(Kind.IPV6, "fe80::1"), Side.INSIDE)
    assert look_up("::ffff:198.51.100.7") == (Observable(Kind.IPV4, "198.51.100.7"), Side.OUTSIDE)
    assert look_up("") is None
    assert look_up("host") is None
    assert side_of(IPv4Address("239.255.255.250"), OWN) is Side.NOBODY

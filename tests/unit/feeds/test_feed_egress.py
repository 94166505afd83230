from __future__ import annotations

import threading
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.feeds.addresses import is_inside, objection
from threatshare.feeds.egress import Guard, Limits, Refusal

METADATA = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
NEVER = [*METADATA, "0.0.0.0", "::", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255", "240.0.0.1"]
INSIDE = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "169.254.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "192.0.2.1",
    "::1",
    "fe80::1",
    "fc00::1",
    "fec0::1",
    "2001:db8::1",
    "64:ff9b:1::1",
    "5f00::1",
]
PUBLIC = ["8.8.8.8", "193.0.6.139", "2a00:1450:4001::1", "2606:4700::1111"]
SPELLINGS = ["::ffff:{}", "64:ff9b::{}", "2002:{hex}::", "2001:0:4136:e378:8000:63bf:{inverted}"]


def test_what_is_plainly_inside() -> None:
    """Of a site's own network are loopback, RFC 1918 and ULA alone: no metadata service, link-local or shared space."""
    inside = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "::1", "fc00::1"]
    assert [text for text in (*INSIDE, *NEVER, *PUBLIC) if is_inside(ip_address(text))] == inside


@pytest.mark.parametrize("text", NEVER)
@pytest.mark.parametrize("allow_private", [True, False])
def test_never(text: str, allow_private: bool) -> None:
    """Metadata services, multicast and unassigned addresses are refused whatever the configuration says."""
    assert objection(ip_address(text), allow_private) is not None


@pytest.mark.parametrize("text", INSIDE)
def test_inside(text: str) -> None:
    """Addresses inside somebody's walls are refused unless the feed's host is meant to be there."""
    assert objection(ip_address(text), False) is not None
    assert objection(ip_address(text), True) is None


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """Public addresses are let through."""
    assert objection(ip_address(text), False) is None


def _spelled(address: IPv4Address) -> list[IPv6Address]:
    packed = f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
    inverted = int(address) ^ 0xFFFF_FFFF
    values = {"hex": packed, "inverted": f"{inverted >> 16:x}:{inverted & 0xFFFF:x}"}
    return [IPv6Address(form.format(address, **values)) for form in SPELLINGS]


@given(st.ip_addresses(v=4), st.booleans())
def test_other_spellings(address: IPv4Address, allow_private: bool) -> None:
    """An IPv4 address written as IPv6 (mapped, NAT64, 6to4, Teredo) is judged as the IPv4 address that it is."""
    for other in _spelled(address):
        assert objection(other, allow_private) == objection(address, allow_private), other


@given(st.ip_addresses())
def test_permission_only_widens(address: IPv4Address | IPv6Address) -> None:
    """What is let through without permission is let through with it."""
    if objection(address, False) is None:
        assert objection(address, True) is None


class Seconds:
    """A monotonic clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _guard(clock: Seconds, *addresses: str) -> Guard:
    limits = Limits(page_seconds=10, run_seconds=25, max_bytes=1000, silence_seconds=4)
    return Guard(limits, clock, False, lambda host, port: addresses)


def test_patience_shrinks() -> None:
    """A socket may wait for the silence allowed, then for what is left of the page, then not at all."""
    clock = Seconds()
    guard = _guard(clock)
    guard.begin(1000)
    assert guard.patience() == 4
    clock.now = 8
    assert guard.patience() == 2
    clock.now = 10
    with pytest.raises(Refusal, match="the answer took longer than 10 s"):
        guard.patience()


def test_run_ends_within_a_page() -> None:
    """A page has no more time than its run."""
    clock = Seconds()
    guard = _guard(clock)
    clock.now = 22
    guard.begin(1000)
    assert guard.patience() == 3
    clock.now = 25
    with pytest.raises(Refusal, match="the run took longer than 25 s"):
        guard.patience()


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::ffff:127.0.0.1"]])
def test_one_bad_address_is_enough(addresses: list[str]) -> None:
    """A name of which any address is refused is not connected to at all, not even at its other addresses."""
    guard = _guard(Seconds(), *addresses)
    guard.begin(1000)
    with pytest.raises(Refusal, match=r"feed\.test is ") as caught:
        guard.connect("feed.test", 443)
    can_be_allowed = "169" not in str(caught.value)
    assert ("set allow_private_address" in str(caught.value)) == can_be_allowed


def test_slow_resolver() -> None:
    """A name server that does not answer costs no more than the time that a connection may take."""
    never = threading.Event()
    limits = Limits(page_seconds=0.1, run_seconds=1, max_bytes=1000)

    def resolve(host: str, port: int) -> list[str]:
        never.wait(10)
        return []

    guard = Guard(limits, time.monotonic, True, resolve)
    guard.begin(1000)
    began = time.monotonic()
    with pytest.raises(Refusal, match="was not resolved in time"):
        guard.connect("feed.test", 443)
    assert time.monotonic() - began < 5
    never.set()

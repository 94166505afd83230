"""Hard known-benign values: reserved ranges and names, empty files, bare suffixes; documentation apart."""

from __future__ import annotations

import subprocess
import sys
from hashlib import md5, sha1, sha256, sha512
from ipaddress import ip_network
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.model import Kind, Observable
from threatshare.stix.observables import canonical, recognise
from threatshare.triage import benign
from threatshare.triage.benign import documentation, hard_benign, known_benign
from threatshare.triage.public_suffixes import is_public_suffix

RESERVED = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.88.99.1",
    "192.168.1.1",
    "198.19.255.255",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "64:ff9b::1",
    "100::1",
    "2001::1",
    "2002:808:808::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "1000::1",
    "::ffff:10.0.0.1",
    "printer.local",
    "router.home.arpa",
    "4.3.2.1.in-addr.arpa",
    "build.internal",
    "nas.lan",
    "nothing.invalid",
    "foo.localhost",
    "co.uk",
    "github.io",
    "anything.ck",
    "xn--55qx5d.cn",
    "http://10.0.0.1/x",
    "http://[fe80::1]/x",
    "http://localhost.localdomain/",
    "root@mail.corp",
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
]
DOCUMENTATION = [
    "192.0.2.1",
    "198.51.100.255",
    "203.0.113.0/28",
    "2001:db8::1",
    "3fff::1",
    "example.com",
    "www.example.org",
    "c2.example",
    "evil.test",
    "http://203.0.113.7/a",
    "http://[2001:db8::7]:8080/a",
    "https://login.example.net/a",
    "jane@example.com",
    "00:00:5e:00:53:af",
]
ORDINARY = [
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.0.3.0",
    "223.255.255.255",
    "93.184.0.0/16",
    "2a00:1450::1",
    "2001:200::1",
    "2620:4f:8001::1",
    "example.ru",
    "notexample.com",
    "example.com.evil.ru",
    "contest.ru",
    "evil.co.uk",
    "evil.github.io",
    "www.ck",
    "abcdefghijklmnop.onion",
    "https://s3.amazonaws.com/bucket/x.exe",
    "https://github.io/x",
    "jane@co.uk.ru",
    "00:16:3e:12:34:56",
    "a" * 64,
]


@pytest.mark.parametrize("text", RESERVED)
def test_reserved_everywhere(text: str) -> None:
    """Reserved values are benign on every node, and are no documentation."""
    value = recognise(text)
    assert hard_benign(value)
    assert documentation(value) is None
    assert {known_benign(value, purpose) for purpose in ("live", "demo", "exercise")} == {hard_benign(value)}


@pytest.mark.parametrize("text", DOCUMENTATION)
def test_documentation_only_where_it_is_wanted(text: str) -> None:
    """Documentation values are benign on live nodes; demo and exercise nodes let them through."""
    value = recognise(text)
    assert documentation(value)
    assert known_benign(value, "live") == hard_benign(value) == documentation(value)
    assert known_benign(value, "demo") is known_benign(value, "exercise") is None


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_values_are_no_matter(text: str) -> None:
    """Ordinary values, also the neighbours of reserved ranges and look-alikes of reserved names, are not touched."""
    value = recognise(text)
    assert hard_benign(value) is None
    assert documentation(value) is None


@pytest.mark.parametrize(
    ("network", "wide"),
    [
        ("8.8.0.0/16", False),
        ("8.0.0.0/15", True),
        ("2a00:1450::/32", False),
        ("2a00:1450::/31", True),
        ("2a00::/12", True),
    ],
)
def test_wide_networks(network: str, wide: bool) -> None:
    """A network wider than /16 (IPv6: /32) is no evidence against anybody."""
    name = hard_benign(recognise(network) if "." in network else canonical(Kind.IPV6, network))
    assert (name is not None and "wider" in name) is wide


@pytest.mark.parametrize(
    "network", ["192.0.2.0/23", "192.0.0.0/22", "203.0.112.0/20", "9.0.0.0/7", "0.0.0.0/0", "::/0", "2000::/3"]
)
def test_networks_that_only_overlap(network: str) -> None:
    """A network that overlaps a reserved range is benign on every node, even where that range is documentation."""
    value = canonical(Kind.IPV6 if ":" in network else Kind.IPV4, network)
    assert known_benign(value, "demo") == hard_benign(value) is not None


def test_empty_and_eicar_files() -> None:
    """The hashes in the table are those of the empty file and of the EICAR test file."""
    # Put together here, so that no scanner takes this file for the thing itself.
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
    for content, name in ((b"", "empty file"), (eicar, "EICAR test file")):
        for kind, of in {Kind.MD5: md5, Kind.SHA1: sha1, Kind.SHA256: sha256, Kind.SHA512: sha512}.items():
            value = Observable(kind, of(content).hexdigest())
            assert hard_benign(value) == known_benign(value, "demo") == name
    assert len(benign._HASHES) == 8


def test_patterns_are_not_judged() -> None:
    """A pattern kept whole is neither benign nor documentation: nothing is guessed."""
    value = Observable(Kind.PATTERN, "[ipv4-addr:value = '10.0.0.1' AND url:value = 'http://10.0.0.1/']")
    assert hard_benign(value) is documentation(value) is None


def test_ranges_of_a_family_do_not_overlap() -> None:
    """The tables hold disjoint ranges, as their bisection needs."""
    networks = [ip_network(text) for text in benign._RESERVED_RANGES | benign._DOCUMENTATION_RANGES]
    for one, other in combinations(networks, 2):
        assert one.version != other.version or not one.overlaps(other)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_bisection_finds_what_a_walk_finds(address: int, prefix: int) -> None:
    """For any IPv4 network the table look-up agrees with a walk over all ranges."""
    network = ip_network((address, prefix), strict=False)
    walk = [
        name
        for text, name in (benign._RESERVED_RANGES | benign._DOCUMENTATION_RANGES).items()
        if ip_network(text).version == 4 and ip_network(text).overlaps(network)
    ]
    found = hard_benign(canonical(Kind.IPV4, str(network)))
    if walk:
        assert found is not None
        assert any(name in found for name in walk)
    else:
        assert (found is None) == (prefix >= 16)


def test_every_boundary() -> None:
    """The first and last address of every range are inside, and those next to it are judged for themselves."""
    networks = sorted(ip_network(text) for text in benign._RESERVED_RANGES if ":" not in text)
    for one, following in pairwise(networks):
        for edge in (one.network_address, one.broadcast_address):
            assert hard_benign(Observable(Kind.IPV4, str(edge)))
        if int(one.broadcast_address) + 1 < int(following.network_address):
            after = Observable(Kind.IPV4, str(one.broadcast_address + 1))
            assert (hard_benign(after) is None) or documentation(after)


def test_light_to_import() -> None:
    """Importing the lists and asking for an address loads no public suffix list."""
    code = (
        "import sys; from threatshare.triage.benign import hard_benign; from threatshare.model import *;"
        "hard_benign(Observable(Kind.IPV4, '8.8.8.8'));"
        "assert not {'publicsuffixlist', 'idna', 'stix2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_suffixes_are_those_of_the_library() -> None:
    """What the list speaks of, below it and beside it, is a suffix exactly where the library says so."""
    from publicsuffixlist import PublicSuffixList

    library = PublicSuffixList(accept_encoded_idn=False)
    names = ["com", "co.uk", "foo.ck", "www.ck", "city.kobe.jp", "kobe.jp", "x.kobe.jp", "y.x.kobe.jp", "github.io"]
    names += ["none-such", "a.none-such", "example.com", "a.example.co.uk", "公司.cn", "a.公司.cn", "blogspot.com"]
    assert [is_public_suffix(name) for name in names] == [library.is_public(name) for name in names]
    assert is_public_suffix("xn--55qx5d.cn")
    assert not is_public_suffix("a.xn--55qx5d.cn")

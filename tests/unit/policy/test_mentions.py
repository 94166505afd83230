"""Our own names and addresses within other values: spelled out, meant, and in time that grows with length only."""

from __future__ import annotations

import base64
from dataclasses import replace
from time import process_time

import pytest

from gate_builders import OWN_ASSETS, ask, facts, our_indicator, partner, rules_against
from threatshare.model import Verdict
from threatshare.policy.mentions import ADDRESS, DOMAIN, mentioned, named
from threatshare.policy.never_share import NeverShare
from threatshare.policy.privacy import hits
from threatshare.stix.observables import recognise

REFUSE, HOLD = Verdict.REFUSE, Verdict.HOLD


def verdict(text: str) -> Verdict | None:
    """Gives the strictest verdict of the gate's rules about ourselves on one value."""
    value = recognise(text)
    against = rules_against(ask(our_indicator(value), [value]), partner())
    ours = [one for rule, one in against if rule.startswith(("own-", "privacy-own-"))]
    return REFUSE if REFUSE in ours else HOLD if ours else None


@pytest.mark.parametrize(
    "text",
    ["?ip=45.10.2.67.", "45.10.2.67.txt", "?ip=045.010.002.067", "?ip=::ffff:2d0a:243", "?ip=%3A%3Affff%3A45.10.2.67"],
)
def test_an_address_spelled_out_is_refused(text: str) -> None:
    """An address of ours is refused with a full stop or a file's ending behind it, zeros in it, or as IPv6."""
    assert verdict("http://evil.ru/" + text) is REFUSE


@pytest.mark.parametrize(
    "text",
    [
        "http://evil.ru/?ip=45.10.2.67.80",
        "http://evil.ru/?ip=1.45.10.2.67",
        "http://evil.ru/?ip=755630659",
        "http://evil.ru/?ip=0x2d0a0243",
        "http://evil.ru/?ip=45-10-2-67",
        "http://evil.ru/?ip=45_10_2_67",
        "http://evil.ru/?q=67.2.10.45.in-addr.arpa",
        "http://45-10-2-67.evil.ru/",
        "45-10-2-67.evil.ru",
        "http://bob.our-company.de.evil.ru/",
        "bob.our-company.de.evil.ru",
        "http://bob-at-our-company-de.evil.ru/",
        "http://evil.ru/personal/bob_our-company_de/x",
        "http://" + base64.b64encode(b"bob@our-company.de").decode().rstrip("=").lower() + ".evil.ru/",
    ],
)
def test_what_means_ours_is_held(text: str) -> None:
    """An address written otherwise, and our names among a host's labels, wait for a person."""
    assert verdict(text) is HOLD


@pytest.mark.parametrize(
    "label", [b"bob@our-company.de".hex(), base64.b32encode(b"bob@our-company.de").decode().rstrip("=").lower()]
)
def test_an_encoded_mail_address_in_a_host_is_refused(label: str) -> None:
    """A mail address of ours in a label of a host, in hexadecimal or base32, stays here."""
    assert verdict(f"http://{label}.evil.ru/") is REFUSE


def test_an_address_in_a_hosts_labels_is_refused() -> None:
    """An address of ours spelled out before somebody else's domain is refused."""
    assert verdict("http://45.10.2.67.evil.ru/") is REFUSE
    assert mentioned(recognise("45.10.2.67.evil.ru"), OWN_ASSETS) == ADDRESS


@pytest.mark.parametrize(
    "text",
    [
        "http://evil.ru/?t=1771556400",
        "http://evil.ru/45.100.2.67.txt",
        "http://evil.ru/1.2.3.4.5/2026-11-22",
        "http://my-our-company.de.ru/",
        "http://our-company.de.evil.ru/",
        "our-company.de.evil.ru",
        "http://45.66.77.88/",
    ],
)
def test_what_is_not_ours_is_left(text: str) -> None:
    """Other addresses, times, versions and longer names are let go."""
    assert verdict(text) is None


def seconds(times: int) -> float:
    text = "http://evil.ru/" + ".our-company.de" * times
    best = 9e9
    for _ in range(3):
        start = process_time()
        assert named([text], OWN_ASSETS) == DOMAIN
        best = min(best, process_time() - start)
    return best


def test_the_search_grows_with_length_only() -> None:
    """A text of four times the length takes about four times as long, not sixteen times."""
    assert seconds(8_000) < 8 * seconds(2_000)


@pytest.mark.parametrize("piece", ["1.", "a@", "41 ", "%41", "aB.", "6a:", "a-at-", "x=", "\\x41", "/user/", "a_"])
def test_no_text_keeps_the_search_busy(piece: str) -> None:
    """Sixteen thousand characters of any repeated piece are searched in under a second."""
    value = recognise("http://evil.ru/a")
    content = our_indicator(value) | {"description": piece * (16_000 // len(piece))}
    start = process_time()
    hits(ask(content, [value]), facts().own, b"k" * 32)
    assert process_time() - start < 1


@pytest.mark.parametrize("text", ["45.10.2.67.", "45-10-2-67", "755630659", "::ffff:2d0a:243"])
def test_never_share_knows_the_same_forms(text: str) -> None:
    """What never-share.toml lists as a network is refused in the same forms as ours."""
    listed = replace(NeverShare(), networks=OWN_ASSETS.networks)
    assert listed.names(recognise(f"http://evil.ru/?ip={text}")) == "a network"

"""Links of mails: how browsers read them, and what redirectors hide."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from threatshare.findings.formats.mail_links import Found, Use, found_in_html, found_in_text, unwrapped
from threatshare.model import Kind

INNER = "https://evil.test/a/b?c=d&e=f"


def links(html: str) -> list[str]:
    return [one.text for one in found_in_html(html) if one.kind is Kind.URL and one.use is Use.LINK]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href=" https://evil.test/a\n/b ">', "https://evil.test/a/b"),
        ('<a href="https:\\\\evil.test\\a">', "https://evil.test/a"),
        ('<a href="https:/evil.test/a">', "https://evil.test/a"),
        ('<a href="//evil.test/a">', "https://evil.test/a"),
        ('<base href="https://evil.test/x/"><a href="a">', "https://evil.test/x/a"),
        ('<area href="https://evil.test/a">', "https://evil.test/a"),
        ('<iframe src="https://evil.test/a">', "https://evil.test/a"),
        ('<form action="https://evil.test/a">', "https://evil.test/a"),
        ('<button formaction="https://evil.test/a">', "https://evil.test/a"),
        ('<meta http-equiv="refresh" content="0; URL=\'https://evil.test/a\'">', "https://evil.test/a"),
        ('<svg><a xlink:href="https://evil.test/a">', "https://evil.test/a"),
        ("<p>ht<b>tps://evil.test</b>/a", "https://evil.test/a"),
        ("<p>https://evil.\u200btest/a", "https://evil.test/a"),
        ('<a href="&#104;ttps://evil.test/a">', "https://evil.test/a"),
    ],
)
def test_where_a_mail_leads(html: str, expected: str) -> None:
    """Addresses are read as browsers do, from every attribute that leads somewhere."""
    assert links(html) == [expected]


@pytest.mark.parametrize(
    "href", ["javascript:x", "data:text/html,x", "cid:a@b.test", "tel:1", "#top", "a/b", "", "file:///x"]
)
def test_what_leads_nowhere(href: str) -> None:
    """Scripts, embedded data, parts of the mail and relative links are no places."""
    assert not links(f'<a href="{href}">x</a>')


def test_what_a_link_shows() -> None:
    """Another site shown is the imitated one; the same site shown says nothing new; words are words."""
    html = '<a href="https://evil.test/a">www.bank.test</a><a href="https://evil.test/b">evil.test</a><a href="https://x.test/">go'
    assert [one for one in found_in_html(html) if one.use is Use.SHOWN] == [
        Found(Kind.DOMAIN, "www.bank.test", Use.SHOWN)
    ]


def test_mail_addresses_of_links_and_text() -> None:
    """``mailto:`` without its subject, and addresses in the text."""
    html = '<a href="mailto:a%40evil.test?subject=x">write</a> or b@evil.test'
    assert [one.text for one in found_in_html(html)] == ["a@evil.test", "b@evil.test"]


def test_hashes_in_a_mail_say_nothing() -> None:
    """Order numbers and message ids look like file hashes; nobody sends those in a phish."""
    assert not list(found_in_text("Order d41d8cd98f00b204e9800998ecf8427f"))


SAFE = "eur01.safelinks.protection.outlook.com"
PROOF = "urldefense.proofpoint.com"
ESCAPED = quote(INNER, safe="")


@pytest.mark.parametrize(
    ("url", "wrapper"),
    [
        (f"https://{SAFE}/?url={ESCAPED}&data=x&reserved=0", SAFE),
        (f"https://{PROOF}/v1/url?u={ESCAPED}&k=x", PROOF),
        (f"https://{PROOF}/v2/url?u=https-3A__evil.test_a_b-3Fc-3Dd-26e-3Df&d=x&c=y", PROOF),
        ("https://urldefense.com/v3/__https://evil.test/a/b*c=d&e=f__;Pw!!x!y$", "urldefense.com"),
        ("https://urldefense.com/v3/__https:/evil.test/a/b?c=d&e=f__;!!x!y$", "urldefense.com"),
        (f"https://www.google.com/url?sa=t&q={ESCAPED}&usg=x", "www.google.com"),
        (f"https://www.google.co.uk/url?url={ESCAPED}", "www.google.co.uk"),
        ("https://www.google.com/amp/s/evil.test/a/b?c=d&e=f", "www.google.com"),
    ],
)
def test_redirectors(url: str, wrapper: str) -> None:
    """The address inside comes out as it was, whoever wrapped it."""
    assert unwrapped(url) == (INNER, (wrapper,))


def test_runs_of_characters_in_proofpoint_links() -> None:
    """``**`` and a letter stand for as many characters as the letter says: A two, B three."""
    left_out = base64.urlsafe_b64encode(b"?&#").decode().rstrip("=")
    assert (
        unwrapped(f"https://urldefense.com/v3/__https://evil.test/a**B/*__;{left_out}!!x").url
        == "https://evil.test/a?&#/"
    )


def test_redirectors_within_redirectors() -> None:
    """They come off one by one, from the outside in, to a limit."""
    url = INNER
    for _ in range(3):
        url = f"https://eur01.safelinks.protection.outlook.com/?url={quote(url, safe='')}"
    assert unwrapped(url) == (INNER, ("eur01.safelinks.protection.outlook.com",) * 3)
    url = f"https://www.google.com/url?q={quote(url, safe='')}"
    assert unwrapped(url).wrappers[0] == "www.google.com"


def test_a_redirector_that_does_not_tell() -> None:
    """Mimecast keeps the address to itself: nothing is left."""
    assert unwrapped("https://protect-us.mimecast.com/s/abc?domain=evil.test") == ("", ("protect-us.mimecast.com",))
    assert unwrapped("https://url.uk.m.mimecastprotect.com/s/abc").url == ""


@pytest.mark.parametrize(
    "url",
    [
        INNER,
        "https://www.google.com/maps?q=https://evil.test/",
        "https://safelinks.protection.outlook.com.evil.test/?url=https://x.test/",
        "https://urldefense.com/other",
        "no url",
    ],
)
def test_other_links_stay(url: str) -> None:
    """What only looks like a redirector is left alone."""
    assert unwrapped(url) == (url, ())

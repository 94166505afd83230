"""Phishing mail: where it came in, who is vouched for, what it links to and brings along, and who got it."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from ipaddress import ip_network
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats.mail import MailReader
from threatshare.findings.formats.mail_parts import MAX_MAIL
from threatshare.model import Finding, Reject, Role

OWN = OwnAssets(
    networks=(ip_network("198.51.100.0/24"),),
    domains=("corp.example",),
    mail_domains=("corp.example",),
    mail_servers=("mx.provider.example",),
)
NOBODY = OwnAssets()
CAME_IN = (
    "from mail.evil.test (mail.evil.test [203.0.113.9])\n\tby mx.corp.example (Postfix) with ESMTPS id 4Xq\n"
    "\tfor <anna.lee@corp.example>; Thu, 19 Nov 2026 08:00:00 +0100"
)
INSIDE = (
    "from mx.corp.example (mx.corp.example [10.0.0.5])\n\tby store.corp.example (Postfix) with ESMTP id 9;\n"
    "\tThu, 19 Nov 2026 07:00:05 +0000"
)
FORGED = (
    "from innocent.test (innocent.test [192.0.2.66]) by mx.corp.example (Postfix) with ESMTP id 1; "
    "Thu, 19 Nov 2026 06:00:00 +0000"
)
PASSED = (
    "mx.corp.example; spf=pass smtp.mailfrom=evil.test; dkim=pass header.d=evil.test; dmarc=pass header.from=evil.test"
)
FAILED = "mx.corp.example; spf=pass smtp.mailfrom=evil.test; dmarc=fail (p=reject) header.from=bank.test"
TEXT = "Dear customer,\nplease open https://login.evil.test/a/b?id=7 now.\n"


def phish(*headers: tuple[str, str], text: str = TEXT, html: str | None = None, **fields: str) -> EmailMessage:
    """A phish as our server stored it; ``headers`` stand on top, ``fields`` replace the usual ones."""
    mail = EmailMessage()
    for name, value in headers:
        mail.add_header(name, value.replace("\n", "").replace("\t", " "))
    usual = {
        "From": "Bank <info@evil.test>",
        "To": "Anna Lee <anna.lee@corp.example>",
        "Subject": "Your account",
        "Date": "Thu, 19 Nov 2026 06:59:00 +0000",
        "Message-ID": "<1@evil.test>",
    }
    for name, value in {**usual, **{key.replace("_", "-"): value for key, value in fields.items()}}.items():
        mail[name] = value
    mail.set_content(text)
    if html is not None:
        mail.add_alternative(html, subtype="html")
    return mail


def read(mail: EmailMessage | bytes, own: OwnAssets = OWN) -> list[Finding | Reject]:
    data = mail if isinstance(mail, bytes) else mail.as_bytes()
    assert isinstance(mail, bytes) or MailReader().recognises(data[:65_536], "x")
    return list(MailReader().read(io.BytesIO(data), "x.eml", own))


def finding(mail: EmailMessage | bytes, own: OwnAssets = OWN) -> Finding:
    (only,) = read(mail, own)
    assert isinstance(only, Finding), only
    return only


def roles(mail: EmailMessage | bytes, own: OwnAssets = OWN) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in finding(mail, own).observations}


def why(mail: EmailMessage | bytes, value: str, own: OwnAssets = OWN) -> str:
    return next(seen.why for seen in finding(mail, own).observations if seen.observable.value == value)


# --- the trust boundary --------------------------------------------------------------------------------------------


def test_the_host_that_our_server_took_the_mail_from_is_the_attacker() -> None:
    """Our inner relay is passed over, the line of our outer server counts, what stands below it never does."""
    mail = phish(("Received", INSIDE), ("Received", CAME_IN), ("Received", FORGED))
    found = roles(mail)
    assert found["203.0.113.9"] == "attacker"
    assert "192.0.2.66" not in found
    assert "10.0.0.5" not in found


@pytest.mark.parametrize("inner", ["[::ffff:10.0.0.5]", "[IPv6:fd00::1]", "[198.51.100.3]", "[127.0.0.1]"])
def test_relays_inside_our_walls_are_passed_over(inner: str) -> None:
    """Internal addresses and our own public ones, in any spelling, are no senders."""
    relay = f"from gw.test (unknown {inner}) by store.corp.example (Postfix) with LMTP; Thu, 19 Nov 2026 07:00:05 +0000"
    assert roles(phish(("Received", relay), ("Received", CAME_IN)))["203.0.113.9"] == "attacker"


@pytest.mark.parametrize(
    "sent",
    [
        "mail.evil.test ([203.0.113.9] helo=[192.0.2.1])",
        "[203.0.113.9] (helo=innocent.test)",
        "unknown (HELO innocent.test) (203.0.113.9)",
        "mail.evil.test (203.0.113.9)",
        "[192.0.2.1] (unknown [203.0.113.9]) (using TLSv1.3 with cipher X (256/256 bits))",
        "mail.evil.test (mail.evil.test. [203.0.113.9])",
    ],
)
def test_the_forms_of_mail_servers(sent: str) -> None:
    """Exim, qmail, Exchange, Postfix and Google write the other end's address in their own ways."""
    line = f"from {sent} by mx.corp.example with ESMTPS id 1; Thu, 19 Nov 2026 07:00:05 +0000"
    found = roles(phish(("Received", line)))
    assert found["203.0.113.9"] == "attacker"
    assert "192.0.2.1" not in found


def test_a_line_that_names_two_addresses_or_servers_decides_nothing() -> None:
    """A HELO that is made to look like a server's words leaves the line unread."""
    for sent in ("a (b [192.0.2.1]) (unknown [203.0.113.9])", "a by mx.corp.example (unknown [203.0.113.9])"):
        line = f"from {sent} by mx.corp.example with ESMTP id 1; Thu, 19 Nov 2026 07:00:05 +0000"
        assert not [value for value in roles(phish(("Received", line), ("Received", FORGED))) if value == "192.0.2.1"]
        assert "attacker" not in roles(phish(("Received", line), ("Received", FORGED))).values()


def test_the_moment_is_our_own_servers() -> None:
    """The date of our line counts, in UTC, not the one that the sender wrote; without ours, the sender's."""
    assert finding(phish(("Received", CAME_IN))).seen_at == datetime(2026, 11, 19, 7, tzinfo=UTC)
    assert finding(phish()).seen_at == datetime(2026, 11, 19, 6, 59, tzinfo=UTC)


@pytest.mark.parametrize("date", ["Thu, 19 Nov 2099 06:59:00 +0000", "yesterday", ""])
def test_a_date_that_cannot_be_is_not_taken(date: str) -> None:
    """A date in the future, or none, gives the file's own time, which is never in the future."""
    before = datetime.now(UTC)
    assert before <= finding(phish(Date=date)).seen_at <= datetime.now(UTC)


def test_without_a_server_of_ours_the_sending_host_is_held() -> None:
    """Nothing tells which line is ours: mail_servers would decide; the provider's own hops are no candidates."""
    relay = (
        "from a.hosting.test (2001:db8::1) by b.hosting.test (2001:db8::2) with HTTPS; Thu, 19 Nov 2026 07:00:09 +0000"
    )
    edge = (
        "from mail.evil.test (203.0.113.9) by edge.hosting.test (10.1.1.1) with SMTP; Thu, 19 Nov 2026 07:00:08 +0000"
    )
    mail = phish(("Received", relay), ("Received", edge))
    assert roles(mail, NOBODY)["203.0.113.9"] == "unknown"
    assert "2001:db8::1" not in roles(mail, NOBODY)
    assert "mail_servers in own-assets.toml" in why(mail, "203.0.113.9", NOBODY)
    servers = OwnAssets(mail_servers=("hosting.test",), networks=(ip_network("2001:db8::/64"),))
    assert roles(mail, servers)["203.0.113.9"] == "attacker"


def test_a_line_in_our_name_below_a_strangers_is_forged() -> None:
    """A mail from a customer's mailbox names his provider first; a line in our name below that frames somebody."""
    theirs = "from x (x [203.0.113.50]) by mail.isp.test (Postfix); Thu, 19 Nov 2026 07:00:00 +0000"
    found = roles(phish(("Received", theirs), ("Received", FORGED)))
    assert found["203.0.113.50"] == "unknown"
    assert "192.0.2.66" not in found


def test_a_stranger_who_calls_himself_ours_decides_nothing() -> None:
    """A HELO in our name from an unknown address may be a relay of ours or a trick: what lies behind it is held."""
    relay = "from mx.corp.example (unknown [203.0.113.9]) by mx.corp.example (Postfix); Thu, 19 Nov 2026 07:00:00 +0000"
    mail = phish(("Received", relay), ("Received", FORGED))
    assert roles(mail)["192.0.2.66"] == "unknown"
    assert "networks in own-assets.toml" in why(mail, "192.0.2.66")
    assert roles(phish(("Received", relay)))["203.0.113.9"] == "unknown"


def test_a_relay_of_ours_whose_name_was_looked_up_is_passed_over() -> None:
    """``(name [address])``: Postfix found that name and address lead to each other."""
    gateway = (
        "from a (in1.mx.provider.example [203.0.113.77]) by mx.corp.example (Postfix); Thu, 19 Nov 2026 07:00:00 +0000"
    )
    edge = "from evil (unknown [203.0.113.9]) by in1.mx.provider.example; Thu, 19 Nov 2026 07:00:00 +0000"
    assert roles(phish(("Received", gateway), ("Received", edge)))["203.0.113.9"] == "attacker"


def test_a_user_who_logged_in_is_no_attacker() -> None:
    """A session with a login comes from a user's own address, or a stolen account: a person must say."""
    login = "from phone ([203.0.113.9]) by mx.corp.example (Postfix) with ESMTPSA id 1; Thu, 19 Nov 2026 07:00:00 +0000"
    assert roles(phish(("Received", login)))["203.0.113.9"] == "unknown"


def test_addresses_that_senders_claim_are_never_read() -> None:
    """X-Originating-IP, X-Sender-IP and a HELO that looks like an address are the sender's words."""
    helo = (
        "from [192.0.2.1] (HELO 192.0.2.2) (203.0.113.9) by mx.corp.example with SMTP; Thu, 19 Nov 2026 07:00:00 +0000"
    )
    found = roles(phish(("X-Sender-IP", "192.0.2.3"), ("Received", helo), ("X-Originating-IP", "[192.0.2.4]")))
    assert [value for value in found if value[0].isdigit()] == ["203.0.113.9"]


# --- senders -------------------------------------------------------------------------------------------------------


def test_a_sender_that_our_server_vouches_for_is_a_phish_sender() -> None:
    """DMARC passed: the address is the sender's own; its domain is held, since a mailbox may have been taken over."""
    mail = phish(("Return-Path", "<bounce@evil.test>"), ("Received", CAME_IN), ("Authentication-Results", PASSED))
    found = roles(mail)
    assert found["info@evil.test"] == "phish-sender"
    assert found["bounce@evil.test"] == "phish-sender"
    assert found["evil.test"] == "unknown"


def test_a_spoofed_sender_is_a_victim() -> None:
    """DMARC failed: address and site of From are imitated, the envelope's sender passed SPF on its own."""
    mail = phish(
        ("Return-Path", "<bounce@evil.test>"),
        ("Received", CAME_IN),
        ("Authentication-Results", FAILED),
        From="Bank <service@bank.test>",
        text="See https://www.bank.test/help and https://login.evil.test/\n",
    )
    found = roles(mail)
    assert found["service@bank.test"] == "victim-asset"
    assert found["https://www.bank.test/help"] == "third-party"
    assert found["bounce@evil.test"] == "phish-sender"
    assert found["https://login.evil.test/"] == "payload"


@pytest.mark.parametrize(
    ("place", "results"),
    [
        ("above", "mx.other.test; dmarc=pass header.from=evil.test"),
        ("above", "mx.corp.example; dmarc=none header.from=evil.test; dkim=pass header.d=other.test"),
        ("below", "mx.corp.example; dmarc=pass header.from=evil.test"),
        ("above", "mx.corp.example; none"),
        ("above", "mx.corp.example (dmarc=pass header.from=evil.test); spf=none"),
        ("none", ""),
    ],
)
def test_senders_without_our_servers_word_are_held(place: str, results: str) -> None:
    """Another server's line, one below the first foreign Received line, an unaligned pass, or none at all."""
    line = [("Authentication-Results", results)]
    above, below = (line if place == "above" else []), (line if place == "below" else [])
    mail = phish(("Received", CAME_IN), *above, ("Received", FORGED), *below, Reply_To="x@gmail.com")
    found = roles(mail)
    assert found["info@evil.test"] == "unknown"
    assert found["x@gmail.com"] == "unknown"
    assert why(mail, "info@evil.test").endswith("; held")


def test_contradicting_results_decide_nothing() -> None:
    """A second line in our name with another result is a forgery, and nobody can tell which."""
    mail = phish(
        ("Received", CAME_IN),
        ("Authentication-Results", PASSED),
        ("Authentication-Results", PASSED.replace("dmarc=pass", "dmarc=fail")),
    )
    assert roles(mail)["info@evil.test"] == "unknown"


def test_free_mail() -> None:
    """A vouched mailbox at a large provider is a sender as an address; the provider's domain is not proposed."""
    results = "mx.corp.example; dmarc=pass header.from=gmail.com; dkim=pass header.d=gmail.com"
    mail = phish(
        ("Received", CAME_IN),
        ("Authentication-Results", results),
        From="bank.service@gmail.com",
        Reply_To="y@gmail.com",
    )
    found = roles(mail)
    assert found["bank.service@gmail.com"] == "phish-sender"
    assert found["y@gmail.com"] == "unknown"
    assert "gmail.com" not in found


def test_a_display_name_is_no_address() -> None:
    """The address stands in angle brackets, whatever the name before it looks like."""
    mail = phish(("Received", CAME_IN), ("Authentication-Results", PASSED), From='"ceo@corp.example" <info@evil.test>')
    assert roles(mail)["info@evil.test"] == "phish-sender"
    assert not any("corp.example" in value for value in roles(mail))


# --- bodies --------------------------------------------------------------------------------------------------------


def test_links_are_payload_and_what_they_show_is_not() -> None:
    """The target counts; the address shown is the imitated one; the brand's pictures are references."""
    html = (
        '<p>Go to <a href="https://landing.test/login">https://www.bank.test/</a></p>'
        '<img src="https://www.bank.test/logo.png"><img src="https://cdn.landing.test/pixel.gif">'
        '<form action="https://drop.test/post"><a href="mailto:help@evil.test">x</a>'
    )
    assert {key: value for key, value in roles(phish(text="x\n", html=html)).items() if "@" not in key} == {
        "https://landing.test/login": "payload",
        "https://drop.test/post": "payload",
        "https://www.bank.test/": "reference",
        "https://www.bank.test/logo.png": "reference",
        "https://cdn.landing.test/pixel.gif": "unknown",
    }


def test_public_services_and_claimed_sites_are_held() -> None:
    """A page on a service that all use, and a page on the domain that the mail says it is from: a person decides."""
    mail = phish(text="https://github.com/x/y and https://github.com/ and https://www.evil.test/x and www.other.test\n")
    assert {key: value for key, value in roles(mail).items() if "@" not in key} == {
        "https://github.com/x/y": "unknown",
        "https://github.com/": "third-party",
        "https://www.evil.test/x": "unknown",
        "www.other.test": "unknown",
    }


def test_redirectors_are_taken_off() -> None:
    """The address inside is the payload, the filter's host a bystander, and what it says of the recipient is gone."""
    safe = (
        "https://eur01.safelinks.protection.outlook.com/?url="
        + quote("https://landing.test/a", safe="")
        + "&data=05%7C02%7Canna.lee%40corp.example%7C1"
    )
    found = finding(phish(text=f"x {safe} y\n"))
    values = {seen.observable.value: seen.role.value for seen in found.observations}
    assert values["https://landing.test/a"] == "payload"
    assert values["eur01.safelinks.protection.outlook.com"] == "third-party"
    named = safe.replace("eur01", "anna-lee")
    assert not any("anna" in value for value in roles(phish(text=f"x {named} y\n")))
    assert not any("anna" in value for value in values)


def test_attachments_are_hashed_and_pictures_of_the_text_are_not() -> None:
    """MD5, SHA-1 and SHA-256 of the decoded file; a page that goes as a file is a file; names go nowhere."""
    mail = phish(text="see file\n", html='<img src="cid:logo">')
    mail.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>")  # type: ignore[union-attr, index]
    mail.add_attachment(b"PK\x03\x04evil", "application", "zip", filename="anna.lee.zip")
    mail.add_attachment("<a href='https://x.test/'>", subtype="html", filename="invoice.html")
    found = finding(mail)
    hashes = {seen.observable.value for seen in found.observations if seen.role is Role.PAYLOAD}
    for data in (b"PK\x03\x04evil", b"<a href='https://x.test/'>\n"):
        assert {hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256")} <= hashes
    assert len(hashes) == 6
    assert "anna" not in repr(found)


def test_a_mail_that_is_forwarded_in_its_text_proposes_its_files_only() -> None:
    """Sender, host and links may be the reporter's own; he should attach the mail."""
    results = "mx.corp.example; dmarc=pass header.from=home.test"
    headers = (("Received", CAME_IN), ("Authentication-Results", results))
    marked = phish(*headers, From="bob@home.test", text="---------- Forwarded message ---------\n" + TEXT)
    subject = phish(*headers, From="bob@home.test", Subject="=?utf-8?q?Fwd=3A_your_account?=")
    for mail in (marked, subject):
        mail.add_attachment(b"PK\x03\x04evil", "application", "zip", filename="a.zip")
        found = finding(mail)
        assert {seen.observable.kind.stix_type for seen in found.observations if seen.role.is_indicator} == {"file"}
        assert "attachment" in next(seen.why for seen in found.observations if seen.observable.value == "203.0.113.9")


# --- reports that carry the phish ------------------------------------------------------------------------------------


def test_the_attached_mail_is_the_phish() -> None:
    """Whoever attaches a mail reports it: nothing of the report is read but who must be kept out."""
    inner = phish(("Received", CAME_IN), text="https://landing.test/a?u=bob.smith https://landing.test/b\n")
    report = EmailMessage()
    report["From"], report["To"], report["Subject"] = "bob.smith@home.test", "soc@corp.example", "phish?"
    report["Message-ID"] = "<2@home.test>"
    report.set_content("See https://home.test/about-me\n")
    report.add_attachment(inner)
    found = finding(report)
    values = {seen.observable.value: seen.role.value for seen in found.observations}
    assert values["203.0.113.9"] == "attacker"
    assert values["https://landing.test/a"] == "payload"
    assert values["https://landing.test/b"] == "payload"
    assert not any("home" in value or "bob" in value for value in values)


def test_an_attached_mail_in_any_wrapping_is_found() -> None:
    """As base64, against the rules, or as a file named .eml; two attached mails are two findings."""
    inner = phish().as_bytes()
    body = base64.encodebytes(inner).decode()
    for kind in ("message/rfc822", 'application/octet-stream; name="x.eml"'):
        outer = (
            "From: bob@home.test\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n"
            + f"--B\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n\n{body}\n" * 2
            + "--B--\n"
        )
        first, second = read(outer.encode())
        assert isinstance(first, Finding)
        assert first.title == "phishing mail"
        assert {seen.observable.value for seen in first.observations} == set(roles(inner))
        assert (first.place, second.place) == ("x.eml:1", "x.eml:1 (attached mail 2)")


def test_a_mail_in_outlooks_own_format_is_refused_and_its_carrier_not_taken_for_the_phish() -> None:
    """The report's own values are the reporter's; what to do is in the reason."""
    report = phish(From="bob@home.test")
    report.add_attachment(b"\xd0\xcf\x11\xe0", "application", "vnd.ms-outlook", filename="phish.msg")
    (only,) = read(report)
    assert isinstance(only, Reject)
    assert ".eml" in only.reason


# --- recipients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["To", "Cc", "Bcc", "Delivered-To", "X-Original-To", "Envelope-To"])
def test_recipients_of_every_header_are_kept_out(header: str) -> None:
    """Also out of links, of bounce addresses and of the text, and where the sender wrote to himself."""
    victim = "karl.heinz@victim.test"
    mail = phish(
        ("Return-Path", "<b+karl.heinz=victim.test@evil.test>"),
        text=f"Dear {victim}, https://evil.test/karl.heinz/x https://evil.test/?m={base64.b64encode(victim.encode()).decode()}\n",
        From=victim,
        To="list@evil2.test",
    )
    del mail[header]
    mail[header] = victim
    found = finding(mail, NOBODY)
    assert {seen.observable.value for seen in found.observations} == {"https://evil.test/"}
    assert {one.rule for one in found.removals} == {"recipient-in-url", "recipient-in-address"}
    assert "karl" not in repr(found)


def test_the_recipient_of_a_received_line_is_kept_out() -> None:
    """``for <...>`` names who got it, also where To does not."""
    mail = phish(("Received", CAME_IN), To="undisclosed-recipients:;", text="https://evil.test/a?u=anna.lee\n")
    assert "https://evil.test/a" in roles(mail, NOBODY)


ENCODERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "upper": str.upper,
    "reversed": lambda text: text[::-1],
    "base32": lambda text: base64.b32encode(text.encode()).decode().rstrip("="),
    "quoted-printable": lambda text: "".join(one if one.isalnum() else f"={ord(one):02X}" for one in text),
    "entities": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "escapes": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "hex with separators": lambda text: text.encode().hex("-"),
    "full width": lambda text: "".join(chr(ord(one) + 0xFEE0) for one in text),
    "sha512": lambda text: hashlib.sha512(text.encode()).hexdigest(),
    "md5 in base64": lambda text: base64.urlsafe_b64encode(hashlib.md5(text.encode()).digest()).decode().rstrip("="),
    "swapped": lambda text: ".".join(re.split("[._-]", text.partition("@")[0])[::-1]),
}


@given(
    st.from_regex(r"[a-z]{4,9}[._-][a-z]{2,8}", fullmatch=True),
    st.sampled_from(sorted(ENCODERS)),
    st.sampled_from(
        [
            "https://evil2.test/{}",
            "https://evil2.test/a?e={}&b=c",
            "https://{}.evil2.test/",
            "https://evil2.test/x/{}/y#z",
        ]
    ),
    st.sampled_from(["text", "href", "visible", "picture", "return-path", "reply-to"]),
    st.booleans(),
)
def test_no_encoding_of_a_recipient_leaves_a_mail(
    local: str, encoding: str, shape: str, place: str, whole: bool
) -> None:
    """Wherever a planted address stands and however it is written, no value and no field of a finding has it."""
    address = f"{local}@victim.test"
    planted = ENCODERS[encoding](address if whole else local)
    url = shape.format(planted)
    html = {
        "href": f'<a href="{url}">here</a>',
        "visible": f'<a href="https://evil3.test/">{url}</a>',
        "picture": f'<a href="https://evil2.test/q">q</a><img src="{url}">',
    }.get(place, "<p>x</p>")
    fields = {"To": address}
    if place in ("return-path", "reply-to"):
        fields[place] = f"<{planted.replace('@', '=')}@evil2.test>"
    mail = phish(
        ("Received", CAME_IN), text=f"{url if place == 'text' else 'x'} https://evil4.test/\n", html=html, **fields
    )
    found = repr(finding(mail, NOBODY)).lower()
    assert planted.rstrip("=").lower() not in found
    assert local not in found


# --- limits and recognition ----------------------------------------------------------------------------------


START = b"From: a@b.test\nMIME-Version: 1.0\n"
MULTIPART = b"Content-Type: multipart/mixed; boundary=b\n\n"
MBOX = b"From a@b Thu Nov 19 07:00:00 2026\nFrom: a@b.test\n"


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        (START + b"\n" + b"x" * MAX_MAIL, "bytes"),
        (START + b"\n" + b"\n" * 1_000_001, "lines"),
        (START + (MULTIPART + b"--b\n") * 5000, "multiparts"),
        (MBOX + b"\nx\n\n" + MBOX, "mailbox"),
        (START + b"\n" + b"".join(b"https://evil.test/%d\n" % n for n in range(5001)), "links"),
        (START + b"To: " + b",".join(b"a%d@b.test" % n for n in range(10_001)) + b"\n\nx", "recipients"),
        (START + MULTIPART + b"--b\n\nx\n" * 1001, "parts"),
        (START + b"Content-Type: text/plain;\n" + b" a=b;\n" * 5000 + b"\nx", "header"),
    ],
    ids=["bytes", "lines", "multiparts", "mailbox", "links", "recipients", "parts", "header"],
)
def test_a_mail_beyond_the_limits_is_one_reject(mail: bytes, reason: str) -> None:
    """Size, lines, nesting, parts, links and recipients have limits, and the reason names the one met."""
    (only,) = read(mail)
    assert isinstance(only, Reject)
    assert reason in only.reason
    assert only.place == "x.eml:1"


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Type: text/plain; charset=rot13\n\nhttps://evil.test/a",
        b"Content-Type: text/plain; charset=klingon\n\nhttps://evil.test/a \xff",
        b"Content-Type: text/plain; charset=utf-16-le\n\n" + "https://evil.test/a".encode("utf-16-le"),
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naHR0cHM6Ly9ldmlsLnRlc3QvYQ=\n=!!",
        b"Content-Type: multipart/mixed; boundary=B\n\n--B\n\nhttps://evil.test/a\n",
        b"Content-Type: multipart/mixed\n\nhttps://evil.test/a\n",
        b"Content-Type: text/html; charset=\"\n\n<a href='https://evil.test/a'",
        b"Content-Disposition: inline; filename*=\0''a.txt\n\nhttps://evil.test/a",
        b"Content-Type: text/plain; charset*=\0''a\n\nhttps://evil.test/a",
        b"Content-Type: ;;;=\nSubject: =?utf-8?b?!!?= =?x?y?z?=\nFrom: ((((<\n\nhttps://evil.test/a",
    ],
)
def test_broken_mails_are_read_as_far_as_they_go(body: bytes) -> None:
    """Wrong charsets, encodings and boundaries cost nothing but what they spoil."""
    items = read(b"From: a@b.test\nMIME-Version: 1.0\n" + body)
    assert all(isinstance(item, Finding) for item in items)
    if b"<a href='https://evil.test/a'" not in body:
        (only,) = items
        assert isinstance(only, Finding)
        assert "https://evil.test/a" in {seen.observable.value for seen in only.observations}


@given(st.binary(max_size=400))
def test_nothing_raises(noise: bytes) -> None:
    """Noise in header or body ends in findings or rejects."""
    for data in (
        noise,
        b"From: a@b.test\nMIME-Version: 1.0\n" + noise,
        phish(("Received", CAME_IN)).as_bytes() + noise,
    ):
        for item in MailReader().read(io.BytesIO(data), "x", OWN):
            assert isinstance(item, Finding | Reject)


@pytest.mark.parametrize(
    "head",
    [
        b"Return-Path: <a@b.test>\r\nFrom: a@b.test\r\n\r\nx",
        b"From a@b Thu Nov 19 07:00:00 2026\nReceived: x\nFrom: a@b.test\n\n",
        b"\n\nMessage-ID: <1@b>\nSubject: a\n b\nFrom: a@b.test\n\n",
    ],
)
def test_is_a_mail(head: bytes) -> None:
    """Header lines with From and one that only mail has."""
    assert MailReader().recognises(head, "x")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b'{"From": "a@b.test", "Received": 1}',
        b"Title: Report\nDate: 2026-11-19\n\nFrom: a@b.test\nReceived: x\n",
        b"From: a@b.test\nTo: c@d.test\n\nHi\n",
        b"From: <Saved by a browser>\nSnapshot-Content-Location: https://x.test/\nMIME-Version: 1.0\n\n",
        b"HTTP/1.1 200 OK\nDate: x\nFrom: y\nMIME-Version: 1.0\n\n",
        b"From 1234567890abcdef Mon Sep 17 00:00:00 2001\nFrom: a@b.test\nDate: x\nSubject: [PATCH] y\n\n",
        b"<html>",
        b"evil.test\n",
    ],
)
def test_is_no_mail(head: bytes) -> None:
    """Reports, patches, saved pages, web answers and JSON are other readers' business."""
    assert not MailReader().recognises(head, "x.eml")


def test_one_attached_mail_that_cannot_be_read_costs_itself_only() -> None:
    """The others are findings."""
    report = EmailMessage()
    report["From"], report["Message-ID"] = "bob@home.test", "<2@home.test>"
    report.set_content("two\n")
    report.add_attachment(phish(text="".join(f"https://evil.test/{n}\n" for n in range(5001))))
    report.add_attachment(phish())
    first, second = read(report)
    assert isinstance(first, Reject)
    assert "links" in first.reason
    assert isinstance(second, Finding)

"""The rule privacy: what each detector finds and what it leaves, and that no reason repeats what was found."""

from __future__ import annotations

import base64
import hmac
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate_builders import (
    INTERNAL,
    SIEM,
    THEM,
    agreement,
    ask,
    facts,
    our_identity,
    our_indicator,
    partner,
    rules_against,
)
from threatshare.errors import BadValue
from threatshare.findings.extraction import extract
from threatshare.model import Kind, Observable, Tlp, Verdict
from threatshare.policy.agreements import Inbound
from threatshare.policy.detectors import DETECTORS, ENCODED
from threatshare.policy.gate import Cleared, candidate_of, clear, decide, may_export
from threatshare.policy.privacy import hashed, hits
from threatshare.stix.objects import written
from threatshare.stix.observables import canonical, recognise

REFUSE, HOLD = Verdict.REFUSE, Verdict.HOLD
KEY = b"k" * 32


def found(text: str) -> set[str]:
    """Gives the privacy rules that speak against a text in somebody else's object."""
    content = our_indicator(maker=THEM) | {"description": text}
    return {one.detector.rule for one in hits(ask(content, source="south"), facts().own, KEY)}


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        (
            "privacy-mail",
            [
                "http://evil.ru/?e=jane.doe@corp.net",
                "http://evil.ru/jane.doe%40corp.net/",
                "http://evil.ru/?a=" + base64.b64encode(b"id=1;to=jane@corp.net").decode(),
                "mailto:o'neill+x@corp.net.",
                "to jürgen.müller@körper.net",
                "http://evil.ru/?e=j%C3%BCrgen%40corp.net",
                "bounce-jane=corp.net@list.ru",
                "http://evil.ru/jane.doe@corp.org_20261120",
                "http://evil.ru/jane.doe@corp.org@x",
                "http://evil.ru/" + "0f" * 32 + "-jane.doe@corp.org",
                "http://evil.ru/" + "0f" * 32 + "_jane.doe@corp.org",
                "jane@a.b.c.d.e.f.g.h.i.corp.org",
                "http://evil.ru/?e=jane@[203.0.113.9]",
                "jane@corp.zip",
                "http://evil.ru/jane@corp.com.pdf",
                "http://jane.doe-at-corp-org.evil.ru/",
                "jane(at)corp.org",
            ],
        ),
        (
            "privacy-own-mail",
            [
                "to jane@our-company.de",
                "JANE@MAIL.OUR-COMPANY.DE",
                "jane@[45.10.2.67]",
                "http://x.ru/?q=amFuZUBvdXItY29tcGFueS5kZQ==",
            ],
        ),
        ("privacy-own-address", ["seen from 45.10.2.3", "seen at 2a0a:1::5"]),
        ("privacy-own-name", ["targets our-company.de", "targets www.our-company.de"]),
        (
            "privacy-card",
            [
                "4111111111111111",
                "http://evil.ru/?n=4111-1111-1111-1111&x",
                "5500 0000 0000 0004",
                "3782 822463 10005",
                "6011111111111117",
                "3530111333300000",
                "id_4111111111111111",
                "4111+1111+1111+1111",
                "4111.1111.1111.1111",
                "http://4111.1111.1111.1111.evil.ru/",
                "4111_1111_1111_1111",
                "http://evil.ru/4111/1111/1111/1111",
                "4111\xa01111\xa01111\xa01111",
                "http://evil.ru/?cc4111111111111111",
                "http://evil.ru/?q=4111-1111-1111-1111-12-26-123",
            ],
        ),
        (
            "privacy-ssn",
            [
                "123-45-6789",
                "http://evil.ru/?ssn=123456789",
                "SSN: 123 45 6789",
                "social_security_number=123456789",
                "http://evil.ru/536.22.8812",
                "http://evil.ru/?q=536%2022%208812",
                "http://evil.ru/?q=536+22+8812",
                "http://evil.ru/?user_ssn=536228812",
                "http://evil.ru/?user[ssn]=536228812",
                "http://evil.ru/ssn/536228812",
            ],
        ),
        ("privacy-iban", ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00 and more", "gb29nwbk60161331926819"]),
        ("privacy-tax-code", ["RSSMRA85T10A562S", "cf=rssmra85t10a562s"]),
        (
            "privacy-phone",
            [
                "+12025550123",
                "+49 30 901820",
                "(202) 555-0123",
                "202-555-0123",
                "1-202-555-0123",
                "http://evil.ru/?phone=12025550123",
                "http://evil.ru/%2B12025550123",
            ],
        ),
        (
            "privacy-folder",
            [
                "C:\\Users\\jdoe\\AppData\\x.exe",
                "C:\\\\Users\\\\jdoe\\\\x",
                "c:/documents and settings/jdoe/x",
                "/home/jdoe/.ssh/id",
                "/Users/jdoe/Desktop",
                "http://evil.ru/?p=C%3A%5CUsers%5Cjdoe%5C",
            ],
        ),
        (
            "privacy-user",
            [
                "http://evil.ru/?user=jdoe",
                "http://evil.ru/?x=1&User_Name=jane.doe",
                "http://evil.ru/?login=CORP%5Cjdoe",
                "http://evil.ru/~jdoe/x",
                "http://jdoe:pw@evil.ru/",
                "http://evil.ru/?lastname=Doe",
                "http://evil.ru/?lastname=M%C3%BCller",
                "http://evil.ru/?next=user=jdoe/panel/",
                "http://evil.ru/personal/jane_doe_corp_org/x",
                "http://evil.ru/?login_hint=jdoe",
                "http://evil.ru/?recipient=jdoe",
                "http://evil.ru/?rcpt=jdoe",
                "http://evil.ru/?to=jdoe",
                "http://evil.ru/?u=jdoe",
                "http://evil.ru/?user[name]=jdoe",
                "http://evil.ru/?displayName=Jane+Doe",
                "http://evil.ru/?q=CORP%5Cjdoe",
                "http://evil.ru/user/jdoe/",
            ],
        ),
        (
            "privacy-host",
            [
                "jane-doe.laptop.corp.net",
                "jdoe-laptop.corp.net",
                "http://pc-jdoe.corp.net/x",
                "http://evil.ru/gate?id=DESKTOP-4F7K2AB",
                "http://evil.ru/?computername=JOHNS-BOX",
                "janes-macbook-pro.corp.net",
            ],
        ),
    ],
)
def test_what_is_found(rule: str, texts: list[str]) -> None:
    """Each detector finds its kind in the forms in which it is written, escaped and encoded ones among them."""
    for text in texts:
        assert rule in found(text), text


@pytest.mark.parametrize(
    "text",
    [
        # No card numbers: wrong checksum, no issuer, part of a longer number, word or id.
        "4111111111111112",
        "9111111111111111",
        "1234567812345670",
        "x4111111111111111",
        "41111111111111110000000",
        "00000000-4111-1111-1111-111111111111",
        "4111-1111-1111-1111-1111",
        # Never issued, or something else.
        "000-45-6789",
        "666-45-6789",
        "900-45-6789",
        "123-00-6789",
        "123-45-0000",
        "219-09-9999",
        "2026-11-22",
        "http://evil.ru/?id=123456789",
        # Times, ids, hashes, versions.
        "1771556400000",
        "http://evil.ru/download/1771556400/99887766554433/x.exe",
        "https://cdn.evil.ru/attachments/1234567890123456789/9876543210987654321/x.exe",
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        "http://evil.ru/1-2-3-4/555-1212",
        "http://evil.ru/v1.202.555.0123",
        "call 1-888-555-0123 for support",
        "+0123456789",
        # An account number with a wrong checksum, a token of the same form.
        "DE88370400440532013000",
        "ab12cdefghijklmnop",
        "RSSMRA85T10A562A",
        # Nobody's folder, nobody's account, nobody's computer.
        "C:\\Users\\Public\\x.exe",
        "C:\\Users\\All Users\\x",
        "C:\\Users\\Administrator\\x",
        "C:\\Windows\\System32\\x.dll",
        "/home/ubuntu/x",
        "http://evil.ru/home/index.php",
        "http://evil.ru/users/12345/x",
        "http://evil.ru/?user=admin&login=1&email=true",
        "http://evil.ru/?Login=R6KnGvqmPi0u2qOmLzMhRUAHiY",
        "http://evil.ru/cvename.cgi?name=CVE-2018-4878",
        "desktop-update.evil.ru",
        "pc-download.evil.ru",
        "laptop.evil.ru",
        "cheap-laptop.com",
        "http://evil.ru/user/login/",
        # No mail addresses.
        "http://a.at-the-lake.com/",
        "seen at evil.com",
        "http://evil.ru/@scope/package@1.2.3",
        "http://evil.ru/icon@2x.png",
        "@jane",
        "jane@",
        "T1566.002",
    ],
)
def test_what_is_left(text: str) -> None:
    """Numbers, names and addresses that only look alike are let go."""
    assert found(text) == set()


def test_our_objects_are_clean() -> None:
    """Nothing that our builder writes about an ordinary value is taken for private, in any kind."""
    for text in (
        "45.66.77.88",
        "2a0b::1",
        "evil.ru",
        "http://evil.ru/wp-content/x.php?id=7",
        "02:00:5e:10:00:01",
        "0cc175b9c0f1b6a831c399e269772661",
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    ):
        value = recognise(text)
        assert hits(ask(our_indicator(value), [value]), facts().own, KEY) == [], text
    assert hits(ask(our_identity(), []), facts().own, KEY) == []


def test_a_phishers_own_address_leaves() -> None:
    """A sender's address is threat data; the same address named as a server, or beside another value, is held."""
    sender = recognise("billing.department@evil.ru")
    content = our_indicator(sender)
    assert rules_against(ask(content, [sender]), partner()) == []
    as_c2 = content | {"labels": ["c2"], "description": "Reported as c2."}
    assert rules_against(ask(as_c2, [sender]), partner()) == [("privacy-mail", HOLD)]
    url = recognise("http://evil.ru/?e=billing.department@evil.ru")
    assert rules_against(ask(our_indicator(url), [url]), partner()) == [("privacy-mail", HOLD)]
    assert may_export(sender, facts(), ["phish-sender"]) == ()
    assert [one.rule for one in may_export(sender, facts())] == ["privacy-mail"]


def test_a_sender_that_names_its_recipient_is_held() -> None:
    """A mailing list's own address that carries whom it wrote to is held although it is a sender's."""
    sender = recognise("bounce-jane=victim.net@list.evil.ru")
    assert rules_against(ask(our_indicator(sender), [sender]), partner()) == [("privacy-mail", HOLD)]


@pytest.mark.parametrize("audience", [INTERNAL, SIEM])
def test_our_own_tools_see_all(audience: object) -> None:
    """Inside our organisation nothing is held for privacy: our sensors saw it anyway."""
    value = recognise("http://evil.ru/?card=4111111111111111&e=jane@corp.net")
    assert rules_against(ask(our_indicator(value), [value]), audience) == []  # type: ignore[arg-type]


def test_a_hit_is_told_by_rule_field_and_keyed_hash() -> None:
    """The reason has the JSON pointer and the first 16 digits of HMAC-SHA256, and never the value."""
    value = recognise("http://evil.ru/?e=jane.doe@corp.net")
    decision = decide(ask(our_indicator(value), [value]), partner(), facts(privacy_key=KEY))
    (why,) = [one.text for one in decision.reasons if one.rule == "privacy-mail"]
    digest = hmac.new(KEY, b"jane.doe@corp.net", "sha256").hexdigest()[:16]
    assert hashed(KEY, "jane.doe@corp.net") == digest
    assert why == (
        f"/pattern holds a mail address (keyed hash {digest}); held: two persons who know whose it is can release "
        "privacy-mail by name"
    )


def test_without_a_key_there_is_no_hash() -> None:
    """A node without its secret writes no hash that anybody could find the value to."""
    value = recognise("http://evil.ru/?n=4111111111111111")
    decision = decide(ask(our_indicator(value), [value]), partner(), facts())
    (why,) = [one.text for one in decision.reasons if one.rule == "privacy-card"]
    assert why == "/pattern holds a payment card number"


def test_fields_are_named_and_property_names_searched() -> None:
    """Findings deep in somebody's object are told by pointer; a property name that we do not know is not repeated."""
    content = our_indicator(maker=THEM) | {
        "external_references": [{"source_name": "x", "description": "by jane@corp.net"}],
        "jane.roe@corp.net": {"note": ["4111111111111111"], "number": 4111111111111111},
    }
    told = {(one.detector.rule, one.field) for one in hits(ask(content, source="south"), facts().own, KEY)}
    assert told == {
        ("privacy-mail", "/external_references/0/description"),
        ("privacy-mail", "/*"),
        ("privacy-card", "/*/*/0"),
        ("privacy-card", "/*/*"),
    }


def test_others_objects_are_searched() -> None:
    """What a partner's words say of a person does not go on to another partner."""
    content = our_indicator(tlp=Tlp.CLEAR, maker=THEM) | {"description": "sent to jane@corp.net"}
    given_facts = facts(agreements={"south": agreement("south", inbound=Inbound(onward_max_tlp="green"))})
    assert rules_against(ask(content, source="south"), partner(), given_facts) == [("privacy-mail", HOLD)]


@pytest.mark.parametrize("name", ["modified", "created", "id", "type", "object_marking_refs"])
def test_no_reason_repeats_what_stands_in_the_wrong_place(name: str) -> None:
    """A value that is no time, id, type or marking is not repeated by the reason that says so."""
    content = our_indicator(tlp=Tlp.CLEAR, maker=THEM) | {name: "jane roe"}
    body = written(content)
    decision = clear(candidate_of(body, [], source="south"), body, partner(), facts())
    assert not isinstance(decision, Cleared)
    assert all("jane" not in one.text for one in decision.reasons)


def test_a_compound_pattern_is_searched_for_our_names() -> None:
    """A pattern that is kept whole is searched for what is ours, since no other rule looks into it."""
    value = canonical(Kind.PATTERN, "[url:value LIKE 'http://x/our-company.de/%' AND ipv4-addr:value = '45.1.1.1']")
    rules = {rule for rule, _ in rules_against(ask(our_indicator(value), [value]), partner())}
    assert "privacy-own-name" in rules


def test_what_hides_too_deep_is_held() -> None:
    """Encodings within each other beyond what is undone are held, since nobody knows what they say."""
    text = "jane@corp.net"
    for _ in range(7):
        text = base64.b64encode(text.encode()).decode()
    assert ENCODED in found(text)


urls = st.from_regex(
    r"https?://[a-z]{3,12}\.(?:ru|com|net)/[A-Za-z0-9/_.-]{0,60}(?:\?[a-z]{1,6}=[A-Za-z0-9%_-]{0,40})?", fullmatch=True
)


@given(urls)
def test_any_url_is_searched_without_fault(text: str) -> None:
    """Whatever the URL, the rule gives an answer, and no reason of it repeats the URL."""
    try:
        value = recognise(text)
    except BadValue:
        return
    decision = decide(ask(our_indicator(value), [value]), partner(), facts(privacy_key=KEY))
    assert all(value.value not in one.text for one in decision.reasons)


def test_few_urls_of_real_feeds_are_held(samples: Path) -> None:
    """Of the malicious URLs that feeds and vendors publish, fewer than one in fifty waits, and none is refused."""
    values: set[Observable] = set()
    for folder in ("tweetfeed-csv", "reports-eset", "reports-threatlabz", "reports-unit42", "stix-mvt", "stix-unit42"):
        for file in (samples / folder).iterdir():
            for line in file.read_text("utf-8", "replace").splitlines():
                values.update(one.observable for one in extract(line[:50_000]) if one.observable.kind is Kind.URL)
    assert len(values) > 1_000
    verdicts = [
        max((one.detector.verdict for one in hits(ask(our_indicator(value), [value]), facts().own, KEY)), default="")
        for value in sorted(values)
    ]
    assert REFUSE not in verdicts
    assert verdicts.count(HOLD) < 0.02 * len(values)


def test_the_page_lists_the_detectors(root: Path) -> None:
    """The page on privacy has a row for each detector, with its verdict and why, in their order."""
    text = (root / "docs/explain/privacy.md").read_text("utf-8")
    rows = re.findall(r"^\| `(privacy-[a-z-]+)` \| (.*) \| (\w+) \| (.*) \|$", text, re.M)
    assert rows[:-1] == [(one.rule, one.what, one.verdict.value, one.why) for one in DETECTORS]
    assert rows[-1][0] == ENCODED
    assert "6 U.S.C. 1503(d)(2)" in text
    assert "no legal advice" in " ".join(text.split())


def test_rules_have_names_of_their_own() -> None:
    """Every detector has a rule id that begins with privacy-, and no two share one."""
    names = [one.rule for one in DETECTORS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("privacy-") for name in names)

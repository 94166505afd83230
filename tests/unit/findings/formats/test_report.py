"""Reports and lists: sections, defanging and place in the line decide."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats.report import ReportReader
from threatshare.findings.formats.sections import Outline, Section, heading, section_of
from threatshare.model import Finding, Role

SHA1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
OWN = OwnAssets(domains=("corp.example",), mail_domains=("corp.example",))
PROSE = "This is what our analysts wrote about the campaign of last week.\n"


def findings(text: str) -> list[Finding]:
    return [item for item in ReportReader().read(io.BytesIO(text.encode()), "r.md", OWN) if isinstance(item, Finding)]


def roles(text: str) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for item in findings(text) for seen in item.observations}


def role(text: str) -> str:
    (only,) = roles(text).values()
    return only


def test_defanged_values_are_candidates() -> None:
    """What the author made harmless is taken for dangerous, by its kind."""
    text = PROSE + (
        "The malware talks to evil[.]example and 198.51.100[.]7, after a mail from a[@]sender.example "
        f"with hxxp://drop[.]example/x that gives {SHA256}.\n"
    )
    assert roles(text) == {
        "evil.example": "c2",
        "198.51.100.7": "c2",
        "a@sender.example": "phish-sender",
        "http://drop.example/x": "payload",
        SHA256: "payload",
    }


def test_the_id_of_a_commit_is_no_file_hash() -> None:
    """A SHA-1 that the text calls a commit names a version of something; without that word it names a file."""
    assert role(PROSE + f"commit: {SHA1} 2024-01-02\n") == "reference"
    assert role(PROSE + f"The dropper: {SHA1}\n") == "payload"


def test_what_is_not_defanged_is_a_reference_outside_a_list() -> None:
    """Prose refers to pages, names and contacts; a bare address is held; a hash is never defanged."""
    text = (
        PROSE + f"See https://blog.example/a and name.example, write to soc@agency.example, or 198.51.100.7, {SHA1}\n"
    )
    assert roles(text) == {
        "https://blog.example/a": "reference",
        "name.example": "reference",
        "soc@agency.example": "reference",
        "198.51.100.7": "unknown",
        SHA1: "payload",
    }


@pytest.mark.parametrize("title", ["## Indicators of Compromise", "== Network IOCs", "C2 servers:", "DOMAINS AND IPS"])
@pytest.mark.parametrize("line", ["- {}", "* `{}`", "| {} | note |", "{}", "C2: {}", "- `{}` port 80", "1. {}"])
def test_a_list_under_its_heading_needs_no_defanging(title: str, line: str) -> None:
    """In a section of indicators, a value in a list or table is a candidate as it stands."""
    assert role(f"{PROSE}\n{title}\n\n{line.format('198.51.100.7')}\n") in ("c2", "attacker")


def test_a_sentence_under_such_a_heading_is_still_prose() -> None:
    """An introduction below the heading refers; its links are no indicators, even at the beginning of a line."""
    text = (
        "# A\n\n## Indicators\n\nFor a description of the family please see the article\nhttps://blog.example/article\n"
    )
    assert role(text) == "reference"
    assert role("# A\n\n## Indicators\n\nOur host 198.51.100.7 was seen to send it.\n") == "unknown"


def test_the_title_of_a_document_is_no_section() -> None:
    """ "Family -- Indicators of Compromise" names the document; its first paragraph is an introduction."""
    text = f"= Mumble -- Indicators of Compromise\n\n{PROSE}https://blog.example/a\n\n- https://blog.example/b.pdf\n"
    assert set(roles(text).values()) == {"reference"}
    assert role(f"# IOCs\n\n{PROSE}\n- evil.example\n") == "c2"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("References", "reference"),
        ("Contact us", "reference"),
        ("Authors", "reference"),
        ("Mitigations and recommendations", "reference"),
        ("About", "reference"),
        ("AES keys", "reference"),
        ("Code signing certificate", "reference"),
        ("Victims", "victim-asset"),
        ("Traffic to legitimate domains", "third-party"),
        ("Registrars", "third-party"),
    ],
)
def test_sections_decide_before_defanging(title: str, expected: str) -> None:
    """Under these headings even a defanged value or a hash is no indicator."""
    assert role(f"# R\n\n## {title}\n\n- evil[.]example\n") == expected
    assert role(f"# R\n\n## {title}\n\n- {SHA256}\n") == expected


def test_the_innermost_heading_that_says_something_decides() -> None:
    """A list ends where the next section begins; a neutral sub-heading inherits."""
    text = PROSE * 3 + (
        "# R\n## Indicators\n### Wave 1\n- a.example\n## References\n- b.example\n## Indicators\n- c.example\n"
        "## Closing words\n- d.example\n"
    )
    assert roles(text) == {"a.example": "c2", "b.example": "reference", "c.example": "c2", "d.example": "reference"}


def test_headings_say_what_a_list_is_of() -> None:
    """Download hosts are payload, scanners attackers, senders stay senders."""
    text = (
        "# R\n## Domains hosting the loader\n- a[.]example\n## Scanning IPs\n- 198.51.100.7\n"
        "## C2 URLs\n- hxxp://b[.]example/\n## Phishing senders\n- a[@]c.example\n"
    )
    assert roles(text) == {
        "a.example": "payload",
        "198.51.100.7": "attacker",
        "http://b.example/": "c2",
        "a@c.example": "phish-sender",
    }


def test_a_file_of_nothing_but_values_is_a_list() -> None:
    """One value a line, with a file name or a network's name behind it, needs no heading."""
    assert set(roles("evil1.example\nevil2.example\n\n# comment\nevil3.example\n").values()) == {"c2"}
    assert role("198.51.100.7      AS64500 | ZZ | EXAMPLE-NET\n") == "c2"
    assert set(roles(f"{SHA1}  a.chm\n{SHA256}  b.chm\n").values()) == {"payload"}
    assert role(PROSE * 5 + "evil.example\n") == "reference"


def test_a_link_of_the_markup_is_a_reference() -> None:
    """AsciiDoc and Markdown links that are not defanged belong to the text, in a list too."""
    text = "# R\n## Indicators\n- https://a.example/x[article]\n- [article](https://b.example/y)\n"
    assert set(roles(text).values()) == {"reference"}


def test_known_sites() -> None:
    """A vendor's page is a reference even in a list; a payload on a public service is not the service."""
    text = (
        "# R\n## Malicious URLs\n- https://www.welivesecurity.com/a\n- https://github[.]com/x/raw/a.apk\n"
        "- www[.]google[.]com\n"
    )
    assert roles(text) == {
        "https://www.welivesecurity.com/a": "reference",
        "https://github.com/x/raw/a.apk": "payload",
        "www.google.com": "third-party",
    }


def test_templates_and_paths_are_held() -> None:
    """A URL cut at a placeholder is not the one that was seen, and a path does not make its host bad."""
    assert role("# R\n## C2\n- hxxp://evil[.]example/<MAC address>/x\n") == "unknown"
    assert role(PROSE + "It loads files[.]example/a.exe then.\n") == "unknown"


def test_asciidoc_and_markdown_code_blocks() -> None:
    """Lines in a block are a list, and comments in it are no headings."""
    text = "= T\n== Network\n----\n# References\nevil.example\n----\n"
    assert role(text) == "c2"
    assert role("# T\n## Domains\n```\n# References\nevil.example\n```\n") == "c2"


def test_rules_of_plain_text_are_no_code_blocks() -> None:
    """A line of hyphens under a title opens nothing that would swallow later headings."""
    text = f"Report\n------\n\n{PROSE}\nReferences\n----------\nhttps://blog.example/evil[.]html\n"
    assert role(text) == "reference"


def test_findings_are_lines_with_their_headings() -> None:
    """Each line that holds values is a finding at its place, titled with the way to it."""
    first, second = findings("# R\n## C2\n- a[.]example - 198.51.100[.]7\n\n- b[.]example\n")
    assert first.title == "R > C2"
    assert first.place == "r.md:3"
    assert len(first.observations) == 2
    assert second.place == "r.md:5"


def test_what_is_ours_stays_ours() -> None:
    """A report about an attack on us releases nothing of ours."""
    assert set(roles("# IOCs\n- vpn.corp[.]example\n- ceo[@]corp.example\n- 10.1.2[.]3\n").values()) == {"victim-asset"}


@pytest.mark.parametrize(
    "head",
    [
        b'{"a": 1}',
        b"[ {",
        b"<html>",
        b"<?xml version='1.0'?>",
        b"PK\x03\x04\0\0",
        b"\x89PNG\r\n\x1a\n\0\0",
        b"#separator \\x09\n#fields\tts\n",
        b"2026-01-02T03:04:05Z host sshd[1]: Failed password from 198.51.100.7\n" * 3,
        b"Nov 22 07:36:01 host sshd[1]: Failed password from 198.51.100.7\n" * 3,
        b'198.51.100.7 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 1\n' * 3,
        b"",
    ],
)
def test_is_no_report(head: bytes) -> None:
    """Structured data, binary files and logs are left to readers that know them."""
    assert not ReportReader().recognises(head, "x.txt")


@pytest.mark.parametrize(
    "head", [PROSE.encode(), b"198.51.100.7\n", b"= Title\n", "Bericht über\n".encode(), b"[note] x"]
)
def test_is_a_report(head: bytes) -> None:
    """Prose, lists and markup are text."""
    assert ReportReader().recognises(head, "x")


@pytest.mark.parametrize(
    ("line", "before", "after", "level", "title"),
    [
        ("## Indicators ##", "x", "x", 2, "Indicators"),
        ("=== C&C servers", "", "", 3, "C&C servers"),
        ("Domains:", "x", "x", 7, "Domains"),
        ("20 EXAMPLES OF URLS", "x", "x", 7, "20 EXAMPLES OF URLS"),
        ("SHA256", "", "x", 7, "SHA256"),
        ("Network traffic", "", "---------------", 7, "Network traffic"),
        ("**Hashes**", "", "", 7, "Hashes"),
    ],
)
def test_headings(line: str, before: str, after: str, level: int, title: str) -> None:
    """Markup, capitals, a colon, a rule below or a line of its own make a heading."""
    found = heading(line, before, after)
    assert found is not None
    assert (found.level, found.title) == (level, title)


@pytest.mark.parametrize(
    "line",
    ["It was seen in May, by us.", "- Domains", "| SHA-1 | Name", '[options="header"]', "", "#hashtag", "x" * 400],
)
def test_no_headings(line: str) -> None:
    """Sentences, list items, table rows and attributes are none."""
    assert heading(line, "", "") is None


def test_an_outline_without_headings_says_nothing() -> None:
    """Before the first heading there is neither section nor use nor title."""
    outline = Outline()
    assert (outline.section, outline.use, outline.title) == (None, None, "")
    assert section_of("Sources") is Section.REFERENCE
    assert section_of("POLONIUM Targets Israel") is None


@given(st.text(max_size=300))
def test_nothing_raises(text: str) -> None:
    """Whatever stands in a text, reading it ends in findings, and every one says why."""
    for item in findings(text):
        assert item.observations
        assert all(seen.why and isinstance(seen.role, Role) for seen in item.observations)

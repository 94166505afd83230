"""The sections of a written report: which line is a heading, and what its words say of the values below it.

Plain text, Markdown and AsciiDoc. Headings nest; the innermost that says something decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from threatshare.model import Role


class Section(Enum):
    """What stands in a section."""

    INDICATORS = "a list of indicators"
    REFERENCE = "references, contacts or advice"
    SECRETS = "keys, certificates, registry entries or the like"
    VICTIMS = "victims or targets"
    BENIGN = "what the authors call legitimate"


_WORDS: tuple[tuple[Section, re.Pattern[str]], ...] = tuple(
    (section, re.compile(pattern, re.IGNORECASE))
    for section, pattern in (
        (
            Section.REFERENCE,
            r"\b(?:references?|authors?|credits|acknowledge?ments?|contacts?(?: us| information)?|about(?: us)?|"
            r"mitigations?|recommend(?:ed|ations?)|remediation|further reading|additional (?:resources|information)|"
            r"disclaimer|feedback|revision history|detection names?|yara|sigma|snort|mitre|att&ck|"
            r"related (?:articles|reports|posts|reading))\b|^(?:re)?sources?$|^links$|^protections?$",
        ),
        (
            Section.SECRETS,
            r"\b(?:crypto\w*|aes|rc4|rsa|xor|encryption|private|public) keys?\b|\bcertificates?\b|\bthumbprints?\b|"
            r"\bregistry\b|\bmutex(?:es)?\b|\buser[ -]?agents?\b|\bpasswords?\b|\bserial numbers?\b",
        ),
        (
            Section.VICTIMS,
            r"^(?:known |list of |the )?(?:victims?|victimology|targets|targeted|affected|impersonated|spoofed)\b",
        ),
        (
            Section.BENIGN,
            r"\b(?:legitimate|benign|false positives?|white ?lists?|allow ?lists?|registrars?|name ?servers?|"
            r"not malicious|sinkholes?)\b",
        ),
        (
            Section.INDICATORS,
            r"\b(?:iocs?|indicators?|observables?|c2s?|c&c|cnc|command[ -](?:and|&)[ -]control|domains?|host ?names?|"
            r"ips?|ipv[46]|ip addresses|addresses|urls?|hash(?:es)?|md5s?|sha-?(?:1|256|512)s?|samples?|files?|"
            r"payloads?|network|infrastructure|senders?|onion|servers?|panels?|droppers?|downloaders?|installers?|"
            r"binaries|executables?|artifacts?|traffic|apks?|dlls?|documents?)\b",
        ),
    )
)
"""The first pattern that a heading matches tells its section."""

_USES: tuple[tuple[Role, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern, re.IGNORECASE))
    for role, pattern in (
        (Role.C2, r"\b(?:c2s?|c&c|cnc|command[ -](?:and|&)[ -]control|call ?backs?|beacon\w*|panels?|exfil\w*)\b"),
        (
            Role.PAYLOAD,
            r"\b(?:download\w*|distribut\w+|payloads?|host(?:ing|s|ed)|droppers?|installers?|loaders?|"
            r"phish\w*|landing|scam|staging)\b",
        ),
        (Role.ATTACKER, r"\b(?:scann\w+|brute.?force\w*|attack(?:er|ing)s?|exploitation)\b"),
    )
)
"""What a list of addresses, names or URLs is of, by its heading."""

_MARKED = re.compile(r"\s{0,3}(#{1,6}|={1,6})\s+(\S.{0,199}?)[\s#=]*$").match
_RULE = re.compile(r"\s*(={3,}|-{3,}|~{3,})\s*$").match
_WORD = re.compile(r"[^\W\d_][\w'&/-]*")
_TITLE_ONLY = re.compile(r"(?i)\W*(?:indicators?(?: of compromise)?|iocs?)(?: \(iocs?\))?\W*").fullmatch
_ASCIIDOC = re.compile(r"={1,5} \S|:toc:").match
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,}|-{4,}|\.{4,})\w*\s*$").match
_LONGEST = 300
"""Characters of a heading."""
_PLAIN = 7
"""Level of a heading without markup: below all that have it."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A line that names what follows."""

    level: int
    title: str


def heading(line: str, before: str, after: str) -> Heading | None:
    """Tells whether a line that holds no value is a heading, by its markup, its look and the lines around it."""
    if len(line) > _LONGEST:
        return None
    marked = _MARKED(line)
    if marked is not None:
        return Heading(len(marked[1]), marked[2].strip())
    text = line.strip().strip("*_")
    words = _WORD.findall(text)
    if not words or len(words) > 14 or len(text) > 120 or line.lstrip()[0] in "-|•>`.[#":
        return None
    underlined = _RULE(after) is not None and len(words) <= 8 and not before.strip()
    alone = not before.strip() and len(words) <= 5 and text[-1] not in ".,;!?" and "://" not in text
    if underlined or text.endswith(":") or (text.isupper() and len(text) > 3) or alone:
        return Heading(_PLAIN, text.rstrip(":"))
    return None


class Outline:
    """Follows the headings of a text from top to bottom."""

    def __init__(self) -> None:
        self._open: list[tuple[Heading, Section | None]] = []
        self._begun = False

    def enter(self, found: Heading) -> None:
        """Opens a section and closes those of its level and below."""
        while self._open and self._open[-1][0].level >= found.level:
            self._open.pop()
        # "Mumblehard Indicators of Compromise" names the document; its introduction is no list.
        names_document = not self._begun and found.level == 1 and _TITLE_ONLY(found.title) is None
        self._open.append((found, None if names_document else section_of(found.title)))
        self._begun = True

    @property
    def section(self) -> Section | None:
        """What the innermost heading that says something says; None where none does."""
        return next((section for _, section in reversed(self._open) if section is not None), None)

    @property
    def use(self) -> Role | None:
        """What the values of a list are used for, by the innermost heading that says so."""
        for found, section in reversed(self._open):
            if section is Section.INDICATORS:
                role = next((role for role, pattern in _USES if pattern.search(found.title)), None)
                if role is not None:
                    return role
        return None

    @property
    def title(self) -> str:
        """The headings from the outermost to the innermost, at most 200 characters."""
        return " > ".join(found.title for found, _ in self._open)[:200]


def section_of(title: str) -> Section | None:
    """Tells what a heading's words promise."""
    return next((section for section, pattern in _WORDS if pattern.search(title)), None)


class Fences:
    """Follows code blocks: Markdown's fences, and AsciiDoc's, which in other texts are mere rules."""

    def __init__(self) -> None:
        self.open = False
        self._fence = ""
        self._asciidoc = False

    def inside(self, line: str) -> bool:
        """Takes the next line; tells whether it is a fence or lies between two."""
        self._asciidoc = self._asciidoc or _ASCIIDOC(line) is not None
        found = _FENCE(line)
        fence = found[1] if found is not None and (self._asciidoc or found[1][0] in "`~") else ""
        if fence and self._fence in ("", fence):
            self._fence = "" if self._fence else fence
            self.open = bool(self._fence)
            return True
        return self.open

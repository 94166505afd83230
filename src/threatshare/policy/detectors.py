"""What must not leave because it is somebody's, as a table: what finds it, whether it refuses or holds, and why.

A finding that proves itself, and is never part of an attack, refuses: no person can release it. One that goes by form
alone holds: an attacker's own name looks like anybody's, and a person who has looked can let it go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from threatshare.config import OwnAssets
from threatshare.model import Verdict
from threatshare.policy.identifiers import (
    bank_accounts,
    cards,
    has_digits,
    social_security_numbers,
    tax_codes,
    telephones,
)
from threatshare.policy.mentions import ADDRESS, MAIL_ADDRESS, clear_addresses, named, traces
from threatshare.policy.persons import computers, folders, mail_addresses, spelled_mail_addresses, user_names

REFUSE, HOLD = Verdict.REFUSE, Verdict.HOLD


@dataclass(frozen=True, slots=True)
class Text:
    """One text that would leave, in one of its readings, with what counts for judging it."""

    text: str
    own: OwnAssets
    indicators: frozenset[str]
    """Mail addresses, in lower case, that are themselves what the object is about: a phisher's own."""
    free: bool
    """Whether it may name us without a word of the ``own-asset`` rule, which judges patterns of one value."""

    @property
    def has(self) -> frozenset[Needs]:
        """What it has of that which detectors need."""
        return _HAS["@" in self.text, has_digits(self.text), self.free]


Needs = Literal["anything", "an at sign", "digits", "free text"]
"""What a text must have for a detector to be asked at all: most texts lack most of it."""
_ALWAYS: frozenset[Needs] = frozenset({"anything"})
_AT: frozenset[Needs] = frozenset({"an at sign"})
_DIGITS: frozenset[Needs] = frozenset({"digits"})
_FREE: frozenset[Needs] = frozenset({"free text"})
_NONE: frozenset[Needs] = frozenset()
_HAS: Mapping[tuple[bool, bool, bool], frozenset[Needs]] = {
    (at, digits, free): _ALWAYS | (_AT if at else _NONE) | (_DIGITS if digits else _NONE) | (_FREE if free else _NONE)
    for at, digits, free in product((False, True), repeat=3)
}
Find = Callable[[Text], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of private data."""

    rule: str
    """``privacy-`` and what it is; the reason's rule id, and what a person's release names."""
    verdict: Verdict
    what: str
    """For the reason, e.g. ``a payment card number``."""
    why: str
    """Why it refuses or holds, for the documentation."""
    find: Find
    """Yields what was found, as it stood in the text; only its keyed hash goes further."""
    needs: Needs = "anything"


def _mail(ours: bool) -> Find:
    def find(one: Text) -> Iterator[str]:
        for address, domain in mail_addresses(one.text):
            if address.lower() not in one.indicators and _is_ours(domain, one.own) is ours:
                yield address

    return find


_written_mail = _mail(False)


def _any_mail(one: Text) -> list[str]:
    found = spelled_mail_addresses(one.text)
    return [*_written_mail(one), *found] if "@" in one.text else found


def _is_ours(domain: str, own: OwnAssets) -> bool:
    return own.owns_name(domain) or any(map(own.owns_address, clear_addresses(domain)))


def _named(wanted: Callable[[str], bool]) -> Find:
    def find(one: Text) -> Iterator[str]:
        said = named([one.text], one.own)
        if said is not None and wanted(said):
            yield one.text

    return find


def _plain(find: Callable[[str], Iterator[str]]) -> Find:
    return lambda one: find(one.text)


DETECTORS: tuple[Detector, ...] = (
    Detector(
        "privacy-own-mail",
        REFUSE,
        "a mail address of ours",
        "it names one of our people, as a rule the one who was attacked; nobody needs it to find the attack",
        _mail(True),
        "an at sign",
    ),
    Detector(
        "privacy-own-address",
        REFUSE,
        "an address of ours",
        "it tells which system was attacked",
        _named(lambda said: said in (ADDRESS, MAIL_ADDRESS)),
        "free text",
    ),
    Detector(
        "privacy-own-name",
        HOLD,
        "a domain of ours",
        "it tells who was attacked; attackers also build names of theirs from ours",
        _named(lambda said: said not in (ADDRESS, MAIL_ADDRESS)),
        "free text",
    ),
    Detector(
        "privacy-own-trace",
        HOLD,
        "what may mean an address or a domain of ours",
        "other characters stand between its parts, or it is one number; it may be something else",
        lambda one: traces(one.text, one.own),
    ),
    Detector(
        "privacy-card",
        REFUSE,
        "a payment card number",
        "issuer, length and checksum prove it; it is never part of an attack",
        _plain(cards),
        "digits",
    ),
    Detector(
        "privacy-ssn",
        REFUSE,
        "a US social security number",
        "written as such and possible under the rules by which they are issued; it is never part of an attack",
        _plain(social_security_numbers),
        "digits",
    ),
    Detector(
        "privacy-iban",
        REFUSE,
        "an international bank account number",
        "country, length and checksum prove it; whose account it is, its number does not tell",
        _plain(bank_accounts),
    ),
    Detector(
        "privacy-tax-code",
        REFUSE,
        "an Italian tax code",
        "form and check letter prove it; it tells name, birthday and birthplace",
        _plain(tax_codes),
    ),
    Detector(
        "privacy-mail",
        HOLD,
        "a mail address",
        "in a URL it is as a rule the recipient's; it may be a drop box of the attacker's",
        _any_mail,
    ),
    Detector(
        "privacy-folder",
        HOLD,
        "the name of a person's folder",
        "home folders bear their users' names; it may be the malware author's",
        _plain(folders),
    ),
    Detector(
        "privacy-user",
        HOLD,
        "the name of a user",
        "it may name the victim's account, or one of the attacker's on a shared host",
        _plain(user_names),
    ),
    Detector(
        "privacy-host",
        HOLD,
        "the name of a person's computer",
        "such names are made of their users' names; attackers register similar ones",
        _plain(computers),
    ),
    Detector(
        "privacy-phone",
        HOLD,
        "a telephone number",
        "it goes by form alone; it may be the fraudster's call centre",
        _plain(telephones),
        "digits",
    ),
)
"""In the order in which findings are shown."""

ENCODED = "privacy-encoded"
"""Rule id of texts that hide more than is searched."""

"""Numbers that belong to one person: payment cards, US social security numbers, bank accounts, tax codes, telephones.

Where a number proves itself (a checksum, a known prefix, a rule of who issues it) that is asked, since URLs are full
of long numbers. A number counts only where it stands by itself: hashes, times and ids hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_ALONE = r"(?<![0-9A-Za-z])(?<![0-9][-. ])"
_ENDS = r"(?![0-9A-Za-z])(?![-. ][0-9])"

_CARD = re.compile(
    r"\d(?<!\d\d)"
    r"(?:\d{12,18}|\d{3}([- ./_+\xa0\u202f])(?:\d{4}\1\d{4}\1\d{1,7}|\d{6}\1\d{4,5}))(?!\d)",
    re.ASCII,
)
_NO_DIGITS = re.compile(r"\D+", re.ASCII)
# What may stand right before a card's number, read from its end; and behind it: month, year and perhaps a code.
_BEFORE_CARD = re.compile(
    r"(?i)(?:^|[^0-9a-z]|(?:^|[^a-z])(?:cc|ccn|ccno|ccnum|cvc|pan|card|cardno|cardnum|cardnumber|visa|amex|mc|kk|no|nr|"
    r"num|number))$",
    re.ASCII,
)
_AFTER_CARD = re.compile(r"$|[^0-9A-Za-z. -]|[. -](?:[^0-9]|$|(?:0[1-9]|1[0-2])[-./_ ](?:20)?\d\d(?!\d))", re.ASCII)
_LONGEST_BEFORE = 12
# Issuer ranges by ISO/IEC 7812 as the networks publish them, with the lengths that they issue: Visa, Mastercard
# (from 2017 also 2221-2720), American Express, Discover, Diners Club, JCB, UnionPay, Mir, and the prefixes under which
# Maestro cards are accepted. From general knowledge, not checked against the networks' tables.
_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4000, 4999, frozenset({13, 16, 19})),
    (5100, 5599, frozenset({16})),
    (2221, 2720, frozenset({16})),
    (3400, 3499, frozenset({15})),
    (3700, 3799, frozenset({15})),
    (6011, 6011, frozenset({16, 19})),
    (6440, 6599, frozenset({16, 19})),
    (3000, 3059, frozenset({14, 16})),
    (3095, 3095, frozenset({14, 16})),
    (3600, 3699, frozenset({14, 16})),
    (3800, 3999, frozenset({14, 16})),
    (3528, 3589, frozenset({16, 19})),
    (6200, 6299, frozenset({16, 17, 18, 19})),
    (2200, 2204, frozenset({16, 19})),
    (5018, 5018, frozenset({16, 18, 19})),
    (5020, 5020, frozenset({16, 18, 19})),
    (5038, 5038, frozenset({16, 18, 19})),
    (6304, 6304, frozenset({16, 18, 19})),
    (6759, 6759, frozenset({16, 18, 19})),
    (6761, 6763, frozenset({16, 18, 19})),
)
"""First four digits from, to, and the lengths of the whole number."""

_SOCIAL = re.compile(
    r"(\d(?<![0-9A-Za-z]{2})(?<![0-9][-. +]\d)\d\d)([-. +\xa0])(\d\d)\2(\d{4})(?![0-9A-Za-z])(?![-. +][0-9])", re.ASCII
)
_SOCIAL_NAMED = re.compile(
    r"(?i)(?:(?:ssn|ss_?no|itin|taxpayer[_ -]?id|social[_ -]?security(?:[_ -]?(?:no|nr|num|number))?)['\"\]]*\s?[=:/]|"
    r"(?<![a-z])social['\"\]]*\s?[=:])\s?['\"]?(\d{3})([-. +]?)(\d\d)[-. +]?(\d{4})(?![0-9A-Za-z])",
    re.ASCII,
)
_SOCIAL_WORDS = ("ssn", "ss_no", "ssno", "itin", "taxpayer", "social")
_SOCIAL_IN_ADVERTS = frozenset({"078051120", "219099999"})
"""Printed on sample cards; SSA declared both invalid."""

# Found by its two digits, which are rarer than letters.
_ACCOUNT = re.compile(
    r"\d\d(?<=(?<![0-9A-Za-z])[A-Za-z]{2}\d\d)"
    r"(?:[A-Za-z0-9]{11,30}|(?:[ -][A-Za-z0-9]{4}){2,7}(?:[ -][A-Za-z0-9]{1,3})?)(?![0-9A-Za-z])",
    re.ASCII,
)
# Lengths by country, ISO 13616 (SWIFT's IBAN registry); from general knowledge, not checked against the registry.
_ACCOUNT_LENGTHS: Mapping[str, int] = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
    }.items()
    for country in countries.split()
}

# Italy's codice fiscale (decree of 23 December 1976): letters of the names, year, month, day, place, check letter.
_TAX_CODE = re.compile(r"(?i)\d\d(?<=(?<![0-9A-Z])[A-Z]{6}\d\d)[ABCDEHLMPRST]\d\d[A-Z]\d{3}[A-Z](?![0-9A-Z])", re.ASCII)
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21]
        + [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23],
        strict=True,
    )
)
"""What a character counts in the first, third, fifth ... place."""

# E.164: a plus, a country code that begins with 1 to 9, at most fifteen digits; groups are written in many ways.
_INTERNATIONAL = re.compile(r"(?<![\w+])\+[1-9](?:[ .()/-]{0,2}\d){7,14}(?![0-9A-Za-z])", re.ASCII)
# The North American Numbering Plan: area code and exchange begin with 2 to 9, and no area code ends in 11.
_NORTH_AMERICAN = re.compile(
    rf"(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.])(?:1[-. ])?(?:\(([2-9](?!11)\d\d)\)[- ]?|([2-9](?!11)\d\d)([-. ]))"
    rf"[2-9]\d\d(?(3)\3|[-. ])\d{{4}}{_ENDS}(?!-[0-9A-Za-z])",
    re.ASCII,
)
_LAST_FOUR = re.compile(r"[-. ]\d{4}(?!\d)", re.ASCII).search
"""What no such number is without."""
_OF_COMPANIES = frozenset({"800", "833", "844", "855", "866", "877", "888", "900"})
"""Area codes that are free of charge or charged extra: call centres, the fraudsters' own among them."""
_TELEPHONE_NAMED = re.compile(
    r"(?i)\b(?:phone|phone_?(?:no|nr|num|number)|tel|telephone|telefon|mobile|mobile_?(?:no|number)|msisdn|cell|"
    r"cellphone|whatsapp|sms)['\"]?\s?[=:]\s?['\"]?(\+?\d{7,15})(?![0-9A-Za-z])",
    re.ASCII,
)

_TELEPHONE_WORDS = ("phone", "tel", "mobile", "msisdn", "cell", "whatsapp", "sms")

_DIGITS = re.compile(r"[0-9][0-9 .()/_+\xa0\u202f-]{6}", re.ASCII).search
"""Seven characters that a number may be written with."""


def has_digits(text: str) -> bool:
    """Tells whether a text has what cards, social security numbers and telephones cannot do without; most have not."""
    return _DIGITS(text) is not None


def cards(text: str) -> Iterator[str]:
    """Yields payment card numbers: 13 to 19 digits, a known issuer's prefix and length, Luhn's checksum."""
    for match in _CARD.finditer(text):
        digits = _NO_DIGITS.sub("", match[0])
        if _issued(digits) and _luhn(digits) and _stands_alone(text, match.start(), match.end()):
            yield match[0]


def _stands_alone(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _LONGEST_BEFORE) : start]
    within_row = before[-1:] in ("-", ".", " ") and before[-2:-1].isdigit()
    return not within_row and _BEFORE_CARD.search(before) is not None and _AFTER_CARD.match(text, end) is not None


def _issued(digits: str) -> bool:
    prefix, length = int(digits[:4]), len(digits)
    return any(first <= prefix <= last and length in lengths for first, last, lengths in _ISSUERS)


def _luhn(digits: str) -> bool:
    """Tells whether the checksum is right (ISO/IEC 7812-1 Annex B)."""
    doubled = (2 * int(one) for one in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(one - 9 if one > 9 else one for one in doubled)
    return total % 10 == 0


def social_security_numbers(text: str) -> Iterator[str]:
    """Yields US social security numbers, written 3-2-4, or as nine digits behind a name that says so.

    Never issued (SSA, "Social Security Number Randomization"): area 000, 666 and 900 to 999, group 00, serial 0000.
    """
    lower = text.lower()
    named = any(map(lower.__contains__, _SOCIAL_WORDS))
    for match in (*_SOCIAL.finditer(text), *(_SOCIAL_NAMED.finditer(text) if named else ())):
        area, _, group, serial = match.groups()
        never = area in ("000", "666") or area >= "900" or group == "00" or serial == "0000"
        if not never and area + group + serial not in _SOCIAL_IN_ADVERTS:
            yield f"{area}-{group}-{serial}"


def bank_accounts(text: str) -> Iterator[str]:
    """Yields international bank account numbers: the country's length, and 1 modulo 97 (ISO 13616, ISO 7064)."""
    for match in _ACCOUNT.finditer(text):
        written = text[match.start() - 2 : match.end()]
        account = written.replace(" ", "").replace("-", "").upper()
        length = _ACCOUNT_LENGTHS.get(account[:2])
        # Words may follow behind a blank; the number itself ends where its country says.
        if length is not None and len(account) >= length and _ends_there(written, length):
            account = account[:length]
            if int("".join(str(int(one, 36)) for one in account[4:] + account[:4])) % 97 == 1:
                yield account


def _ends_there(text: str, length: int) -> bool:
    for at, char in enumerate(text):
        length -= char not in " -"
        if length == 0:
            return not text[at + 1 : at + 2].isalnum()
    return False


def tax_codes(text: str) -> Iterator[str]:
    """Yields Italian tax codes, which tell name, birthday, sex and birthplace, where their check letter is right."""
    for match in _TAX_CODE.finditer(text):
        code = text[match.start() - 6 : match.end()].upper()
        total = sum(_ODD[one] for one in code[:15:2]) + sum(int(one, 36) - 10 * one.isalpha() for one in code[1:15:2])
        if chr(ord("A") + total % 26) == code[15]:
            yield code


def telephones(text: str) -> Iterator[str]:
    """Yields telephone numbers: international with a plus, North American in groups, or behind a name that says so."""
    if "+" in text:
        for match in _INTERNATIONAL.finditer(text):
            if sum(char.isdigit() for char in match[0]) <= 15:
                yield match[0]
    if _LAST_FOUR(text) is not None:
        for match in _NORTH_AMERICAN.finditer(text):
            if (match[1] or match[2]) not in _OF_COMPANIES:
                yield match[0]
    if any(map(text.lower().__contains__, _TELEPHONE_WORDS)):
        for match in _TELEPHONE_NAMED.finditer(text):
            yield match[1]

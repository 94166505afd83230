"""Made-up private values that must never come out, and templates of every format with one of them in any field."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, unquote

FOLDER = Path(__file__).parent / "canary_templates"
OUR_DOMAIN, OUR_MAIL, OUR_NETWORK = "us.example", "mail.us.example", "203.0.113.0/24"
GATE = "http://gate.badhost.example/"


@dataclass(frozen=True)
class Canary:
    """One private value."""

    kind: str
    text: str
    """What is planted."""
    secret: str
    """What of it must not come out, in any encoding."""
    alone: bool = False
    """Nothing but where it stands says that it is private: it takes a field's place, and is no part of a URL."""


def _name(rng: Random) -> str:
    return "".join(rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(4)) + f"{rng.randrange(10_000):04}"


def _mail(rng: Random) -> Canary:
    address = f"{_name(rng)}.{_name(rng)}@{rng.choice(['mailbox.example', 'post.mailbox.example'])}"
    return Canary("mail", address, address)


def _own_mail(rng: Random) -> Canary:
    address = f"{_name(rng)}@{rng.choice([OUR_DOMAIN, OUR_MAIL])}"
    return Canary("own-mail", address, address)


def _own_address(rng: Random) -> Canary:
    address = f"203.0.113.{rng.randrange(256)}"
    return Canary("own-address", address, address)


def _own_host(rng: Random) -> Canary:
    host = f"{_name(rng)}.{OUR_DOMAIN}"
    return Canary("own-host", host, host)


def _folder(rng: Random) -> Canary:
    name = _name(rng)
    form = rng.choice(["C:\\Users\\{}\\a.exe", "c:/users/{}/a.exe", "/home/{}/a.sh", "/Users/{}/Desktop/a"])
    return Canary("folder", form.format(name), name)


def _user(rng: Random) -> Canary:
    name = "".join(char for char in _name(rng) if char.isalpha())
    form = rng.choice(["?user={}", "?username={}&x=1", "~{}/x", "?x=1&login={}", "?fname={}"])
    return Canary("user", GATE + form.format(name), name)


def _user_alone(rng: Random) -> Canary:
    name = _name(rng)
    return Canary("user-alone", rng.choice(["{}", "DESK\\{}"]).format(name), name, alone=True)


def _computer(rng: Random) -> Canary:
    name = _name(rng)
    form = rng.choice(["{}-laptop.office", "{}.laptop", "pc-{}.office", "desktop-{}.office", "{}s-macbook-pro.office"])
    host = f"{form.format(name)}.badhost.example"
    return Canary("computer", host, host)


def _computer_in_url(rng: Random) -> Canary:
    name = f"DESKTOP-{_name(rng)[-7:].upper()}"
    return Canary("computer-in-url", f"{GATE}?{rng.choice(['pc', 'id', 'computername'])}={name}", name)


def _card(rng: Random) -> Canary:
    prefix, length = rng.choice([("4", 16), ("53", 16), ("37", 15), ("6011", 16), ("3530", 16)])
    digits = prefix + "".join(str(rng.randrange(10)) for _ in range(length - len(prefix) - 1))
    total = sum(one if place % 2 else (2 * one - 9 * (one > 4)) for place, one in enumerate(map(int, digits[::-1])))
    digits += str(-total % 10)
    groups = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    parts, at = [], 0
    for group in groups:
        parts.append(digits[at : at + group])
        at += group
    text = rng.choice(["", " ", "-"]).join(parts)
    return Canary("card", text, text)


def _ssn(rng: Random) -> Canary:
    area, group, serial = (
        rng.choice([*range(1, 666), *range(667, 900)]),
        rng.randrange(1, 100),
        rng.randrange(1, 10_000),
    )
    text = f"{area:03}-{group:02}-{serial:04}"
    return Canary("ssn", *rng.choice([(text, text), (f"{GATE}?ssn={text.replace('-', '')}", text.replace("-", ""))]))


def _phone(rng: Random) -> Canary:
    last = f"{rng.randrange(10_000):04}"
    area = rng.choice(["202", "415", "312"])
    form = rng.choice(["+1 {}-555-{}", "+1{}555{}", "({}) 555-{}", "{}-555-{}", "{}.555.{}", "+49 30 {} {}"])
    text = form.format(area, last)
    return Canary("phone", text, text)


def _iban(rng: Random) -> Canary:
    body = "".join(str(rng.randrange(10)) for _ in range(18))
    text = f"DE{98 - int(body + '131400') % 97:02}{body}"
    if rng.random() < 0.5:
        text = " ".join(text[at : at + 4] for at in range(0, len(text), 4))
    return Canary("iban", text, text)


MAKERS: dict[str, Callable[[Random], Canary]] = {
    "mail": _mail,
    "own-mail": _own_mail,
    "own-address": _own_address,
    "own-host": _own_host,
    "folder": _folder,
    "user": _user,
    "user-alone": _user_alone,
    "computer": _computer,
    "computer-in-url": _computer_in_url,
    "card": _card,
    "ssn": _ssn,
    "phone": _phone,
    "iban": _iban,
}


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


ENCODINGS: dict[str, Callable[[str], str]] = {
    "percent": _percent,
    "percent twice": lambda text: quote(_percent(text), safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 escaped": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "hex": lambda text: text.encode().hex(),
}


def encoded(canary: Canary, rng: Random) -> Canary:
    """Gives a canary as the parameter of a URL, in one of the encodings; the short ones as they are."""
    if canary.alone or len(canary.text) < 9:
        return canary
    way = rng.choice(list(ENCODINGS))
    return Canary(f"{canary.kind}, {way}", f"{GATE}?q={ENCODINGS[way](canary.text)}", canary.secret)


def came_out(canaries: Sequence[Canary], output: str) -> list[Canary]:
    """Gives the canaries that some output holds, plain or in any encoding."""
    once = unquote(output)
    whole = "\n".join(dict.fromkeys((output, once, unquote(once))))
    lower = whole.lower()
    return [one for one in canaries if any(form in lower for form in _folded(one.secret)) or _base64_in(one, whole)]


def _folded(secret: str) -> tuple[str, ...]:
    escaped = secret.replace("\\", "\\\\")
    return secret.lower(), escaped.lower(), secret.encode().hex(), secret.replace(" ", "+").lower()


def _base64_in(canary: Canary, whole: str) -> bool:
    raw = canary.secret.encode()
    for pad in range(3):
        # What follows from the secret alone, wherever it begins in what was encoded.
        middle = base64.b64encode(b"\0" * pad + raw).decode()[4 * bool(pad) :].rstrip("=")[: 4 * ((len(raw) - 2) // 3)]
        if len(middle) >= 8 and (middle in whole or middle.translate(str.maketrans("+/", "-_")) in whole):
            return True
    return False


@dataclass(frozen=True)
class Field:
    """One place of a template that holds text."""

    path: str
    text: str
    plant: Callable[[str], bytes]
    """Gives the whole file, or for formats of records one record, with another text there."""


_TOKEN = re.compile(r"[^\s<>;,\"()]+")
_IN_XML = re.compile(r"(?<==\")[^\"]*(?=\")|(?<=>)[^<>]+(?=<)")


def fields(file: Path) -> list[Field]:
    """Gives every place of a template that may hold text."""
    text = file.read_text("utf-8")
    if file.suffix == ".ndjson":
        return [one for line in text.splitlines() for one in _json_fields(json.loads(line))]
    if file.suffix == ".csv":
        return list(_csv_fields(list(csv.reader(io.StringIO(text)))))
    pattern = _IN_XML if file.suffix in (".xml", ".html") else _TOKEN
    return list(_text_fields(text, pattern, file.suffix in (".xml", ".html")))


def _json_fields(doc: Any) -> Iterator[Field]:
    for steps, value in _leaves(doc, ()):

        def plant(new: str, steps: tuple[Any, ...] = steps) -> bytes:
            return json.dumps(_changed(doc, steps, new)).encode() + b"\n"

        yield Field(".".join(map(str, steps)), value, plant)


def _leaves(value: Any, steps: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        if isinstance(member, str):
            yield (*steps, step), member
        else:
            yield from _leaves(member, (*steps, step))


def _changed(value: Any, steps: tuple[Any, ...], new: str) -> Any:
    if not steps:
        return new
    if isinstance(value, dict):
        return {key: _changed(one, steps[1:], new) if key == steps[0] else one for key, one in value.items()}
    return [_changed(one, steps[1:], new) if place == steps[0] else one for place, one in enumerate(value)]


def _csv_fields(rows: list[list[str]]) -> Iterator[Field]:
    for number, row in enumerate(rows[1:], 1):
        for place, cell in enumerate(row):

            def plant(new: str, number: int = number, place: int = place) -> bytes:
                out = io.StringIO()
                row = [new if at == place else cell for at, cell in enumerate(rows[number])]
                csv.writer(out, lineterminator="\n").writerows([rows[0], row])
                return out.getvalue().encode()

            yield Field(f"{rows[0][place]}.{number}", cell, plant)


def _text_fields(text: str, pattern: re.Pattern[str], markup: bool) -> Iterator[Field]:
    line_of = {}
    for number, match in enumerate(re.finditer("[^\n]+", text)):
        for at in range(match.start(), match.end()):
            line_of[at] = f"{number}.{match[0].partition(':')[0].lower()}"
    for match in pattern.finditer(text):

        def plant(new: str, begin: int = match.start(), end: int = match.end()) -> bytes:
            if markup:
                new = new.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
            return (text[:begin] + new + text[end:]).encode()

        yield Field(line_of.get(match.start(), ""), match[0], plant)


def pdf(lines: Sequence[str]) -> bytes:
    """Writes a page with some lines of text as a PDF file, uncompressed, without a library."""
    escaped = [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in lines]
    shown = "\n".join(f"({line}) Tj T*" for line in escaped)
    stream = f"BT /F1 9 Tf 11 TL 30 760 Td\n{shown}\nET".encode("latin-1", "replace")
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1200 800] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(parts) + 1
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%b%b" % (size, table, tail)


_SEPARATORS = (" ", "/", "?q=", "&q=", ", ", ";", "=")


def planted(field: Field, canary: Canary, rng: Random) -> bytes:
    """Gives a template with a canary in place of a field's text, or behind it."""
    if field.text.endswith("']"):
        # A STIX pattern: what it matches goes on with the canary.
        inner = canary.text.replace("\\", "\\\\").replace("'", "\\'")
        return field.plant(f"{field.text[:-2]}{rng.choice(_SEPARATORS)}{inner}']")
    if canary.alone or rng.random() < 0.5:
        return field.plant(canary.text)
    return field.plant(field.text + rng.choice(_SEPARATORS) + canary.text)

"""Recipients of a phish are found in URLs however they are written, and cut."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.recipients import Cut, Recipients, without_recipients
from threatshare.model import Kind

OWN = OwnAssets(domains=("corp.example",), mail_domains=("mail-corp.example",))
ANNA = "anna.lee@victim.example"


def cut(url: str, *recipients: str) -> Cut:
    found = without_recipients(url, Recipients(recipients or (ANNA,), OWN))
    assert found is not None
    return found


def left(url: str, *recipients: str) -> str | None:
    observable = cut(url, *recipients).observable
    return observable.value if observable else None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://evil.test/login?id=7", "https://evil.test/login?id=7"),
        ("https://evil.test/login?id=7&e=anna.lee@victim.example&z=1", "https://evil.test/login?id=7"),
        ("https://evil.test/login?anna.lee%2540victim.example", "https://evil.test/login"),
        ("https://evil.test/login?e=ANNA.LEE@VICTIM.EXAMPLE", "https://evil.test/login"),
        ("https://evil.test/a/anna.lee@victim.example/b?c=d", "https://evil.test/a/"),
        ("https://evil.test/a/anna_lee/b", "https://evil.test/a/"),
        ("https://evil.test/a/x;u=annalee", "https://evil.test/a/"),
        ("https://evil.test/a#anna.lee@victim.example", "https://evil.test/a"),
        ("https://anna.lee:x@evil.test/a", "https://evil.test/a"),
        ("https://evil.test/?m=elpmaxe.mitciv@eel.anna", "https://evil.test/"),
        ("https://evil.test/bounce+anna.lee=victim.example/x", "https://evil.test/"),
        ("https://evil.test/?other.person@victim.example", "https://evil.test/"),
        ("https://evil.test/a?boss@corp.example", "https://evil.test/a"),
        ("https://evil.test/a?boss@sub.mail-corp.example", "https://evil.test/a"),
        ("https://evil.test/joanna.leeds/", "https://evil.test/joanna.leeds/"),
    ],
)
def test_a_url_is_cut_before_what_names_a_recipient(url: str, expected: str) -> None:
    """The query goes from the parameter on, the path from the segment on; what only resembles a name stays."""
    assert left(url) == expected


def test_what_was_cut_is_recorded_with_rule_and_part() -> None:
    """A removal names the rule and where it stood, and keeps the text for hashing only: repr does not show it."""
    (removal,) = cut("https://evil.test/a?e=anna.lee@victim.example").removals
    assert (removal.rule, removal.part) == ("recipient-in-url", "body")
    assert "anna" in removal.value
    assert "anna" not in repr(removal)
    assert [one.value for one in cut("https://evil.test/a#anna.lee").removals] == ["anna.lee"]


@pytest.mark.parametrize(
    "host", ["anna-lee.evil.test", "annalee.victim.example.x.evil.test", "{b64}.evil.test", "{hex}.evil.test"]
)
def test_a_recipient_in_the_host_holds_the_registered_domain(host: str) -> None:
    """Nothing of the URL is kept but the domain, and that is held with its reason; case is lost in hosts."""
    b64 = base64.urlsafe_b64encode(ANNA.encode()).decode().rstrip("=").lower()
    found = cut(f"https://{host.format(b64=b64, hex=ANNA.encode().hex())}/login?x=1")
    assert found.observable == (Kind.DOMAIN, "evil.test")
    assert found.hold is not None
    assert found.hold.endswith("; held")
    assert found.removals


def test_nothing_is_kept_of_a_registered_domain_that_names_one() -> None:
    """Where the domain itself is the recipient's name, there is nothing to propose."""
    assert left("https://annalee.test/x") is None


def test_a_path_cut_to_nothing_is_held() -> None:
    """The bare site is not the page that was seen; a page with its query cut is."""
    assert cut("https://evil.test/anna.lee/login").hold is not None
    assert cut("https://evil.test/?e=anna.lee").hold is None
    assert cut("https://evil.test/a/anna.lee").hold is None


def test_desks_and_short_names_tell_nothing_by_themselves() -> None:
    """``/admin/`` names no person, nor does ``/bob/``; their whole addresses do."""
    assert left("https://evil.test/admin/login", "admin@victim.example") == "https://evil.test/admin/login"
    assert left("https://evil.test/bob/x", "bob@victim.example") == "https://evil.test/bob/x"
    assert left("https://evil.test/a/bob@victim.example", "bob@victim.example") == "https://evil.test/a/"


def test_a_large_providers_domain_is_nobodys() -> None:
    """A recipient at a free provider does not make every address there a recipient."""
    assert (
        left("https://evil.test/a?to=other@gmail.com", "anna.lee@gmail.com") == "https://evil.test/a?to=other@gmail.com"
    )
    assert left("https://evil.test/a?to=1anna.lee@gmail.com", "anna.lee@gmail.com") == "https://evil.test/a"


@pytest.mark.parametrize("text", [ANNA, "anna.lee"])
@pytest.mark.parametrize("name", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_hashes_of_an_address_are_known(name: str, text: str) -> None:
    """Trackers write the hash of an address or its local part; whoever knows the address can tell."""
    digest = hashlib.new(name, text.encode()).digest()
    for written in (
        digest.hex(),
        digest.hex().upper(),
        base64.b64encode(digest.hex().encode()).decode(),
        base64.b64encode(digest).decode(),
        quote(base64.b64encode(digest).decode(), safe=""),
        base64.urlsafe_b64encode(digest).decode().rstrip("="),
        base64.b32encode(digest).decode().rstrip("="),
    ):
        assert left(f"https://evil.test/a/{written}/b") == "https://evil.test/a/", written
        assert left(f"https://evil.test/a?x=1&h={written}&y=2") == "https://evil.test/a?x=1", written


@pytest.mark.parametrize("name", ["alee", "a.lee", "ALee", "lee.anna", "LeeAnna", "lee_anna", "lee-anna"])
def test_usual_forms_of_a_name_are_known(name: str) -> None:
    """Where an address is first and last name, the initial with the last name and the two swapped are a person."""
    assert left(f"https://evil.test/a/{name}/b") == "https://evil.test/a/"
    assert left(f"https://evil.test/a?u={name}") == "https://evil.test/a"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        (ANNA, "galee"),
        (ANNA, "aleex"),
        (ANNA, "leeannas"),
        ("jane.li@victim.example", "jli"),
        ("sales.team@victim.example", "steam"),
        ("janedoe@victim.example", "jdoe"),
        ("jane.m.doe@victim.example", "jdoe"),
    ],
)
def test_only_names_are_taken_for_names(address: str, kept: str) -> None:
    """Parts of a word, short forms, desks, and addresses that are not two names give no other forms."""
    assert left(f"https://evil.test/a/{kept}/b", address) == f"https://evil.test/a/{kept}/b"


def test_no_url_is_none() -> None:
    """What is no URL is not for this module to judge."""
    assert without_recipients("evil.test/a", Recipients((), OWN)) is None


LOCALS = st.from_regex(r"[a-z]{4,10}([._-][a-z]{2,8})?(\+[a-z]{1,5})?", fullmatch=True)
DOMAINS = st.sampled_from(["victim.example", "gmail.com", "corp.example", "mail.victim.test"])
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: quote(text),
    "bare": lambda text: text,
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "twice": lambda text: quote(quote("".join(f"%{byte:02X}" for byte in text.encode()))),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 bare": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 escaped": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of a record": lambda text: base64.b64encode(f'{{"id":7,"mail":"{text}"}}'.encode()).decode(),
    "utf-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "swapped case": str.swapcase,
    "reversed": lambda text: text[::-1],
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32 bare": lambda text: base64.b32encode(text.encode()).decode().rstrip("=").lower(),
    "base32 of a record": lambda text: base64.b32encode(f'{{"mail":"{text}"}}'.encode()).decode(),
    "quoted-printable": lambda text: "".join(one if one.isalnum() else f"={ord(one):02X}" for one in text),
    "quoted-printable all": lambda text: "".join(f"={ord(one):02x}" for one in text),
    "entities": lambda text: quote("".join(f"&#{ord(one)};" for one in text), safe=""),
    "hex entities": lambda text: quote("".join(f"&#x{ord(one):x};" for one in text), safe=""),
    "escaped x": lambda text: "".join(f"\\x{ord(one):02x}" for one in text),
    "escaped u": lambda text: quote("".join(f"\\u{ord(one):04X}" for one in text)),
    "escaped by percent u": lambda text: "".join(f"%u{ord(one):04x}" for one in text),
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex with blanks": lambda text: quote(text.encode().hex(" ")),
    "hex in groups": lambda text: text.encode().hex("-", 4).upper(),
    "hex with 0x": lambda text: ",".join(f"0x{ord(one):02x}" for one in text),
    "full width": lambda text: quote("".join(chr(ord(one) + 0xFEE0) for one in text)),
    "full width bare": lambda text: "".join(chr(ord(one) + 0xFEE0) for one in text),
    "mathematical": lambda text: quote(
        "".join(chr(0x1D41A + ord(one) - 97) if "a" <= one <= "z" else one for one in text)
    ),
    "reversed base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("=")[::-1],
}
SHAPES = [
    "https://evil.test/a/{}",
    "https://evil.test/a/{}/b?c=d",
    "https://evil.test/a?{}",
    "https://evil.test/a?x=1&e={}&y=2",
    "https://evil.test/a?x=1;e={}",
    "https://evil.test/a#{}",
    "https://evil.test/a/x-{}",
    "https://evil.test/a?t=id.{}.z",
]


@given(LOCALS, DOMAINS, st.sampled_from(sorted(ENCODINGS)), st.sampled_from(SHAPES), st.booleans(), st.booleans())
@example("aaaa", "victim.example", "base64", SHAPES[0], True, False)
def test_no_encoding_of_a_recipient_survives(
    local: str, domain: str, encoding: str, shape: str, whole: bool, upper: bool
) -> None:
    """Whatever a URL's shape and the way the address or its local part is written, it is cut, and noted."""
    address = f"{local}@{domain}"
    text = address if whole else local
    encoded = ENCODINGS[encoding](text.upper() if upper else text)
    found = cut(shape.format(encoded), address)
    assert found.observable is not None
    value = found.observable.value
    assert encoded.rstrip("=") not in value
    assert value.startswith("https://evil.test/")
    assert set(value.removeprefix("https://evil.test/")) <= set("a/?x=1t&")
    assert found.removals


@given(st.from_regex(r"https://evil\.test/[a-z0-9/]{0,30}(\?[a-z0-9=&]{0,30})?", fullmatch=True))
def test_clean_urls_stay_whole(url: str) -> None:
    """With no recipient in it, a URL is what it was."""
    found = cut(url, "qzxqzxqzx@victim.example")
    assert found.observable is not None
    assert found.observable.value == url
    assert not found.removals


HOSTILE = ["%25", "QUFB-", "/a", "&a=b", "ab", "ab.", "QUFB/QUFB", "%2541", "=41", "=3D41", "mfrgg", "mfxg4yjomvsq"]
HOSTILE += ["4a:", "/x41", "&%2341;", "0x41", "%EF%BD%81", "%CC%81%EF%BD%81", "aaaaaaa-", "////"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_urls_come_to_an_end(piece: str) -> None:
    """A URL made to have many readings is cut before what hides in it, whatever stands before that."""
    assert left("https://evil.test/?" + piece * (8000 // len(piece))) is not None
    assert left("https://evil.test/" + piece * (7000 // len(piece)) + "?e=anna.lee") is not None


@pytest.mark.parametrize("piece", [*HOSTILE, "%u0041"])
def test_time_grows_with_the_length_alone(piece: str) -> None:
    """Four times the text takes about four times the time, whatever it is made of."""
    recipients, best = Recipients((ANNA,), OWN), list[float]()
    for length in (8_000, 32_000):
        text, times = f"/?{piece * (length // len(piece))}", list[float]()
        for _ in range(2):
            started = time.process_time()
            recipients.are_in(text)
            times.append(time.process_time() - started)
        best.append(min(times))
    assert best[1] < 8 * best[0] + 0.05

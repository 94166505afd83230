"""STIX 1.x: through the converter where it is installed, and a clear word where it is not or does not do its work."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.stix1 import ADVICE, MAX_FILE, Stix1Reader
from threatshare.findings.formats.stix1_converter import Converter, installed
from threatshare.model import Finding, Kind, Reject, Role, Tlp

PACKAGE = b'<?xml version="1.0"?>\n<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" id="a"/>'
OBSERVABLES = b'<cybox:Observables xmlns:cybox="http://cybox.mitre.org/cybox-2" />'
US = OwnAssets(organisations=frozenset({"our soc"}))
UUID = "28e945c4-7eb9-41b8-8732-5f4eb8a4e764"
ATTRIBUTE = {"uuid": UUID, "type": "ip-dst", "value": "203.0.113.7", "category": "Network activity", "to_ids": True}

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{name}"'
    for prefix, name in {
        "xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "stix": "http://stix.mitre.org/stix-1",
        "stixCommon": "http://stix.mitre.org/common-1",
        "indicator": "http://stix.mitre.org/Indicator-2",
        "marking": "http://data-marking.mitre.org/Marking-1",
        "tlpMarking": "http://data-marking.mitre.org/extensions/MarkingStructure#TLP-1",
        "cybox": "http://cybox.mitre.org/cybox-2",
        "Address": "http://cybox.mitre.org/objects#AddressObject-2",
        "DomainName": "http://cybox.mitre.org/objects#DomainNameObject-1",
        "URI": "http://cybox.mitre.org/objects#URIObject-2",
        "EmailMessage": "http://cybox.mitre.org/objects#EmailMessageObject-2",
        "example": "http://example.com/",
    }.items()
)


def package(*indicators: str, maker: str = "", colour: str = "") -> bytes:
    """Writes a package of STIX 1.2 with an indicator for each CybOX object."""
    source = f"<stixCommon:Identity><stixCommon:Name>{maker}</stixCommon:Name></stixCommon:Identity>" if maker else ""
    marking = (
        "<stix:Handling><marking:Marking><marking:Controlled_Structure>//node() | //@*</marking:Controlled_Structure>"
        f'<marking:Marking_Structure xsi:type="tlpMarking:TLPMarkingStructureType" color="{colour}"/>'
        "</marking:Marking></stix:Handling>"
        if colour
        else ""
    )
    body = "".join(
        f'<stix:Indicator xsi:type="indicator:IndicatorType" id="example:i-{at}">'
        f'<indicator:Observable id="example:o-{at}"><cybox:Object id="example:b-{at}">{one}</cybox:Object>'
        "</indicator:Observable></stix:Indicator>"
        for at, one in enumerate(indicators)
    )
    return (
        f'<stix:STIX_Package {NAMESPACES} id="example:Package-1" version="1.2"><stix:STIX_Header>'
        f"<stix:Title>A package</stix:Title>{marking}<stix:Information_Source>{source}</stix:Information_Source>"
        f"</stix:STIX_Header><stix:Indicators>{body}</stix:Indicators></stix:STIX_Package>"
    ).encode()


def properties(kind: str, content: str, attributes: str = "") -> str:
    """Writes a CybOX object; its prefix is its kind."""
    return f'<cybox:Properties xsi:type="{kind}:{kind}ObjectType" {attributes}>{content}</cybox:Properties>'


def address(value: str) -> str:
    return f"<Address:Address_Value>{value}</Address:Address_Value>"


def read(text: bytes, converter: Converter | None = None, own: OwnAssets = US) -> list[Finding | Reject]:
    return list(Stix1Reader(converter).read(io.BytesIO(text), "a.xml", own))


def reason(text: bytes, converter: Converter | None = None) -> str:
    """Reads what is to be one Reject, and gives its reason."""
    (one,) = read(text, converter)
    assert isinstance(one, Reject)
    return one.reason


@pytest.fixture
def converter(tmp_path: Path) -> Converter:
    """A command that writes a ready event, whatever the package is."""
    return fake(tmp_path, {"info": "A title", "Attribute": [ATTRIBUTE]})


def fake(folder: Path, event: object, complaints: tuple[str, ...] = ()) -> Converter:
    report = {"converted": True, "complaints": complaints}
    return script(folder, f"Path(sys.argv[2]).write_text({json.dumps(event)!r}); print({json.dumps(report)!r})")


def script(folder: Path, code: str, seconds: float = 60) -> Converter:
    file = folder / "converter.py"
    file.write_text(f"import json, os, sys, time\nfrom pathlib import Path\n{code}\n", "utf-8")
    return Converter((sys.executable, str(file)), seconds)


@pytest.mark.parametrize("text", [PACKAGE, b"\xef\xbb\xbf" + PACKAGE, OBSERVABLES, package()])
def test_stix_1_is_recognised(text: bytes) -> None:
    """A package or bare observables are taken."""
    assert Stix1Reader().recognises(text, "a.xml")


@pytest.mark.parametrize(
    "text",
    [
        b'<ioc xmlns="http://schemas.mandiant.com/2010/ioc"/>',
        b"<html>a &lt;stix:STIX_Package&gt; of http://stix.mitre.org/stix-1</html>",
        b'{"type": "bundle"}',
        b"STIX_Package http://stix.mitre.org/stix-1",
        b"",
    ],
)
def test_other_formats_are_left_alone(text: bytes) -> None:
    """Other XML, pages about STIX, JSON and prose are not taken."""
    assert not Stix1Reader().recognises(text, "a.xml")


def test_without_the_converter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where misp-stix is not installed, each package is one reject with the command that mends it."""
    # None in sys.modules is how Python marks a module as not to be found.
    monkeypatch.setitem(sys.modules, "misp_stix_converter", None)
    assert read(PACKAGE) == [Reject("a.xml", ADVICE)]
    assert "pip install 'threatshare[stix1]'" in ADVICE


def test_the_converted_event_is_read_as_the_misp_reader_does(tmp_path: Path) -> None:
    """A finding bears our sensor's name, its place in the package, and the file's time where nothing states one."""
    file = tmp_path / "a.xml"
    file.write_bytes(package(maker="Our SOC"))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    with file.open("rb") as stream:
        made = fake(tmp_path, {"info": "A title", "Attribute": [ATTRIBUTE]})
        (one,) = Stix1Reader(made).read(stream, "a.xml", US)
    assert isinstance(one, Finding)
    assert (one.sensor, one.title, one.place) == ("stix1", "A title", f"a.xml attribute {UUID}")
    assert one.seen_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert [(seen.observable, seen.role) for seen in one.observations] == [((Kind.IPV4, "203.0.113.7"), Role.C2)]


def test_a_stated_time_stays(tmp_path: Path) -> None:
    """The time of the package is not overwritten by the file's."""
    (one,) = read(package(maker="Our SOC"), fake(tmp_path, {"date": "2014-05-08", "Attribute": [ATTRIBUTE]}))
    assert isinstance(one, Finding)
    assert one.seen_at == datetime(2014, 5, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("maker", "colour", "role", "tlp"),
    [
        ("Our SOC", "", Role.C2, None),
        ("Our SOC", "RED", Role.C2, Tlp.RED),
        ("Others", "", Role.UNKNOWN, None),
        ("Others", "AMBER", Role.UNKNOWN, Tlp.AMBER),
        ("Others", "GREEN", Role.C2, Tlp.GREEN),
        ("", "", Role.UNKNOWN, None),
        ("", "WHITE", Role.C2, Tlp.CLEAR),
        ("Our SOC", "PURPLE", Role.UNKNOWN, None),
    ],
)
def test_whose_it_is_and_its_marking_decide(
    converter: Converter, maker: str, colour: str, role: Role, tlp: Tlp | None
) -> None:
    """What others made or nobody signed is held unless it is marked for everybody, as with MISP events."""
    (one,) = read(package(maker=maker, colour=colour), converter)
    assert isinstance(one, Finding)
    assert (one.observations[0].role, one.tlp) == (role, tlp)


def test_the_strictest_marking_counts(tmp_path: Path) -> None:
    """A marking that only the converter found is not undone by the package's."""
    made = fake(tmp_path, {"Tag": [{"name": "tlp:red"}], "Attribute": [ATTRIBUTE]})
    (one,) = read(package(maker="Others", colour="WHITE"), made)
    assert isinstance(one, Finding)
    assert (one.observations[0].role, one.tlp) == (Role.UNKNOWN, Tlp.RED)


def test_a_maker_that_the_converter_names_is_not_replaced_by_us(tmp_path: Path) -> None:
    """A package that says it is ours, converted to an event of others, is theirs."""
    made = fake(tmp_path, {"Orgc": {"name": "Others"}, "Attribute": [ATTRIBUTE]})
    (one,) = read(package(maker="Our SOC"), made)
    assert isinstance(one, Finding)
    assert one.observations[0].role is Role.UNKNOWN


def test_values_joined_by_and_are_held(converter: Converter) -> None:
    """Values that mean something only together are held, also our own, though the converter gives them one by one."""
    (one,) = read(package('<cybox:Observable_Composition operator="AND"/>', maker="Our SOC"), converter)
    assert isinstance(one, Finding)
    assert one.observations[0].role is Role.UNKNOWN
    assert one.observations[0].why.endswith("; held")


def test_what_is_held_for_a_person_does_not_make_victims_public(tmp_path: Path) -> None:
    """Holding a package holds what could be an indicator; a recipient stays a victim's asset."""
    to = {**ATTRIBUTE, "type": "email-dst", "value": "someone@example.com"}
    made = fake(tmp_path, {"Object": [{"name": "email", "Attribute": [ATTRIBUTE, to]}]})
    (one,) = read(package('<cybox:Observable_Composition operator="AND"/>'), made)
    assert isinstance(one, Finding)
    assert [seen.role for seen in one.observations] == [Role.UNKNOWN, Role.VICTIM_ASSET]


def test_what_the_converter_left_out_is_counted(tmp_path: Path) -> None:
    """Records that could not be converted are one reject with their number, beside what could."""
    made = fake(tmp_path, {"Attribute": [ATTRIBUTE]}, ("Unknown type x", "Unknown type y"))
    one, rest = read(package(), made)
    assert isinstance(one, Finding)
    assert rest == Reject(
        "a.xml", "misp-stix could not convert 2 records of the package", "Unknown type x; Unknown type y"
    )


def test_values_that_may_be_lost_are_told(converter: Converter) -> None:
    """Where two objects share an id, of which the converter keeps one, a reject says so."""
    one, rest = read(package('<Object id="a"/>', '<Object id="a"/>'), converter)
    assert isinstance(one, Finding)
    assert isinstance(rest, Reject)
    assert "bears too: 1" in rest.reason


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]>" + package(), "document type"),
        (b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>" + package(), "document type"),
        (package() + b" " * MAX_FILE, "more than 16777216 bytes"),
        (package()[:-5], "no XML that can be read"),
    ],
)
def test_hostile_xml_never_reaches_the_converter(tmp_path: Path, text: bytes, why: str) -> None:
    """Bombs, entities, giants and fragments are one reject, and no child is started."""
    trace = tmp_path / "ran"
    assert why in reason(text, script(tmp_path, f"Path({str(trace)!r}).touch()"))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise KeyError('secret of the converter')", "misp-stix failed: KeyError: 'secret of the converter'"),
        ("raise ValueError('\\x1b[2J' + 'x' * 500)", "misp-stix failed: ValueError:  [2Jxxx"),
        ("sys.exit(3)", "misp-stix failed: exit code 3"),
        ("os.kill(os.getpid(), 11)", "misp-stix failed: ended by signal 11"),
        ("print('no JSON')", "misp-stix gave an answer that cannot be read"),
        (
            "print(json.dumps({'converted': False, 'complaints': ['package.xml - Too odd\\n at line 3']}))",
            "it: Too odd",
        ),
        ("print(json.dumps({'converted': True, 'complaints': []}))", "could not be run: No such file"),
        ("Path(sys.argv[2]).write_text('[]'); print('{\"converted\": true, \"complaints\": []}')", "no MISP event"),
        (
            "from threatshare.findings.formats.stix1_converter import confine; confine()\n"
            "Path(sys.argv[2]).write_bytes(bytes(33 * 2**20))",
            "misp-stix failed: OSError: [Errno 27]",
        ),
        (
            "from threatshare.findings.formats.stix1_converter import confine; confine()\n"
            "import socket; socket.create_connection(('127.0.0.1', 9))",
            "the converter wanted to reach the network (socket.getaddrinfo)",
        ),
    ],
)
def test_a_converter_that_fails_is_one_short_reject(tmp_path: Path, code: str, why: str) -> None:
    """Crashes, nonsense, too much output and calls for the network are one reason of one line, without a traceback."""
    told = reason(package(), script(tmp_path, code))
    assert why in told
    assert len(told) < 300
    assert "Traceback" not in told
    assert "\n" not in told


def test_a_converter_that_hangs_is_ended(tmp_path: Path) -> None:
    """After its time the child is gone, with what it started, and the package is one reject."""
    pid = tmp_path / "pid"
    code = f"Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    began = time.monotonic()
    assert reason(package(), script(tmp_path, code, seconds=1.5)) == "misp-stix did not finish within 1.5 seconds"
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_converter_sees_nothing_of_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret of the environment and no server's address is handed on, and it works in an empty folder that goes."""
    monkeypatch.setenv("MISP_URL", "https://misp.example.test")
    monkeypatch.setenv("PARTNER_PASSWORD", "correct horse")
    code = (
        "print(json.dumps({'converted': False, 'complaints': [' '.join([*os.environ, os.getcwd(), *os.listdir()])]}))"
    )
    told = reason(package(), script(tmp_path, code))
    assert "MISP_URL" not in told
    assert "PARTNER_PASSWORD" not in told
    (folder,) = [one for one in told.split() if "threatshare-stix1-" in one]
    assert not Path(folder).exists()


def test_a_real_conversion() -> None:
    """With misp-stix itself: addresses, names and URLs come out in their roles, recipients stay home, no network."""
    if installed() is None:
        pytest.skip("needs misp-stix: pip install 'threatshare[stix1]'")
    found = read(
        package(
            properties("Address", address("203.0.113.7"), 'category="ipv4-addr"'),
            properties("DomainName", "<DomainName:Value>c2.attacker.test</DomainName:Value>", 'type="FQDN"'),
            properties("URI", "<URI:Value>http://c2.attacker.test/a</URI:Value>", 'type="URL"'),
            properties(
                "EmailMessage",
                '<EmailMessage:Header><EmailMessage:To><EmailMessage:Recipient category="e-mail">'
                f"{address('someone@example.org')}</EmailMessage:Recipient></EmailMessage:To>"
                f'<EmailMessage:From category="e-mail">{address("sender@attacker.test")}</EmailMessage:From>'
                "</EmailMessage:Header>",
            ),
            maker="Others",
            colour="GREEN",
        )
    )
    assert all(isinstance(one, Finding) and one.sensor == "stix1" and one.tlp is Tlp.GREEN for one in found), found
    seen = {one.observable.value: one.role for each in found if isinstance(each, Finding) for one in each.observations}
    assert seen == {
        "203.0.113.7": Role.C2,
        "c2.attacker.test": Role.C2,
        "http://c2.attacker.test/a": Role.PAYLOAD,
        "sender@attacker.test": Role.PHISH_SENDER,
        "someone@example.org": Role.VICTIM_ASSET,
    }

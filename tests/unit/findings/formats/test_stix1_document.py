"""What a STIX 1 package says of all that it holds, and XML that never gets as far as a converter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.formats.stix1_document import MAX_DEPTH, statement_of
from threatshare.model import Tlp

US = OwnAssets(organisations=frozenset({"our soc"}))
ALL = "//node() | //@*"
HEADER_ONLY = "../../../descendant-or-self::node()"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def package(header: str = "", body: str = "") -> bytes:
    return (
        f'<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" {XSI}>'
        f"<stix:STIX_Header>{header}</stix:STIX_Header>{body}</stix:STIX_Package>"
    ).encode()


def handling(structure: str, covers: str | None = ALL) -> str:
    where = "" if covers is None else f"<Controlled_Structure>{covers}</Controlled_Structure>"
    return f"<Handling><Marking>{where}{structure}</Marking></Handling>".replace("Handling>", "stix:Handling>")


def tlp(colour: str) -> str:
    return f'<Marking_Structure xsi:type="tlpMarking:TLPMarkingStructureType" color="{colour}"/>'


def ais(colour: str, proprietary: str = "false", holder: str = "Not_Proprietary") -> str:
    return (
        f'<Marking_Structure xsi:type="AIS:AISMarkingStructure"><{holder} CISA_Proprietary="{proprietary}">'
        f'<AISConsent consent="NONE"/><TLPMarking color="{colour}"/></{holder}></Marking_Structure>'
    )


def simple(statement: str) -> str:
    return (
        '<Marking_Structure xsi:type="simpleMarking:SimpleMarkingStructureType">'
        f"<Statement>{statement}</Statement></Marking_Structure>"
    )


def identity(name: str, holder: str = "Information_Source") -> str:
    return f"<{holder}><Identity>{name}</Identity></{holder}>"


@pytest.mark.parametrize(
    ("structure", "label"),
    [
        (tlp("WHITE"), Tlp.CLEAR),
        (tlp("CLEAR"), Tlp.CLEAR),
        (tlp("GREEN"), Tlp.GREEN),
        (tlp("AMBER"), Tlp.AMBER),
        (tlp("RED"), Tlp.RED),
        (tlp("GREEN") + tlp("AMBER"), Tlp.AMBER),
        (ais("GREEN"), Tlp.GREEN),
        (ais("AMBER"), Tlp.AMBER),
        (simple("tlp:amber+strict"), Tlp.AMBER_STRICT),
    ],
)
def test_markings_of_the_whole(structure: str, label: Tlp) -> None:
    """A marking in the header that reaches everything is that of everything, the strictest of two."""
    said = statement_of(package(handling(structure)))
    assert (said.tlp, said.held) == (label, None)


@pytest.mark.parametrize("covers", ["//node()", "//*", "//@* | //node()", "../../../../descendant-or-self::node()"])
def test_paths_that_reach_everything(covers: str) -> None:
    """Spellings of "all that is in the package" count as such."""
    assert statement_of(package(handling(tlp("GREEN"), covers))).held is None


@pytest.mark.parametrize("covers", [None, "", HEADER_ONLY, "/node()", "//stix:Indicator", "../node()"])
def test_permission_for_a_part_permits_nothing(covers: str | None) -> None:
    """Where only a part is marked for everybody, or it is not said what is, all of it is held."""
    said = statement_of(package(handling(tlp("WHITE"), covers)))
    assert said.held is not None
    assert "parts" in said.held.why


def test_permission_on_an_indicator_permits_nothing_else() -> None:
    """An indicator that is marked for everybody does not open the others, whatever its path says."""
    said = statement_of(package(body=f"<stix:Indicator>{handling(tlp('WHITE'))}</stix:Indicator>"))
    assert said.held is not None


def test_a_restriction_anywhere_restricts_everything() -> None:
    """One indicator that is TLP:RED makes the package TLP:RED, because nobody can tell its values apart later."""
    red = f"<stix:Indicator>{handling(tlp('RED'), None)}</stix:Indicator>"
    said = statement_of(package(handling(tlp("WHITE")), red))
    assert (said.tlp, said.held) == (Tlp.RED, None)


@pytest.mark.parametrize(
    "structure",
    [
        tlp("PURPLE"),
        '<Marking_Structure xsi:type="tlpMarking:TLPMarkingStructureType"/>',
        ais("WHITE", proprietary="true"),
        ais("WHITE", holder="Is_Proprietary"),
        simple("For members of the circle only"),
        simple(""),
        '<Marking_Structure xsi:type="terms:TermsOfUseMarkingStructureType"/>',
        "<Marking_Structure/>",
    ],
)
def test_markings_that_cannot_be_read_hold(structure: str) -> None:
    """A marking that is not understood holds, also beside one that is."""
    for beside in ("", tlp("WHITE")):
        said = statement_of(package(handling(beside + structure)))
        assert said.held is not None
        assert "cannot read" in said.held.why


@given(
    header=st.lists(st.sampled_from(["WHITE", "GREEN", "AMBER", "RED"]), max_size=2),
    parts=st.lists(st.sampled_from(["WHITE", "GREEN", "AMBER", "RED"]), max_size=3),
)
def test_no_mixture_is_read_as_less_than_its_strictest(header: list[str], parts: list[str]) -> None:
    """However markings are mixed: the strictest counts, and what permits does so only from the header."""
    body = "".join(f"<stix:Indicator>{handling(tlp(one))}</stix:Indicator>" for one in parts)
    said = statement_of(package("".join(handling(tlp(one)) for one in header), body))
    ranks = {"WHITE": Tlp.CLEAR, "GREEN": Tlp.GREEN, "AMBER": Tlp.AMBER, "RED": Tlp.RED}
    assert said.tlp == max((ranks[one] for one in header + parts), default=None)
    open_without_header = said.tlp in (Tlp.CLEAR, Tlp.GREEN) and not header
    assert (said.held is not None) == open_without_header


@pytest.mark.parametrize(
    "body",
    [
        '<Observable_Composition operator="AND"/>',
        "<Observable_Composition/>",
        '<Composite_Indicator_Expression operator="AND"/>',
        '<stix:Indicator negate="true"/>',
        '<Address_Value condition="DoesNotEqual">x</Address_Value>',
        '<Address_Value condition="StartsWith">x</Address_Value>',
        '<Address_Value condition="Equals" apply_condition="NONE">x</Address_Value>',
    ],
)
def test_conditions_that_a_converter_drops_hold(body: str) -> None:
    """Values that mean something only together, or not at all, or in part, make the whole package wait for a person."""
    said = statement_of(package(handling(tlp("WHITE")), body))
    assert said.held is not None
    assert "AND" in said.held.why


@pytest.mark.parametrize(
    "body",
    [
        '<Observable_Composition operator="OR"/>',
        '<stix:Indicator negate="false"/>',
        '<Address_Value condition="Equals" apply_condition="ANY">x</Address_Value>',
    ],
)
def test_plain_conditions_do_not_hold(body: str) -> None:
    """Whole values of which each may stand alone are left as they are."""
    assert statement_of(package(body=body)).held is None


@pytest.mark.parametrize(
    ("names", "maker"),
    [
        ("", ""),
        (identity("<Name>Our SOC</Name>"), "Our SOC"),
        (identity("<Name>Our SOC</Name>") + identity("<Name>Others</Name>", "Producer"), "Others"),
        (
            identity("<PartyName><OrganisationName><NameElement>ACME</NameElement></OrganisationName></PartyName>"),
            "ACME",
        ),
        (identity("<PartyName><PersonName><NameElement>A</NameElement></PersonName></PartyName>"), "(not named)"),
        (identity("<Name>Our SOC</Name>") + identity("", "Producer"), "(not named)"),
        ("<Victim><Identity><Name>Somebody</Name></Identity></Victim>", ""),
    ],
)
def test_makers(names: str, maker: str) -> None:
    """The maker is read where the package names one, and where anybody else had a hand in it, that is the maker."""
    assert statement_of(package(names)).maker(US) == maker


def test_ids_that_occur_twice_are_counted() -> None:
    """An object whose id stood before is counted, references to it are not."""
    once, again = '<Object id="a"/><Object id="b"/><Object idref="a"/><Object/><Object/>', '<Object id="b"/>'
    assert (statement_of(package(body=once)).repeated, statement_of(package(body=once + again)).repeated) == (0, 1)


BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]>"
EXTERNAL = b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB + package(body="<a>&amp;</a>"), "document type"),
        (EXTERNAL + package(), "document type"),
        (b"<!DOCTYPE x SYSTEM 'http://example.test/x.dtd'>" + package(), "document type"),
        (package() + b"<a/>", "no XML"),
        (package()[:-3], "no XML"),
        (b"", "no XML"),
        (package().decode().encode("utf-16"), "UTF-8"),
        (package().decode().encode("utf-16-le"), "UTF-8"),
        (package(body="<a>\u00e4</a>").decode().encode("latin-1"), "UTF-8"),
        (b"<?xml version='1.0' encoding='utf-7'?>" + package(), "UTF-8"),
        (package(body="<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH), "deep"),
    ],
)
def test_xml_that_is_not_for_another_parser(text: bytes, reason: str) -> None:
    """Document types, entities, other encodings, great depth and broken XML are refused with the reason."""
    with pytest.raises(BadValue, match=reason):
        statement_of(text)

"""OpenIOC: a term stands alone only under nothing but OR, asks for the whole value, and is ours to say."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats.openioc import MAX_FILE, OpenIocReader
from threatshare.model import Finding, Reject

US = OwnAssets(domains=("corp.example",), organisations=frozenset({"our soc"}))
OUT = "198.51.100.7"
MD5 = "0cc175b9c0f1b6a831c399e269772661"


def term(search: str = "PortItem/remoteIP", content: str = OUT, condition: str = "is", more: str = "") -> str:
    document = search.partition("/")[0]
    return (
        f'<IndicatorItem id="t-{content[:20]}" condition="{condition}"{more}>'
        f'<Context document="{document}" search="{search}" type="mir"/><Content type="string">{content}</Content>'
        "</IndicatorItem>"
    )


def tree(operator: str, *children: str) -> str:
    return f'<Indicator operator="{operator}" id="i">{"".join(children)}</Indicator>'


def old(criteria: str, author: str = "Our SOC") -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!-- a comment -->\n'
        '<ioc xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.mandiant.com/2010/ioc" '
        'id="x" last-modified="2014-10-19T15:42:21Z"><short_description>T</short_description>'
        f"<authored_by>{author}</authored_by><authored_date>2014-10-17T02:00:57Z</authored_date>"
        f"<links/><definition>{criteria}</definition></ioc>"
    ).encode()


def new(criteria: str, author: str = "Our SOC") -> bytes:
    return (
        '<OpenIOC xmlns="http://openioc.org/schemas/OpenIOC_1.1" id="x" last-modified="2014-10-19T15:42:21" '
        'published-date="0001-01-01T00:00:00"><metadata><short_description>T</short_description>'
        f"<authored_by>{author}</authored_by><authored_date>2014-10-17T02:00:57</authored_date></metadata>"
        f"<criteria>{criteria}</criteria><parameters/></OpenIOC>"
    ).encode()


def read(text: bytes, own: OwnAssets = US) -> list[Finding | Reject]:
    return list(OpenIocReader().read(io.BytesIO(text), "a.ioc", own))


def roles(got: list[Finding | Reject]) -> dict[str, str]:
    return {
        seen.observable.value: seen.role.value for one in got if isinstance(one, Finding) for seen in one.observations
    }


def rejects(got: list[Finding | Reject]) -> list[str]:
    return [one.reason for one in got if isinstance(one, Reject)]


@pytest.mark.parametrize("version", [old, new])
@pytest.mark.parametrize(
    ("search", "content", "value", "role"),
    [
        ("PortItem/remoteIP", OUT, OUT, "c2"),
        ("DnsEntryItem/Host", "Evil.example", "evil.example", "c2"),
        ("DnsEntryItem/RecordName", "evil.example", "evil.example", "c2"),
        ("Network/DNS", "evil.example", "evil.example", "c2"),
        ("UrlHistoryItem/URL", "http://evil.example/a", "http://evil.example/a", "payload"),
        ("Email/From", "a@evil.example", "a@evil.example", "phish-sender"),
        ("FileItem/Md5sum", MD5.upper(), MD5, "payload"),
        ("ServiceItem/serviceDLLmd5sum", MD5, MD5, "payload"),
    ],
)
def test_the_term_gives_the_part(version: object, search: str, content: str, value: str, role: str) -> None:
    """In either version, each term that is shared gives its value the part of the table."""
    assert callable(version)
    got = read(version(tree("OR", term(search, content))))
    assert roles(got) == {value: role}
    assert rejects(got) == []


def test_what_stands_under_and_is_never_split() -> None:
    """Only leaves that have nothing but OR above them come out; the others are counted."""
    inner = tree("OR", term(content="203.0.113.1"))
    got = read(
        old(
            tree(
                "OR",
                term(),
                tree("AND", term(content="203.0.113.2"), inner),
                tree("OR", term("Network/DNS", "a.example")),
            )
        )
    )
    assert roles(got) == {OUT: "c2", "a.example": "c2"}
    assert rejects(got) == ["2 of 4 terms are no value that could stand alone: 2 under AND"]
    assert roles(read(old(tree("AND", term())))) == {}


@given(
    st.recursive(
        st.just("leaf"),
        lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, max_size=3)),
        max_leaves=12,
    )
)
def test_no_leaf_under_and_ever_comes_out(shape: object) -> None:
    """In any tree, the findings are the leaves all of whose ancestors are OR, and every other term is counted."""
    wanted: list[str] = []
    every: list[str] = []

    def written(node: object, free: bool) -> str:
        if not isinstance(node, tuple):
            value = f"198.51.100.{len(every)}"
            every.append(value)
            wanted.extend([value] if free else [])
            return term(content=value)
        operator, children = node
        return tree(operator, *(written(child, free and operator == "OR") for child in children))

    got = read(old(tree("OR", written(shape, True))))
    assert list(roles(got)) == wanted
    left = len(every) - len(wanted)
    assert rejects(got) == (
        [f"{left} of {len(every)} terms are no value that could stand alone: {left} under AND"] if left else []
    )


@pytest.mark.parametrize(
    "one",
    [
        term(condition="contains"),
        term(condition="isnot"),
        term(condition="starts-with"),
        term(more=' negate="true"'),
        term("FileItem/FileName", "a.exe"),
        term("PortItem/localIP"),
        term("Email/To", "user@partner.example"),
        term("SystemInfoItem/HostName", "pc1.partner.example"),
        "<IndicatorItem/>",
    ],
)
def test_parts_of_values_and_victims_yield_no_finding(one: str) -> None:
    """What asks for less than the whole, the contrary, or for something of ours is only counted."""
    got = read(old(tree("OR", one)))
    assert roles(got) == {}
    assert len(rejects(got)) == 1


def test_a_value_that_is_none_is_kept_aside() -> None:
    """A range of addresses or a word where a hash should be is a Reject naming its term."""
    got = read(old(tree("OR", term(content="198.51.100.0-198.51.100.9"), term("FileItem/Md5sum", "x"), term())))
    assert [type(one) for one in got] == [Reject, Reject, Finding]
    assert got[0].place == "a.ioc term t-198.51.100.0-198.51."


def test_others_files_are_held() -> None:
    """The format has no markings: what another organisation wrote waits for a person, what is ours does not."""
    criteria = tree("OR", term())
    assert roles(read(old(criteria, "Their SOC"))) == {OUT: "unknown"}
    assert roles(read(new(criteria, "Their SOC"))) == {OUT: "unknown"}
    assert roles(read(old(criteria, ""))) == {OUT: "unknown"}
    assert roles(read(old(criteria).replace(b"authored_by", b"written_by"))) == {OUT: "unknown"}


@pytest.mark.parametrize(
    "text",
    [
        old(tree("OR", term())).replace(b"</ioc>", b"<authored_by>Their SOC</authored_by></ioc>"),
        new(tree("OR", term())).replace(b"<criteria>", b"<authored_by>Their SOC</authored_by><criteria>"),
        old(tree("OR", term()), "Our SOC<b>of Theirs</b>"),
        old(tree("OR", term()), "Our SOC<b><i/>, Their SOC</b>"),
    ],
)
def test_one_author_beside_us_holds(text: bytes) -> None:
    """Every author counts, behind the terms too, and with all of the name."""
    (got,) = read(text)
    assert roles([got]) == {OUT: "unknown"}


def test_the_author_may_stand_behind_the_terms() -> None:
    """A file whose metadata follow the terms is read as one where they come first."""
    text = old(tree("OR", term()))
    author = b"<authored_by>Our SOC</authored_by>"
    assert roles(read(text.replace(author, b"").replace(b"</ioc>", author + b"</ioc>"))) == {OUT: "c2"}


def test_a_file_that_is_cut_off_is_refused_whole() -> None:
    """Who else wrote it stood perhaps in what is missing."""
    (got,) = read(old(tree("OR", term()))[:-6])
    assert isinstance(got, Reject)


def test_what_is_ours_stays_ours() -> None:
    """A term for one of our own names is no indicator."""
    assert roles(read(old(tree("OR", term("Network/DNS", "www.corp.example"))))) == {"www.corp.example": "victim-asset"}


def test_time_and_place() -> None:
    """It was seen when it was written; a date of the year 1 is none."""
    (got,) = read(old(tree("OR", term())))
    assert isinstance(got, Finding)
    assert got.seen_at == got.last_seen_at == datetime(2014, 10, 17, 2, 0, 57, tzinfo=UTC)
    assert (got.place, got.title) == (f"a.ioc term t-{OUT}", "T")
    undated = old(tree("OR", term())).replace(b"2014-10-17T02:00:57Z", b"0001-01-01T00:00:00")
    (got,) = read(undated)
    assert isinstance(got, Finding)
    assert got.seen_at == datetime(2014, 10, 19, 15, 42, 21, tzinfo=UTC)


def test_recognises_only_openioc() -> None:
    """Both versions, by root and namespace; other XML and text that names the namespace are left alone."""
    reader = OpenIocReader()
    assert reader.recognises(old(""), "a.ioc")
    assert reader.recognises(b"\xef\xbb\xbf" + new(""), "a.xml")
    assert not reader.recognises(b'<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1"/>', "a.xml")
    assert not reader.recognises(b"see http://schemas.mandiant.com/2010/ioc for <ioc>", "a.txt")
    assert not reader.recognises(b"<html><a href='http://openioc.org/schemas/'>ioc</a></html>", "a.html")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<ioc",
        b'<!DOCTYPE a [<!ENTITY b "x">]><ioc>&b;</ioc>',
        b'<?xml version="1.0" encoding="none-such"?><ioc/>',
        b'<?xml version="1.0" encoding="gb2312"?><ioc/>',
        b'<!DOCTYPE ioc SYSTEM "http://evil.example/a.dtd"><ioc/>',
        b"<ioc>" + b"<a>" * 100 + b"</a>" * 100 + b"</ioc>",
        b"<ioc>\0</ioc>",
        b" " * (MAX_FILE + 1),
    ],
)
def test_hostile_files_are_one_reject(text: bytes) -> None:
    """Entities, depth, size, encodings and broken markup end in a Reject, not in an exception."""
    (got,) = read(text)
    assert isinstance(got, Reject)

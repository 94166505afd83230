"""Tables of indicators: headers, columns told from cells, roles, broken rows."""

from __future__ import annotations

import io
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats.table import TableReader
from threatshare.model import Finding, Reject

SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OWN = OwnAssets(networks=(ip_network("203.0.113.0/24"),), domains=("corp.example",))


def read(text: str | bytes) -> list[Finding | Reject]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(TableReader().read(io.BytesIO(data), "t.csv", OWN))


def roles(text: str | bytes) -> dict[str, str]:
    return {
        seen.observable.value: seen.role.value
        for item in read(text)
        if isinstance(item, Finding)
        for seen in item.observations
    }


def test_roles_by_kind() -> None:
    """Without a word on it, hosts are C2, URLs and hashes payload, mail addresses senders."""
    text = f"""Indicator_type,Data,Note
ip,198.51.100[.]7,a
domain,evil[.]example,"a, b"
url,hxxp://evil[.]example/x,
email,a[@]evil.example,
SHA256,{SHA256.upper()},
FileHash-MD5,{MD5},
ip:port,198.51.100.8:443,
"""
    assert roles(text) == {
        "198.51.100.7": "c2",
        "evil.example": "c2",
        "http://evil.example/x": "payload",
        "a@evil.example": "phish-sender",
        SHA256: "payload",
        MD5: "payload",
        "198.51.100.8": "c2",
    }


def test_a_role_column_decides() -> None:
    """Its words are read; one we do not know holds the value, an empty one leaves it to the kind."""
    text = """indicator;role
a.example;attacker
b.example;C2
c.example;Payload delivery
d.example;victim
e.example;false positive
f.example;known indicator
g.example;whatever
h.example;
"""
    assert list(roles(text).values()) == [
        "attacker", "c2", "payload", "victim-asset", "third-party", "known-indicator", "unknown", "c2",
    ]  # fmt: skip


def test_a_category_column_may_say_a_role() -> None:
    """A category that is no role leaves it to the kind."""
    assert roles("ioc,category\na.example,payload\nb.example,phishing\n") == {
        "a.example": "payload",
        "b.example": "c2",
    }


def test_times_and_confidence() -> None:
    """Columns of first and last sight and of confidence are read where they can be."""
    first, second = read(
        "value,first_seen,last_seen,confidence\n"
        "a.example,2026-01-02 03:04:05,2026-01-03T00:00:00+01:00,80%\n"
        "b.example,soon,,900\n"
    )
    assert isinstance(first, Finding)
    assert isinstance(second, Finding)
    assert first.seen_at.isoformat() == "2026-01-02T03:04:05+00:00"
    assert first.last_seen_at.isoformat() == "2026-01-02T23:00:00+00:00"
    assert (first.confidence, second.confidence) == (80, None)
    assert first.place == "t.csv:2"


def test_a_column_for_each_kind() -> None:
    """A wide table gives a finding a row with all its values."""
    (got,) = read(f"ip,domain,md5,comment\n198.51.100.7,evil.example,{MD5},x\n")
    assert isinstance(got, Finding)
    assert [seen.observable.value for seen in got.observations] == ["198.51.100.7", "evil.example", MD5]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02 03:04:05,someone,domain,evil.example,#phishing,https://x.example/1\n"
        "2026-01-02 03:04:06,someone,url,http://evil.example/a,,https://x.example/2\n",
        f"hxxp://evil[.]example/a,2026-01-02 03:04:06,{SHA256}\nhxxp://evil[.]example/b,2026-01-02 03:04:06,{SHA256}\n",
        "# count of lists\n198.51.100.7\t9\n198.51.100.8\t8\n",
        "Type, Value\nDomain, evil.example\n",
        "\ufeffvalue|type\nevil.example|domain\n",
        "indicator\nevil.example\n",
    ],
)
def test_is_recognised(text: str) -> None:
    """Header or not, any usual delimiter: a table of indicators is told from its first lines."""
    assert TableReader().recognises(text.encode(), "list.csv")
    assert any(seen in roles(text) for seen in ("evil.example", "http://evil.example/a", "198.51.100.7"))


def test_the_column_that_agrees_with_the_types_holds_the_values() -> None:
    """A column of links to the reporter's posts is not taken for indicators."""
    text = "".join(f"2026-01-02 03:04:05,me,domain,e{n}.example,https://x.example/{n}\n" for n in range(5))
    assert set(roles(text)) == {f"e{n}.example" for n in range(5)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("198.51.100.7\n198.51.100.8\n", "list.txt"),
        ("time,src_ip,dest_ip\n1,198.51.100.7,10.0.0.1\n", "firewall.csv"),
        ("2026-01-02T03:04:05,198.51.100.7,login\n2026-01-02T03:04:06,198.51.100.8,login\n", "log.csv"),
        ("198.51.100.7,10.0.0.1\n198.51.100.8,10.0.0.2\n", "flows.csv"),
        ("#separator \\x09\n#fields\tts\tid.orig_h\n1.0\t198.51.100.7\n", "conn.log"),
        ("Dear all, see below, thanks.\nThe report, as promised, is here.\n", "mail.txt"),
        ("name,age\nalice,7\n", "people.csv"),
        ("\0\0\0,,,", "x.csv"),
        ("", "x.csv"),
    ],
)
def test_is_not_recognised(text: str, name: str) -> None:
    """Connections, logs, bare lists and prose are no tables of indicators."""
    assert not TableReader().recognises(text.encode(), name)


def test_a_cell_that_is_no_value_is_kept_aside() -> None:
    """Each bad cell is a reject with line and reason; the rows around it are read."""
    got = read(
        "type,value\nfile_path,C:\\x\nsha256,zz\nip,evil.example\ndomain,ws01\ndomain,evil.example\ndomain\n\n# end\n"
    )
    broken = [item for item in got if isinstance(item, Reject)]
    assert [item.place for item in broken] == ["t.csv:2", "t.csv:3", "t.csv:4", "t.csv:5"]
    assert "none that we share" in broken[0].reason
    assert "SHA-256" in broken[1].reason
    assert broken[1].text == "sha256,zz"
    assert sum(isinstance(item, Finding) for item in got) == 1


def test_quotes_over_lines() -> None:
    """A quoted cell may hold line ends; one that never closes costs its own row."""
    text = 'value,note\na.example,"one\ntwo"\nb.example,"open\n' + "".join(f"c{n}.example,x\n" for n in range(60))
    got = read(text)
    assert sum(isinstance(item, Finding) for item in got) == 61
    (broken,) = (item for item in got if isinstance(item, Reject))
    assert broken.place == "t.csv:4"
    assert "quote" in broken.reason


def test_what_is_ours_stays_ours() -> None:
    """Somebody else's list that names us releases nothing."""
    assert roles("value\n203.0.113.7\n10.1.2.3\nwww.corp.example\nhttps://corp.example/x\n8.8.8.8\n") == {
        "203.0.113.7": "victim-asset",
        "10.1.2.3": "victim-asset",
        "www.corp.example": "victim-asset",
        "https://corp.example/x": "victim-asset",
        "8.8.8.8": "third-party",
    }


def test_a_named_format_that_is_none() -> None:
    """Text without a column of indicators is one reject that says what to do."""
    (got,) = read("just text\n")
    assert isinstance(got, Reject)
    assert "header" in got.reason


def test_other_encodings() -> None:
    """A spreadsheet's UTF-16 is read by its mark."""
    assert roles("value\tnote\nevil.example\tü\n".encode("utf-16")) == {"evil.example": "c2"}


@given(st.lists(st.text(alphabet='a.,;"\n\t|#1 ', max_size=30), max_size=20))
def test_nothing_raises(lines: list[str]) -> None:
    """Whatever stands in a table, reading it ends in findings and rejects."""
    for item in read("value,type\n" + "\n".join(lines)):
        assert isinstance(item, Finding | Reject)

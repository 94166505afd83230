"""Reading the rows of lists: what each setting means, and what is done with rows that cannot be read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from threatshare.errors import ConfigurationError, PartnerError
from threatshare.feed_settings import ListSettings
from threatshare.feeds.list_presets import presets, settled
from threatshare.feeds.list_rows import RowReader
from threatshare.model import Kind, Observable, Reject
from threatshare.ports import Listed

NOW = 1_790_000_000_000_000
DAY = 86_400_000_000
FIRST_OF_2026 = 1_767_225_600_000_000


def read(text: str, **terms: Any) -> list[Listed | Reject]:
    """Reads a list under some settings."""
    settings = settled(msgspec.convert(terms, ListSettings), "feeds/list.toml")
    return list(RowReader(settings, "feeds/list.toml").read(text.splitlines(keepends=True), NOW))


def values(text: str, **terms: Any) -> list[str]:
    """Gives the values of a list, of which every row can be read."""
    found = []
    for one in read(text, **terms):
        assert isinstance(one, Listed), one
        found.append(one.observable.value)
    return found


def reasons(text: str, **terms: Any) -> list[tuple[str, str]]:
    """Gives place and reason of what was kept aside."""
    return [(one.place, one.reason) for one in read(text, **terms) if isinstance(one, Reject)]


def test_a_plain_list_needs_no_settings() -> None:
    """Values of any kind are told by their form, defanged or not; comments and blank lines say nothing."""
    text = """# a list
    192.0.2.1
; more
hxxp://bad.example/x
// and
evil[.]example

192.0.2.999
2001:db8::1
192.0.2.0/24   what follows is another column
"""
    found = read(text)
    assert [one.observable for one in found if isinstance(one, Listed)] == [
        Observable(Kind.IPV4, "192.0.2.1"),
        Observable(Kind.URL, "http://bad.example/x"),
        Observable(Kind.DOMAIN, "evil.example"),
        Observable(Kind.IPV6, "2001:db8::1"),
        Observable(Kind.IPV4, "192.0.2.0/24"),
    ]
    assert [one.place for one in found if isinstance(one, Reject)] == ["line 8"]


def test_the_row_is_kept_where_it_says_more() -> None:
    """Beside the value the row stays as it stood; a row that is the value alone is not kept twice."""
    first, second = read("192.0.2.1\n192.0.2.2\tseen 5 times\n")
    assert isinstance(first, Listed)
    assert isinstance(second, Listed)
    assert (first.text, second.text) == (None, "192.0.2.2\tseen 5 times")


@pytest.mark.parametrize(
    ("row", "terms", "wanted"),
    [
        ('"1","http://bad.example/a,b","online"', {"format": "csv", "value": 2}, "http://bad.example/a,b"),
        ("a;192.0.2.1;c", {"delimiter": ";", "value": 2, "comments": ["#"]}, "192.0.2.1"),
        ("\t192.0.2.1\t", {"delimiter": "\t", "value": 2}, "192.0.2.1"),
        ('{"a": {"ip": "192.0.2.1"}}', {"format": "json-lines", "value": "a.ip"}, "192.0.2.1"),
        ("deny from 192.0.2.1;", {"pattern": r"deny from (?P<value>[0-9.]+);"}, "192.0.2.1"),
        ("192.0.2.1:8080", {"type_column": 2, "types": {"x": "ip:port"}, "delimiter": " "}, None),
        ("192.0.2.1:8080 x", {"type_column": 2, "types": {"x": "ip:port"}}, "192.0.2.1"),
        ("[2001:db8::1]:443 x", {"type_column": 2, "types": {"x": "ip:port"}}, "2001:db8::1"),
    ],
)
def test_where_the_value_stands(row: str, terms: dict[str, Any], wanted: str | None) -> None:
    """Columns by number, keys of a record, and groups of an expression all name the value."""
    (found,) = read(row + "\n", **terms)
    assert (found.observable.value if isinstance(found, Listed) else None) == wanted


def test_columns_by_name() -> None:
    """Names come from the first row or from the comment before it."""
    assert values("kind,ip\nx,192.0.2.1\n", format="csv", header="first", value="ip") == ["192.0.2.1"]
    text = "# banner\n# kind,ip\nx,192.0.2.1\n"
    assert values(text, format="csv", header="comment", value="ip") == ["192.0.2.1"]


def test_a_column_that_is_not_there_refuses_the_list() -> None:
    """A list without the column is not the list that was agreed on: nothing of it is believed."""
    with pytest.raises(PartnerError, match="no column 'ip'; it has kind, address"):
        read("kind,address\nx,192.0.2.1\n", format="csv", header="first", value="ip")


def test_settings_that_cannot_be_used() -> None:
    """Settings that could never read anything say so before anything is fetched."""
    for terms, wanted in (
        ({"value": "ip"}, "has numbers|have numbers"),
        ({"pattern": "("}, "no regular expression"),
        ({"pattern": "x"}, "no group called value"),
        ({"preset": "none-such"}, "no preset 'none-such'; there are plain"),
    ):
        with pytest.raises(ConfigurationError, match=wanted):
            read("", **terms)


def test_a_value_of_another_type_is_refused() -> None:
    """What a list says of its values holds: nothing is taken for what it happens to look like."""
    assert reasons("evil.example\n", type="ipv4-addr") == [("line 1", "'evil.example' is no dotted-quad IPv4 address")]
    assert reasons("abc\n", type="file")[0][1].startswith("a hash of 3 characters")
    assert reasons("192.0.2.1 ja3\n", type_column=2, types={"ip": "auto"}) == [
        ("line 1", "'ja3' is no type that list.types names")
    ]


def test_times() -> None:
    """A time in any of the usual forms is UTC where it names no zone, and lies in no future."""
    for text, form in (
        ("2026-01-01 00:00:00", "iso"),
        ("2026-01-01T01:00:00+01:00", "iso"),
        ("2026-01-01 00:00:00 UTC", "iso"),
        ("2026-01-01", "iso"),
        ("1767225600", "epoch"),
        ("01/01/2026", "%d/%m/%Y"),
    ):
        (found,) = read(f"192.0.2.1,{text}\n", format="csv", seen=2, seen_format=form)
        assert isinstance(found, Listed), (text, found)
        assert found.seen == FIRST_OF_2026
    (late,) = read("192.0.2.1,2090-01-01\n", format="csv", seen=2)
    (never,) = read("192.0.2.1,\n", format="csv", seen=2)
    assert isinstance(late, Listed)
    assert isinstance(never, Listed)
    assert (late.seen, never.seen) == (NOW, None)
    assert reasons("192.0.2.1,soon\n", format="csv", seen=2)[0][0] == "line 1"


def test_confidence() -> None:
    """A row's own confidence goes before the list's; what is none is refused."""
    (own,) = read("192.0.2.1,75\n", format="csv", confidence_column=2)
    (general,) = read("192.0.2.1\n", confidence=40)
    assert isinstance(own, Listed)
    assert isinstance(general, Listed)
    assert (own.confidence, general.confidence) == (75, 40)
    for bad in ("101", "-1", "high", "nan", "inf"):
        assert len(reasons(f"192.0.2.1,{bad}\n", format="csv", confidence_column=2)) == 1, bad


def test_rows_that_are_left_out() -> None:
    """Rows without a wanted word in a column, and those of a type that is skipped, are no rejects."""
    text = "192.0.2.1,online\n192.0.2.2,offline\n"
    assert values(text, format="csv", keep={"2": ["online"]}) == ["192.0.2.1"]
    assert values("x,skipped\n192.0.2.1,\n", format="csv", type_column=2, types={"skipped": "skip", "": "auto"}) == [
        "192.0.2.1"
    ]


def test_one_bad_row_costs_only_itself() -> None:
    """Whatever is wrong with a row, the rows around it are read."""
    bad = ['{"ip"', '["192.0.2.1"]', "{}", '{"ip": 5}', '{"ip": null}', '"\\ud800"', "[" * 100_000, "x" * 70_000]
    for one in bad:
        found = read(f'{{"ip": "192.0.2.1"}}\n{one}\n{{"ip": "192.0.2.3"}}\n', format="json-lines", value="ip")
        assert [type(row) for row in found] == [Listed, Reject, Listed], one
        assert found[1].place == "line 2"  # type: ignore[union-attr]


def test_a_quote_that_is_not_closed_ends_after_a_while() -> None:
    """An open quote swallows at most a hundred lines of CSV, and what follows is read."""
    text = '192.0.2.1,"open\n' + "x\n" * 200 + "192.0.2.9,closed\n"
    found = read(text, format="csv")
    assert isinstance(found[0], Reject)
    last = found[-1]
    assert isinstance(last, Listed)
    assert last.observable.value == "192.0.2.9"


SAMPLES = {
    "zeek-intel": "#fields\tindicator\tindicator_type\tmeta.source\n"
    "192.0.2.1\tIntel::ADDR\tx\nabc\tIntel::SOFTWARE\tx\n",
    "urlhaus": '# banner\n# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n"1",'
    '"2026-01-01 00:00:00","http://bad.example/x","online","","malware_download","exe,doc","https://u.example/1","r"\n',
    "threatfox": '# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type","fk_malware","malware_alias",'
    '"malware_printable","last_seen_utc","confidence_level","is_compromised","reference","tags","anonymous","reporter"\n'
    '"2026-01-01 00:00:00", "1", "192.0.2.1:443", "ip:port", "botnet_cc", "win.x", "", "X", "", "75", "", "", "", "0",'
    ' "r"\n',
    "feodo": '# banner\n"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"\n'
    '"2026-01-01 00:00:00","192.0.2.1","443","offline","2026-01-01","X"\n',
    "spamhaus-drop": '{"cidr":"192.0.2.0/24","sblid":"SBL1","rir":"arin"}\n{"type":"metadata","records":1}\n',
    "spamhaus-drop-text": "; DROP\n192.0.2.0/24 ; SBL1\n",
    "ipsum": "# IPsum\n192.0.2.1\t10\n",
    "tweetfeed": "2026-01-01 00:00:00,r,domain,bad.example,#phishing,https://x.example/1\n",
    "openphish": "https://bad.example/login\n",
}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_presets(name: str) -> None:
    """Each preset reads its list: one value comes out of a row as it is published, and nothing is refused."""
    (found,) = read(SAMPLES[name], preset=name)
    assert isinstance(found, Listed)
    assert found.observable.value.startswith(("192.0.2.", "http://bad.example", "https://bad.example", "bad.example"))
    if name == "threatfox":
        assert (found.confidence, found.seen) == (75, FIRST_OF_2026)


def test_every_preset_can_be_used() -> None:
    """Each preset names its publisher, says whether its form was seen, and its settings are in order."""
    for name, one in presets().items():
        RowReader(one.list, name)
        assert one.publisher
        assert one.url is None or one.url.startswith("https://"), name


def test_what_is_said_goes_before_the_preset() -> None:
    """A site's own word counts more than the preset's."""
    terms = settled(ListSettings(preset="threatfox", confidence=10, value="x"), "here")
    assert (terms.value, terms.confidence, terms.type_column) == ("x", 10, "ioc_type")

"""Field maps: what a site's file says is what is read, and what it does not say is held, refused or left out."""

from __future__ import annotations

import io
import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from threatshare.config import OwnAssets
from threatshare.errors import ConfigurationError
from threatshare.findings.formats.fieldmap import FieldMapReader, site_readers
from threatshare.findings.formats.fieldmap_settings import FieldMap
from threatshare.findings.readers import read_file
from threatshare.model import Finding, Reject, Tlp

IN, OUT, OUT2 = "10.0.0.9", "198.51.100.7", "203.0.113.5"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
OWN = OwnAssets(domains=("corp.example",), mail_domains=("corp.example",))
VALUE = '[[value]]\nfield = "v"\nrole = "c2"\n'


def reader(tmp_path: Path, text: str) -> FieldMapReader:
    folder = tmp_path / "readers"
    folder.mkdir(exist_ok=True)
    (folder / "ours.toml").write_text(text, "utf-8")
    (made,) = site_readers(tmp_path).values()
    assert isinstance(made, FieldMapReader)
    return made


def read(made: FieldMapReader, *docs: dict[str, Any]) -> list[Finding | Reject]:
    return list(made.read(io.BytesIO("\n".join(map(json.dumps, docs)).encode()), "f", OWN))


def rows(made: FieldMapReader, text: str) -> list[Finding | Reject]:
    return list(made.read(io.BytesIO(text.encode()), "f", OWN))


def finding(items: list[Finding | Reject]) -> Finding:
    (got,) = items
    assert isinstance(got, Finding), got
    return got


def roles(items: list[Finding | Reject]) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in finding(items).observations}


def reason(items: list[Finding | Reject]) -> str:
    (got,) = items
    assert isinstance(got, Reject), got
    return got.reason


# --- the two examples -------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, root: Path) -> Path:
    """A node directory with both examples."""
    (tmp_path / "readers").mkdir()
    for file in (root / "config/readers").glob("*.toml"):
        (tmp_path / "readers" / file.name).write_bytes(file.read_bytes())
    return tmp_path


def custom(**changed: Any) -> dict[str, Any]:
    return {
        "rule": "beacon",
        "state": "open",
        "seen": "2026-05-04 03:02:01",
        "sure": "very",
        "level": 7,
        "net": {"from": IN, "to": OUT},
        "attack": ["T1071.001", "no technique"],
        "share": "internal",
        "events": 12,
        "hits": [
            {"type": "sha256", "what": SHA256, "verdict": "malware"},
            {"type": "domain", "what": "evil[.]example", "verdict": "Beacon"},
            {"type": "user", "what": "jane.doe.example", "verdict": "malware"},
            {"type": "url", "what": "http://odd.example/a", "verdict": "strange"},
            {"type": "ip", "what": OUT2, "verdict": "matched our list"},
        ],
        "mail": {"sender": "a@bad.example, b@corp.example"},
        **changed,
    }


def test_the_custom_example_reads_what_its_comments_say(site: Path) -> None:
    """The example is recognised, and every key of it does what it says."""
    data = json.dumps({"results": [custom()]}).encode()
    got = finding(list(read_file(io.BytesIO(data), None, OWN, "f", site_readers(site))))
    assert got.sensor == "custom-json"
    assert {seen.observable.value: seen.role.value for seen in got.observations} == {
        IN: "victim-asset",
        OUT: "c2",
        SHA256: "payload",
        "evil.example": "c2",
        "http://odd.example/a": "unknown",
        OUT2: "known-indicator",
        "a@bad.example": "phish-sender",
        "b@corp.example": "victim-asset",
    }
    assert got.seen_at == datetime(2026, 5, 4, 1, 2, 1, tzinfo=UTC)
    assert (got.title, got.confidence, got.count, got.tlp) == ("beacon", 85, 12, Tlp.AMBER_STRICT)
    assert got.techniques == ("T1071.001",)


@pytest.mark.parametrize(
    "changed",
    [{"state": "closed"}, {"analyst": {"decision": "False Positive"}}, {"level": 4}, {"state": None}],
)
def test_the_custom_example_passes_over_what_does_not_count(site: Path, changed: dict[str, Any]) -> None:
    """What is closed, judged benign or too low in severity yields nothing at all."""
    data = json.dumps({"results": [custom(**changed)]}).encode()
    assert list(read_file(io.BytesIO(data), None, OWN, "f", site_readers(site))) == []


NOTABLE = (
    "_time,rule_name,search_name,urgency,disposition_label,src,dest,dest_port,url,file_hash,threat_match_value,user\n"
)


def test_the_splunk_example_reads_an_export(site: Path) -> None:
    """Ends by the one-sided rule, files by the search that found them, list matches as sightings, users never."""
    text = NOTABLE + (
        f'2026-05-04T03:02:01.000+0200,"Two\nlines",x,high,,{OUT},{IN},22,http://bad.example/a,,,jane@corp.example\n'
        f"2026-05-04T03:02:01.000+0200,M,Endpoint - High Or Critical Priority Host With Malware - Rule,critical,,,,,,"
        f"{SHA256},,jdoe\n"
        f"2026-05-04T03:02:01.000+0200,T,Threat - Threat List Activity - Rule,high,,{IN},{OUT},443,,,evil.example,x\n"
        f"2026-05-04T03:02:01.000+0200,B,x,low,,{OUT},{IN},22,,,,\n"
        f"2026-05-04T03:02:01.000+0200,F,x,high,False Positive - Inaccurate Data,{OUT},{IN},22,,,,\n"
    )
    items = list(read_file(io.BytesIO(text.encode()), None, OWN, "f", site_readers(site)))
    got = [{seen.observable.value: seen.role.value for seen in finding([item]).observations} for item in items]
    assert got == [
        {OUT: "attacker", IN: "victim-asset", "http://bad.example/a": "unknown"},
        {SHA256: "payload"},
        {"evil.example": "known-indicator"},
    ]
    assert [item.place for item in items] == ["f:2", "f:4", "f:5"]


def test_the_examples_show_every_key(root: Path) -> None:
    """Between them the two examples use every key that a field map may have."""
    files = [tomllib.loads(file.read_text("utf-8")) for file in (root / "config/readers").glob("*.toml")]
    shown = {key for file in files for key in used(file)}
    assert set(keys(FieldMap)) <= shown


def used(data: Any, prefix: str = "") -> set[str]:
    found = set()
    for key, value in data.items():
        found.add(prefix + key)
        for one in value if isinstance(value, list) else [value]:
            found |= used(one, f"{prefix}{key}.") if isinstance(one, dict) else set()
    return found


def keys(shape: type[Struct], prefix: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(shape):
        inner = [one for one in (field.type, *getattr(field.type, "__args__", ())) if isinstance(one, type)]
        struct = next((one for one in inner if issubclass(one, Struct)), None)
        found += [prefix + field.encode_name] if struct is None else keys(struct, f"{prefix}{field.encode_name}.")
    return found


def test_every_key_is_in_the_how_to(root: Path) -> None:
    """The how-to page names every key."""
    page = (root / "docs/howto/map-your-fields.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_.]+)`", page))
    assert [key for key in keys(FieldMap) if key not in named] == []


def test_the_example_of_the_how_to_does_what_the_page_says(root: Path, tmp_path: Path) -> None:
    """The page's map reads the page's records: what comes out, what is held, what is nothing."""
    page = (root / "docs/howto/map-your-fields.md").read_text("utf-8")
    (text,), (sample,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("toml", "json"))
    made = reader(tmp_path, text)
    assert made.recognises(sample.encode(), "alerts.json")
    items = rows(made, sample)
    first, second = (roles([item]) for item in items)
    assert first == {OUT: "attacker", IN: "victim-asset", SHA256: "payload"}
    assert second == {OUT2: "c2", IN: "victim-asset", "update.example": "unknown"}
    assert f"`{OUT}`" in page
    assert f"`{OUT2}`" in page


# --- paths ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doc",
    [
        {"a": {"b": {"c": OUT}}},
        {"a": [{"b": [{"c": OUT}, {"d": 1}]}, {"b": None}]},
        {"a": {"b": {"c": [OUT, ""]}}},
        {"a.b.c": OUT},
        {"a.b": {"c": OUT}},
        {"a": {"b.c": OUT}},
        {"a": [[{"b": {"c": OUT}}]]},
    ],
)
@pytest.mark.parametrize("path", ["a.b.c", "a[].b[].c[]"])
def test_paths_find_values(tmp_path: Path, doc: dict[str, Any], path: str) -> None:
    """Lists on the way are walked, with brackets or without, and keys that hold dots are found."""
    made = reader(tmp_path, f'format = "json"\n[[value]]\nfield = "{path}"\nrole = "c2"\n')
    assert roles(read(made, doc)) == {OUT: "c2"}


@pytest.mark.parametrize("doc", [{}, {"a": 1}, {"a": {"b": 1}}, {"a": {"b": {"c": {"d": OUT}}}}, {"a": {"c": OUT}}])
def test_what_is_not_there_is_nothing(tmp_path: Path, doc: dict[str, Any]) -> None:
    """A record without the field, or with something else in it, is no finding and no error."""
    made = reader(tmp_path, 'format = "json"\n[[value]]\nfield = "a.b.c"\nrole = "c2"\n')
    assert read(made, doc) == []


BY_WORD = """format = "json"
[[value]]
field = "hits[].ips[]"
role_field = "{where}"
[value.roles]
evil = "c2"
"list match" = "known-indicator"
odd = "unknown"
"""


def test_roles_belong_to_their_own_object(tmp_path: Path) -> None:
    """Each hit's verdict counts for its own values, not for its neighbour's."""
    made = reader(tmp_path, BY_WORD.format(where="hits[].verdict"))
    hits = [
        {"ips": [OUT, "198.51.100.8"], "verdict": " EVIL "},
        {"ips": [OUT2], "verdict": "List  Match"},
        {"ips": ["203.0.113.6"]},
        {"ips": ["203.0.113.7"], "verdict": "new word"},
        {"ips": ["203.0.113.8"], "verdict": ["evil", "list match"]},
        {"ips": ["203.0.113.9"], "verdict": "odd"},
    ]
    got = finding(read(made, {"hits": hits}))
    said = {seen.observable.value: (seen.role.value, seen.why) for seen in got.observations}
    assert [role for role, _ in said.values()] == ["c2", "c2", "known-indicator", *["unknown"] * 4]
    held = [why for role, why in said.values() if role == "unknown"]
    assert all(why.endswith("; held") for why in held)
    assert all(part in why for part, why in zip(["nothing", "'new word'", "several", "'odd'"], held, strict=True))


def test_many_values_beside_many_words_take_no_time(tmp_path: Path) -> None:
    """Words are read once for all values of an object: 20,000 of each are read in a moment, not in minutes."""
    made = reader(tmp_path, 'format="json"\n[[value]]\nfield="v"\nrole_field="r"\n[value.roles]\nevil="c2"\n')
    values = [f"198.51.{number >> 8}.{number & 255}" for number in range(20_000)]
    assert set(roles(read(made, {"v": values, "r": ["evil"] * 20_000})).values()) == {"c2"}


def test_a_verdict_of_the_record_counts_for_all(tmp_path: Path) -> None:
    """Where the role stands outside the list, it holds for every value in it, also in flattened documents."""
    made = reader(tmp_path, BY_WORD.format(where="verdict"))
    assert roles(read(made, {"verdict": "evil", "hits": [{"ips": OUT}, {"ips": OUT2}]})) == {OUT: "c2", OUT2: "c2"}
    flat = reader(tmp_path, 'format = "json"\n[[value]]\nfield="h.ip"\nrole_field="h.say"\n[value.roles]\nevil="c2"\n')
    assert roles(read(flat, {"h.ip": OUT, "h.say": "evil"})) == {OUT: "c2"}


def test_a_value_counts_only_under_its_conditions(tmp_path: Path) -> None:
    """Conditions of a value are asked of its own object; numbers and truth values are words too."""
    made = reader(tmp_path, 'format="json"\n[[value]]\nfield="h.v"\nrole="c2"\n[value.when]\n"h.t"=["1","true"]\n')
    hits = [{"v": OUT, "t": 1}, {"v": OUT2, "t": 2}, {"v": "203.0.113.6", "t": True}, {"v": "203.0.113.7"}]
    assert roles(read(made, {"h": hits})) == {OUT: "c2", "203.0.113.6": "c2"}


def test_a_kind_keeps_other_values_out(tmp_path: Path) -> None:
    """With a kind only such values are read; without one the form decides."""
    said = ["198.51.100.7:443", "evil.example", f"hxxp://bad[.]example/{SHA256}", SHA256, "-", "n/a", "powershell.exe"]
    for kind, expected in {
        'kind = "ip"': {OUT},
        'kind = "domain"': {"evil.example"},
        'kind = "hash"': {SHA256},
        'kind = "md5"': set(),
        "": {"evil.example", f"http://bad.example/{SHA256}", SHA256},
    }.items():
        made = reader(tmp_path, f'format = "json"\n{VALUE}{kind}\n')
        got = read(made, {"v": said})
        assert (set(roles(got)) if got else set()) == expected


def test_what_is_ours_stays_ours(tmp_path: Path) -> None:
    """Whatever a map says of a field, a value of ours in it is a victim asset, and a resolver a third party."""
    got = roles(read(reader(tmp_path, f'format = "json"\n{VALUE}'), {"v": [IN, "vpn.corp.example", "8.8.8.8"]}))
    assert got == {IN: "victim-asset", "vpn.corp.example": "victim-asset", "8.8.8.8": "third-party"}


# --- connections ------------------------------------------------------------------------------------------------

ENDS = 'format = "json"\n[connection]\nsource = "c.s"\ndestination = "c.d"\n'


@pytest.mark.parametrize(
    ("initiator", "ends", "expected"),
    [
        ("source", {"s": OUT, "d": IN}, {OUT: "attacker", IN: "victim-asset"}),
        ("source", {"s": IN, "d": OUT}, {OUT: "c2", IN: "victim-asset"}),
        ("destination", {"s": IN, "d": OUT}, {OUT: "attacker", IN: "victim-asset"}),
        ("unknown", {"s": IN, "d": OUT}, {OUT: "unknown", IN: "victim-asset"}),
        ("source", {"s": OUT2, "d": OUT}, {OUT: "unknown", OUT2: "unknown"}),
        ("source", {"s": IN, "d": "10.0.0.8"}, {IN: "victim-asset", "10.0.0.8": "victim-asset"}),
        ("source", {"s": OUT, "d": "host-7"}, {OUT: "unknown"}),
        ("source", {"d": OUT}, {OUT: "unknown"}),
        ("source", {"s": [OUT, OUT2], "d": IN}, {OUT: "attacker", OUT2: "attacker", IN: "victim-asset"}),
        ("source", {"s": f"{OUT}:50123", "d": f"{IN}:22"}, {OUT: "attacker", IN: "victim-asset"}),
        (
            "source",
            {"s": [OUT, IN], "d": [OUT2, "10.0.0.8"]},
            {OUT: "unknown", OUT2: "unknown", IN: "victim-asset", "10.0.0.8": "victim-asset"},
        ),
    ],
)
def test_ends_follow_the_one_sided_rule(
    tmp_path: Path, initiator: str, ends: dict[str, Any], expected: dict[str, str]
) -> None:
    """One end outside is decided by who began; pairs that the record does not tell are held, never guessed."""
    made = reader(tmp_path, f'{ENDS}initiator = "{initiator}"\n')
    assert roles(read(made, {"c": ends})) == expected


def test_ends_are_paired_object_by_object(tmp_path: Path) -> None:
    """Of a list of connections each one's own ends belong together."""
    made = reader(tmp_path, ENDS + 'initiator = "source"\n')
    got = roles(read(made, {"c": [{"s": OUT, "d": IN}, {"s": IN, "d": OUT2}]}))
    assert got == {OUT: "attacker", IN: "victim-asset", OUT2: "c2"}


# --- times, confidence, marking ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said", "expected"),
    [
        ("", "2026-05-04T03:02:01Z", "2026-05-04T03:02:01"),
        ("", "2026-05-04T03:02:01+02:00", "2026-05-04T01:02:01"),
        ("", 1777863721, "2026-05-04T03:02:01"),
        ("", "1777863721000", "2026-05-04T03:02:01"),
        ("", "1712010112345", "2024-04-01T22:21:52.345"),
        ("", "20260504", "2026-05-04T00:00:00"),
        ('zone = "+02:00"', "2026-05-04 03:02:01", "2026-05-04T01:02:01"),
        ('zone = "Europe/Vienna"', "2026-01-04 03:02:01", "2026-01-04T02:02:01"),
        ('format = "epoch"', "1777863721.5", "2026-05-04T03:02:01.5"),
        ('format = "%d/%b/%Y:%H:%M:%S %z"', "04/May/2026:03:02:01 +0200", "2026-05-04T01:02:01"),
        ('format = "%d.%m.%Y %H:%M"\nzone = "-05:30"', "04.05.2026 03:02", "2026-05-04T08:32:00"),
    ],
)
def test_times_are_read_as_the_map_says(tmp_path: Path, settings: str, said: str | int, expected: str) -> None:
    """RFC 3339, seconds or milliseconds since 1970, or a format of the tool's own, in the zone of the map."""
    made = reader(tmp_path, f'format = "json"\n{VALUE}[time]\nseen = "t"\n{settings}\n')
    assert finding(read(made, {"v": OUT, "t": said})).seen_at == datetime.fromisoformat(expected + "+00:00")


@pytest.mark.parametrize("said", ["yesterday", "", None, 1e300, "2026-05-04"])
def test_a_time_that_cannot_be_read_is_a_reject(tmp_path: Path, said: Any) -> None:
    """A record with values and no readable time is kept aside."""
    made = reader(tmp_path, f'format = "json"\n{VALUE}[time]\nseen = "t"\nformat = "%d.%m.%Y"\n')
    assert "no time" in reason(read(made, {"v": OUT, "t": said}))


def test_without_a_time_the_files_own_counts(tmp_path: Path) -> None:
    """Where the map names no time, a finding was seen when its file was written."""
    made, path = reader(tmp_path, f'format = "json"\n{VALUE}'), tmp_path / "f.json"
    path.write_text(json.dumps({"v": OUT}))
    got = finding(list(read_file(path, "ours", OWN, site={"ours": made})))
    assert got.seen_at.timestamp() == pytest.approx(path.stat().st_mtime)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("High", 90), (5, 50), ("7.5", 75), (10, 100), (None, None), ("", None), ([10, 5], 50)],
)
def test_confidence_is_read_in_words_or_on_a_scale(tmp_path: Path, said: Any, expected: int | None) -> None:
    """The tool's words and scale become 0 to 100, the lowest of several; what it does not say stays open."""
    made = reader(tmp_path, f'format="json"\n{VALUE}[confidence]\nfield="c"\nout_of=10\nwords={{high=90}}\n')
    assert finding(read(made, {"v": OUT, "c": said})).confidence == expected


@pytest.mark.parametrize("said", ["dunno", 11, -1, "nan", "inf"])
def test_a_confidence_that_cannot_be_read_is_a_reject(tmp_path: Path, said: Any) -> None:
    """A word or number that the map does not know is not taken for "none stated"."""
    made = reader(tmp_path, f'format="json"\n{VALUE}[confidence]\nfield="c"\nout_of=10\n')
    assert "from 0 to 10" in reason(read(made, {"v": OUT, "c": said}))


def test_a_severity_that_is_missing_is_a_reject(tmp_path: Path) -> None:
    """Where the map asks for a severity, a record that states none is kept aside, not dropped."""
    made = reader(tmp_path, f'format="json"\n{VALUE}[severity]\nfield="s"\nat_least=50\n')
    assert read(made, {"v": OUT, "s": 49}) == []
    assert finding(read(made, {"v": OUT, "s": "50"}))
    assert "no severity" in reason(read(made, {"v": OUT}))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("TLP:AMBER+STRICT", Tlp.AMBER_STRICT),
        ("white", Tlp.CLEAR),
        ("ours", Tlp.RED),
        (["tlp:green", "Amber"], Tlp.AMBER),
        (None, None),
    ],
)
def test_markings_are_read(tmp_path: Path, said: Any, expected: Tlp | None) -> None:
    """TLP labels are known, words of the tool are translated, the most restrictive counts."""
    made = reader(tmp_path, f'format="json"\n{VALUE}[marking]\nfield="m"\nwords={{ours="red"}}\n')
    assert finding(read(made, {"v": OUT, "m": said})).tlp == expected


def test_an_unknown_marking_is_a_reject(tmp_path: Path) -> None:
    """A marking that nobody can read keeps the record out: it may forbid sharing."""
    made = reader(tmp_path, f'format="json"\n{VALUE}[marking]\nfield="m"\n')
    assert "no TLP label" in reason(read(made, {"v": OUT, "m": "company secret"}))


def test_a_count_beyond_reason_is_not_believed(tmp_path: Path) -> None:
    """A count is a number of at most nine digits, else one."""
    made = reader(tmp_path, f'format="json"\ncount = "n"\n{VALUE}')
    counts = [finding(read(made, {"v": OUT, "n": said})).count for said in (7, "8", 10**30, -3, "many", 0)]
    assert counts == [7, 8, 1, 1, 1, 1]


# --- tables -----------------------------------------------------------------------------------------------------

TABLE = 'format = "csv"\ncomment = "#"\ndelimiter = ";"\n[[value]]\nfield = "bad one"\nrole = "c2"\n'


def test_tables_are_read_row_by_row(tmp_path: Path) -> None:
    """Comments are passed over, quoted cells run over lines, columns of one name are all read."""
    text = f'# made today\n\n"note"; bad one ;bad one\n"a;\n#b";{OUT};{OUT2}\n# end\nplain;evil.example;\n'
    got = rows(reader(tmp_path, TABLE), text)
    assert [(item.place, roles([item])) for item in got] == [
        ("f:4", {OUT: "c2", OUT2: "c2"}),
        ("f:7", {"evil.example": "c2"}),
    ]


def test_a_broken_row_costs_itself_only(tmp_path: Path) -> None:
    """Rows of another width or with an open quote are rejects; the next ones are read."""
    text = f'note;bad one\nx;{OUT};y\n"open;{OUT}\n' + f"fine;{OUT2}\n" * 60
    got = rows(reader(tmp_path, TABLE), text)
    rejected = [(item.place, item.reason) for item in got if isinstance(item, Reject)]
    assert rejected == [("f:2", "a row of 3 cells under a header of 2"), ("f:3", "a quote in this row is not closed")]
    assert len(got) == 62


def test_a_table_of_other_columns_is_one_reject(tmp_path: Path) -> None:
    """A file that has none of the columns ends at once, with their names."""
    assert "bad one" in reason(rows(reader(tmp_path, TABLE), "a;b\n1;2\n3;4\n"))


# --- whatever comes ---------------------------------------------------------------------------------------------

WORDS = ["rule", "state", "seen", "sure", "level", "net", "from", "to", "hits", "what", "verdict", "type", "mail", "x"]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from(["open", "malware", "1", OUT, IN, "7", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)


@given(changed=st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=6))
def test_no_record_ends_the_run(root: Path, changed: dict[str, Any]) -> None:
    """Whatever stands in the fields, a record is a finding, a reject or nothing, and the next one is read."""
    made = site_readers(root / "config")["custom-json"]
    data = json.dumps({"results": [custom(**changed), custom()]}).encode()
    assert len(list(made.read(io.BytesIO(data), "f", OWN))) in (1, 2)


@given(text=st.text(alphabet='ab";,\n\r#', max_size=200))
def test_no_table_ends_the_run(root: Path, text: str) -> None:
    """Whatever a table holds, the rows that can be read are read, and no line counts twice."""
    made = site_readers(root / "config")["splunk-notable"]
    places = [item.place for item in made.read(io.BytesIO(f"src,dest\n{text}\n".encode()), "f", OWN)]
    assert len(places) == len(set(places))


def test_what_the_map_does_not_name_is_never_read(root: Path) -> None:
    """Values planted in every other field, beside and below those that are named, never turn up."""
    planted = {"user": "jane@elsewhere.example", "ip": "198.51.100.99", "deep": {"host": ["198.51.100.98"]}}
    doc = custom(**planted, net={"from": IN, "to": OUT, **planted}, mail={"sender": "a@bad.example", **planted})
    doc["hits"] = [{**hit, **planted} for hit in doc["hits"]]
    data = json.dumps({"results": [doc]}).encode()
    got = roles(list(site_readers(root / "config")["custom-json"].read(io.BytesIO(data), "f", OWN)))
    assert len(got) == 7
    assert not {"jane@elsewhere.example", "198.51.100.99", "198.51.100.98"} & set(got)


# --- recognition ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "head", "expected"),
    [
        ('format = "json"', b'{"v": 1}', False),
        ('format = "json"\nrecognise.keys = ["v", "w"]', b' [{"v": 1, "x": {"w" : 2}}]', True),
        ('format = "json"\nrecognise.keys = ["v", "w"]', b'{"v": "w"}', False),
        ('format = "json"\nrecognise.keys = ["v"]', b'text "v": 1', False),
        ('format = "json"\nrecords = "r"\nrecognise.keys = ["v"]', b'{"v": 1}', False),
        ('format = "csv"', b"v,w\n1,2\n", False),
        ('format = "csv"\nrecognise.columns = ["v"]', b'"w", v \n1,2\n', True),
        ('format = "csv"\nrecognise.columns = ["v", "x"]', b"v,w\n1,2\n", False),
        ('format = "csv"\nrecognise.columns = ["v"]', "v,w\n1,2\n".encode("utf-16"), True),
        ('format = "csv"\nrecognise.columns = ["v"]', b"", False),
    ],
)
def test_a_map_recognises_by_all_its_keys_only(tmp_path: Path, settings: str, head: bytes, expected: bool) -> None:
    """All named keys or columns must be there; a map that names none is never asked."""
    assert reader(tmp_path, f"{settings}\n{VALUE}").recognises(head, "f") is expected


# --- what is wrong in a map -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('format = "yaml"\n', "format: 'yaml' was given"),
        ('formt = "json"\n', "unknown key formt; did you mean format?"),
        (f'format = "json"\n{VALUE}[time]\nsen = "t"\n', "unknown key time.sen; did you mean seen?"),
        ('format = "json"\n', "value: nothing to read"),
        ('format = "json"\n[connection]\nsource = "a"\n', "connection: wanted both source and destination"),
        (
            'format = "json"\n[[value]]\nfield = "v"\nrole = "atacker"\n',
            "value[0].role: 'atacker' was given, wanted one of",
        ),
        ('format = "json"\n[[value]]\nfield = "v"\nrole = "atacker"\n', "did you mean attacker?"),
        ('format = "json"\n[[value]]\nfield = "v"\nkind = "domian"\nrole = "c2"\n', "did you mean domain?"),
        ('format = "json"\n[[value]]\nfield = "v"\n', "value[0]: wanted either role, or role_field"),
        ('format = "json"\n[[value]]\nfield = "v"\nrole_field = "r"\n', "value[0].roles: wanted role_field and"),
        (f'format = "json"\n{VALUE}[value.roles]\na = "c2"\n', "value[0].roles: wanted role_field and"),
        ('format="json"\n[[value]]\nfield="v"\nrole_field="r"\nroles={a="bad"}\n', "value[0].roles.a: 'bad' was given"),
        ('format="json"\n[[value]]\nfield="v"\nrole_field="r"\nroles={a="c2",A="c2"}\n', "nothing but case"),
        ('format = "json"\n[[value]]\nfield = "v[0].x"\nrole = "c2"\n', "value[0].field: 'v[0].x' was given"),
        ('format = "json"\n[[value]]\nfield = "v..x"\nrole = "c2"\n', "wanted a path such as"),
        (f'format = "json"\n[[value]]\nfield = "{"a." * 12}b"\nrole = "c2"\n', "at most 12 steps"),
        (f'format = "json"\n{VALUE}[time]\nseen = "t"\nformat = "%H:%M"\n', "time.format: '%H:%M' was given"),
        (f'format = "json"\n{VALUE}[time]\nseen = "t"\nzone = "Mars/Base"\n', "time.zone: 'Mars/Base' was given"),
        (f'format = "json"\n{VALUE}[time]\nlast = "t"\n', "time.seen: wanted"),
        (f'format = "json"\n{VALUE}[severity]\nat_least = 50\n', "severity.field: wanted"),
        (f'format = "json"\n{VALUE}[connection]\ninitiator = "source"\n', "connection: wanted both"),
        (f'format = "json"\n{VALUE}[confidence]\nfield = "c"\nwords = {{ high = 101 }}\n', "confidence.words"),
        (f'format = "json"\n{VALUE}[marking]\nfield = "m"\nwords = {{ x = "purple" }}\n', "marking.words"),
        (f'format = "json"\n{VALUE}[unless]\nstate = []\n', "unless"),
        (f'format = "json"\n{VALUE}[recognise]\ncolumns = ["a"]\n', "recognise.columns: are for CSV"),
        (f'format = "csv"\n{VALUE}[recognise]\nkeys = ["a"]\n', "recognise.keys: are for JSON"),
        (f'format = "csv"\nrecords = "r"\n{VALUE}', "records: is for JSON"),
        ('format = "json"\n[[value]]\nfield = "v"\nrole = "c2"\nfild = "x"\n', "fild"),
        ("format = json", "not valid TOML"),
    ],
)
def test_a_map_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    """The error names the file, the key, what was wanted and, where there is one, the nearest."""
    with pytest.raises(ConfigurationError) as caught:
        reader(tmp_path, text)
    assert "ours.toml: " in str(caught.value) or "ours.toml is not valid TOML" in str(caught.value)
    assert said in str(caught.value)


def test_a_file_is_named_as_a_reader_is(tmp_path: Path) -> None:
    """A file whose name cannot be typed after --format is refused; no folder, no readers."""
    assert site_readers(tmp_path) == {}
    (tmp_path / "readers").mkdir()
    (tmp_path / "readers" / "Our Tool.toml").write_text(f'format = "json"\n{VALUE}')
    with pytest.raises(ConfigurationError, match="small letters"):
        site_readers(tmp_path)

"""Zeek's logs as records: two formats, three spellings of a field, and headers that change in the middle."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.findings.formats.zeek_logs import LogRecord, is_zeek_log, log_of, member, zeek_records
from threatshare.model import Reject

HEADER = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"


def tsv(path: str, fields: str, types: str, *rows: str) -> str:
    named = [f"#path\t{path}", "#open\t2026-11-22-10-00-00", f"#fields\t{fields}", f"#types\t{types}"]
    return HEADER + "\n".join([*named, *rows, "#close\t2026-11-22-11-00-00"]) + "\n"


def records(text: str | bytes) -> list[LogRecord | Reject]:
    data = text.encode() if isinstance(text, str) else text
    return list(zeek_records(io.BytesIO(data), "z.log"))


def docs(text: str | bytes) -> list[dict[str, Any]]:
    got = records(text)
    assert not [item for item in got if isinstance(item, Reject)]
    return [item.doc for item in got if isinstance(item, LogRecord)]


def test_a_row_becomes_a_document_by_its_types() -> None:
    """Unset fields are left out, empty ones are empty, sets are lists, flags are flags."""
    fields, types = (
        "ts\tnote\tsub\tactions\temail_dest\tlocal\tsrc",
        "time\tenum\tstring\tset[enum]\tset[string]\tbool\taddr",
    )
    row = "1588207244.74\tA::B\t(empty)\tN::ACTION_LOG,N::ACTION_ALARM\t(empty)\tT\t-"
    assert docs(tsv("notice", fields, types, row)) == [
        {
            "ts": "1588207244.74",
            "note": "A::B",
            "sub": "",
            "actions": ["N::ACTION_LOG", "N::ACTION_ALARM"],
            "email_dest": [],
            "local": True,
        }
    ]


def test_escapes_are_undone_after_the_row_is_cut() -> None:
    """A tab or comma inside a value divides nothing; bytes of UTF-8 come together again."""
    row = "a\\x09b\\x2cc\t\\xc3\\xa9\\\\x\tone\\x2c two,three\t\\x2d"
    (doc,) = docs(tsv("notice", "msg\tsub\tlist\tnote", "string\tstring\tset[string]\tstring", row))
    assert doc == {"msg": "a\tb,c", "sub": "é\\x", "list": ["one, two", "three"], "note": "-"}


def test_other_separators() -> None:
    """What the header says is taken, for fields, sets, and what is unset or empty."""
    text = (
        "#separator ,\n#set_separator,;\n#empty_field,EMPTY\n#unset_field,NONE\n#path,notice\n"
        "#fields,note,msg,actions,src\n#types,enum,string,set[enum],addr\nA::B,EMPTY,x;y,NONE\n"
    )
    assert docs(text) == [{"note": "A::B", "msg": "", "actions": ["x", "y"]}]


def test_a_header_in_the_middle_counts_from_there() -> None:
    """Logs written one after another into a file are each read by their own header."""
    first = tsv("notice", "note\tsrc", "enum\taddr", "A::B\t192.0.2.1")
    second = tsv("notice", "src\tnote\tmsg", "addr\tenum\tstring", "192.0.2.2\tA::B\thello")
    third = tsv("dns", "query", "string", "host.example")
    got = records(first + second + third + first)
    assert [item.doc.get("src") for item in got if isinstance(item, LogRecord)] == [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.1",
    ]
    assert [item.where for item in got if isinstance(item, LogRecord)] == ["z.log:9", "z.log:19", "z.log:39"]


def test_rows_of_other_logs_are_passed_over() -> None:
    """Telemetry that nothing points at costs no record."""
    assert records(tsv("dns", "ts\tquery", "time\tstring", "1\thost.example")) == []


def test_a_log_that_does_not_name_itself_is_told_by_its_fields() -> None:
    """Without #path the fields decide."""
    text = tsv("x", "ts\tnote\tactions", "time\tenum\tset[enum]", "1\tA::B\tN::ACTION_LOG").replace("#path\tx\n", "")
    (got,) = records(text)
    assert isinstance(got, LogRecord)
    assert got.log == "notice"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["1\tA::B\textra"], "the row has 3 fields, the header names 2"),
        (["1"], "the row has 1 fields, the header names 2"),
    ],
)
def test_broken_rows_are_rejects_and_the_next_is_read(rows: list[str], reason: str) -> None:
    """A row of another length is kept aside with its line."""
    got = records(tsv("notice", "ts\tnote", "time\tenum", *rows, "2\tA::B"))
    assert isinstance(got[0], Reject)
    assert (got[0].place, got[0].reason) == ("z.log:9", reason)
    assert isinstance(got[1], LogRecord)


def test_rows_before_a_header_are_rejects() -> None:
    """What stands before #fields cannot be read."""
    (got,) = records(HEADER + "1\tA::B\n")
    assert isinstance(got, Reject)


def test_json_in_three_spellings() -> None:
    """A nested field is found with a dot, an underscore, or nested."""
    for doc in ({"id.orig_h": "192.0.2.1"}, {"id_orig_h": "192.0.2.1"}, {"id": {"orig_h": "192.0.2.1"}}):
        assert member(doc, "id.orig_h") == "192.0.2.1"
    assert member({"id": "x"}, "id.orig_h") is None


@pytest.mark.parametrize(
    ("doc", "log"),
    [
        ({"_path": "notice"}, "notice"),
        ({"@stream": "conn"}, "conn"),
        ({"note": "A::B", "suppress_for": 3600.0}, "notice"),
        ({"seen.indicator": "x", "seen.indicator_type": "Intel::ADDR"}, "intel"),
        ({"seen": {"indicator": "x", "indicator_type": "Intel::ADDR"}}, "intel"),
        ({"seen_indicator": "x", "seen_indicator_type": "Intel::ADDR"}, "intel"),
        ({"id.orig_h": "192.0.2.1", "conn_state": "SF"}, "conn"),
        ({"id": {"orig_h": "192.0.2.1"}, "trans_depth": 1}, "http"),
        ({"fuid": "F1", "analyzers": []}, "files"),
        ({"note": "buy milk"}, ""),
        ({}, ""),
    ],
)
def test_which_log_a_record_belongs_to(doc: dict[str, Any], log: str) -> None:
    """It says so itself, or its fields do."""
    assert log_of(doc) == log


@pytest.mark.parametrize(
    "text",
    [
        tsv("notice", "ts\tnote", "time\tenum"),
        tsv("dns", "ts\tquery", "time\tstring"),
        "### a comment\n" + tsv("intel", "ts\tseen.indicator\tseen.indicator_type", "time\tstring\tenum"),
        json.dumps({"ts": 1, "uid": "C1", "id.orig_h": "192.0.2.1", "id.resp_h": "192.0.2.2", "x": 1}),
        json.dumps({"_path": "weird", "ts": "2026-11-22T10:00:00Z"}),
        json.dumps({"ts": 1, "note": "A::B", "actions": []}) + "\n{",
        '{"ts": 1, "id_or\n' + json.dumps({"ts": 1, "id_orig_h": "192.0.2.1", "conn_state": "SF"}),
        json.dumps([{"ts": 1, "id_orig_h": "192.0.2.1", "conn_state": "SF"}]),
    ],
)
def test_logs_are_recognised(text: str) -> None:
    """Any log of Zeek, also one that yields nothing."""
    assert is_zeek_log(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "#fields\tindicator\tindicator_type\tmeta.source\n192.0.2.1\tIntel::ADDR\tx\n",
        HEADER + "#fields\tindicator\tindicator_type\tmeta.source\n192.0.2.1\tIntel::ADDR\tx\n",
        "# Title\n\nSome #fields of a report.\n",
        "# How to read Zeek logs\n\nThey begin so:\n\n#separator \\x09\n#fields\tts\tuid\n",
        '{"ts": 1, "value": "192.0.2.1"}',
        '{"timestamp": "x", "event_type": "alert", "src_ip": "192.0.2.1"}',
        '{"note": "buy milk", "ts": 1}',
        '{"ts": 1, "note": ',
        "ts,uid\n1,C1\n",
        "",
    ],
)
def test_other_files_are_not(text: str) -> None:
    """Least of all an Intel framework file: that is a list that somebody asserts, and nothing that was seen."""
    assert not is_zeek_log(text.encode())


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=20), min_size=1, max_size=6))
def test_what_zeek_writes_is_read_back(cells: list[str]) -> None:
    """Values of any characters survive the writer's escapes."""

    def escaped(cell: str) -> str:
        plain = "".join(
            f"\\x{ord(char):02x}" if char < " " or char == "\x7f" else char for char in cell.replace("\\", "\\\\")
        )
        if plain in ("-", "(empty)"):
            return f"\\x{ord(plain[0]):02x}{plain[1:]}"
        return plain or "(empty)"

    fields = "\t".join(f"f{n}" for n in range(len(cells)))
    row = "x\t" + "\t".join(escaped(cell) for cell in cells)
    (doc,) = docs(tsv("notice", "first\t" + fields, "\t".join(["string"] * (len(cells) + 1)), row))
    assert list(doc.values())[1:] == cells


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    """Whatever stands in a file, it is records and rejects."""
    for head in (b"", HEADER.encode() + b"#path\tnotice\n#fields\ta\tb\n", b'{"ts":1}\n', b"#separator \n"):
        assert isinstance(is_zeek_log(head + data), bool)
        assert all(isinstance(item, LogRecord | Reject) for item in records(head + data))

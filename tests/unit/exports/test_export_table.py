"""The CSV export reads back as it was meant, and no spreadsheet runs a cell of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from export_rows import SAMPLER, a_row, rows
from threatshare.exports.rows import ExportRow
from threatshare.exports.table import COLUMNS, bare, cells, write_table
from threatshare.model import Kind

RUN_BY_SPREADSHEETS = "=+-@\t\r\n\0＝＋－＠"


def read_back(text: str) -> list[list[str]]:
    """Reads a table as a consumer does, without touching its line ends."""
    return list(csv.reader(io.StringIO(text, newline="")))


def test_golden_table(root: Path) -> None:
    """The file that consumers have built on stays as it is, byte for byte."""
    golden = (root / "tests/golden/exports/table.csv").read_bytes()
    assert "".join(write_table(SAMPLER)).encode() == golden


def test_an_empty_table_is_a_header() -> None:
    """A consumer always finds the header, also when nothing is to be exported."""
    assert read_back("".join(write_table([]))) == [list(COLUMNS)]


@given(st.lists(rows, max_size=5))
def test_every_cell_reads_back(exported: list[ExportRow]) -> None:
    """Whatever stands in a cell (quotes, commas, line breaks), a CSV reader gets that text."""
    table = read_back("".join(write_table(exported)))
    assert table == [list(COLUMNS), *(list(cells(row)) for row in exported)]


@given(rows)
def test_every_value_comes_back_bare(row: ExportRow) -> None:
    """Taking the guard off gives the very value and sources that were exported."""
    read = dict(zip(COLUMNS, cells(row), strict=True))
    assert bare(read["value"]) == row.observable.value
    assert bare(read["sources"]) == "; ".join(row.sources)


@given(rows)
def test_no_cell_is_run(row: ExportRow) -> None:
    """No cell begins with a character that makes a spreadsheet run it."""
    assert not [cell for cell in cells(row) if cell[:1] and cell[0] in RUN_BY_SPREADSHEETS]


def test_a_mail_address_that_is_a_formula_is_guarded() -> None:
    """The one kind of value that can begin like a formula gets a quote before it."""
    row = a_row(Kind.EMAIL, "=cmd|calc@mail.example")
    assert cells(row)[1] == "'=cmd|calc@mail.example"


def test_the_table_streams() -> None:
    """A line is out before the next row is asked for, so that size does not matter."""
    asked: list[int] = []

    def endless() -> Iterator[ExportRow]:
        while True:
            asked.append(1)
            yield a_row()

    lines = write_table(endless())
    next(lines)
    assert asked == []
    next(lines)
    assert len(asked) == 1

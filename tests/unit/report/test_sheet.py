"""Pages for people: whatever they are made of is text, in Markdown and in HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.report.sheet import Block, Sheet, markdown, page

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[click](https://evil.example)",
    "![x](https://evil.example/pixel)",
    "https://evil.example/login",
    "www.evil.example",
    "`code` *bold* _it_ ~~gone~~",
    "a | b",
    "line\nbreak\r\n# heading",
    "\u202egpj.exe\u202c",
    "\x1b[31mred",
    "&lt;b&gt;",
    "- item",
    "1. item",
    "<!-- -->",
    "\ud800 lone",
    "x" * 1000,
)


def sheet(text: str) -> Sheet:
    """A page that has a text in every place."""
    return Sheet(
        text,
        text,
        text,
        (
            Block(text, facts=((text, text),)),
            Block(text, lines=(text,)),
            Block(text, columns=(text,), rows=((text,),)),
        ),
    )


class Tags(HTMLParser):
    """Collects the tags of a page, with attributes, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def tags_of(made: str) -> Tags:
    """Reads a page as a browser would."""
    found = Tags()
    found.feed(made)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_html_is_markup(text: str) -> None:
    """A hostile text changes no tag and no attribute of the page."""
    assert tags_of(page(sheet(text))).tags == tags_of(page(sheet("plain"))).tags


@given(st.text())
def test_no_text_at_all_is_markup_in_html(text: str) -> None:
    """Whatever a text holds, the page has the tags of the same page with a plain one."""
    assert tags_of(page(sheet(text))).tags == tags_of(page(sheet("plain"))).tags


def test_html_stands_by_itself() -> None:
    """A page fetches nothing, runs nothing, and says so to the browser."""
    made = page(sheet("plain"))
    assert "default-src 'none'" in made
    assert re.findall(r"(?:src|href|url|import|@font-face)\b\s*[=(]", made) == []
    assert "size: A4" in made


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_markdown_is_markup(text: str) -> None:
    """Every character that Markdown acts on stands behind a backslash, and no text begins a line of its own."""
    made = markdown(sheet(text))
    plain = markdown(sheet("plain"))
    assert len(made.splitlines()) == len(plain.splitlines())
    for line, model in zip(made.splitlines(), plain.splitlines(), strict=True):
        body = line
        for fixed in re.findall(r"^(?:# |## |- |\*\*|\| )", model):
            assert body.startswith(fixed)
        unescaped = re.sub(r"\\.", "", line)
        assert re.sub(r"\\.", "", model).count("|") == unescaped.count("|")
        assert not re.search(r"[`<>\[\]~&$]", unescaped)
        assert not re.search(r"https?://|www\.|!\[", unescaped)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)


def test_a_line_is_no_list_of_its_own() -> None:
    """A text that begins like an item of a list does not begin one; a telephone number is left as it is."""
    made = markdown(Sheet("t", "m", "l", (Block("b", lines=("- item", "12. item", "+1 555 0100", "1.1 Date")),)))
    assert "- \\- item\n- 12\\. item\n- +1 555 0100\n- 1.1 Date\n" in made


def test_long_texts_are_cut() -> None:
    """One text of a partner cannot fill the page."""
    assert max(len(line) for line in markdown(sheet("x" * 10_000)).splitlines()) < 700

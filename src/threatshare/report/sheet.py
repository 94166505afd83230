"""A page for people: a title, a marking, blocks of facts and lines; as Markdown, or as HTML that stands by itself.

Whatever it is made of is text: nothing in it can become markup, a link, a script or a control character.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONGEST = 300
"""Characters of one text; what partners write may be of any length."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|#~&$^]")
_LINKS = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=\bwww)\.|(?<=\bmailto):|(?<=\bxmpp):")
_LIST = re.compile(r"^(?=[-+=]+(?:\s|$))|^(\d+)(?=[.)](?:\s|$))")


@dataclass(frozen=True, slots=True)
class Block:
    """A heading with facts, rows or lines under it."""

    heading: str
    facts: tuple[tuple[str, str], ...] = ()
    """What, and how much or which."""
    columns: tuple[str, ...] = ()
    """Headings of the rows."""
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page."""

    title: str
    marking: str
    """Shown at head and foot, e.g. ``TLP:GREEN``."""
    lead: str
    """What the page is about, in a sentence or two."""
    blocks: tuple[Block, ...]


def markdown(sheet: Sheet) -> str:
    """Writes a page as CommonMark with tables."""
    lines = [f"# {_md(sheet.title)}", "", f"**{_md(sheet.marking)}**", "", _md(sheet.lead)]
    for block in sheet.blocks:
        lines += ["", f"## {_md(block.heading)}", ""]
        lines += [f"- {_md(what)}: {_md(said)}" for what, said in block.facts]
        lines += [f"- {_md(line)}" for line in block.lines]
        if block.rows:
            lines += [_md_row(block.columns), _md_row(["---"] * len(block.columns), escape=False)]
            lines += [_md_row(row) for row in block.rows]
    return "\n".join([*lines, "", f"**{_md(sheet.marking)}**"]) + "\n"


def page(sheet: Sheet) -> str:
    """Writes a page as HTML without anything from elsewhere; on paper it is A4, in two columns."""
    title, marking = _text(sheet.title), _text(sheet.marking)
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n<style>\n{_STYLE}</style>\n'
            f'</head>\n<body>\n<p class="marking">{marking}</p>\n<h1>{title}</h1>\n'
            f"<p>{_text(sheet.lead)}</p>\n<main>\n",
            *(piece for block in sheet.blocks for piece in _section(block)),
            f'</main>\n<p class="marking">{marking}</p>\n</body>\n</html>\n',
        )
    )


def _section(block: Block) -> Iterator[str]:
    yield f"<section>\n<h2>{_text(block.heading)}</h2>\n"
    if block.facts:
        rows = "".join(f"<dt>{_text(what)}</dt><dd>{_text(said)}</dd>\n" for what, said in block.facts)
        yield f"<dl>\n{rows}</dl>\n"
    if block.lines:
        items = "".join(f"<li>{_text(line)}</li>\n" for line in block.lines)
        yield f"<ul>\n{items}</ul>\n"
    if block.rows:
        head = "".join(f"<th>{_text(one)}</th>" for one in block.columns)
        body = "".join(f"<tr>{''.join(f'<td>{_text(one)}</td>' for one in row)}</tr>\n" for row in block.rows)
        yield f"<table>\n<tr>{head}</tr>\n{body}</table>\n"
    yield "</section>\n"


def _plain(text: str) -> str:
    flat = _UNSAFE.sub(" ", text).strip()
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"


def _text(text: str) -> str:
    return html.escape(_plain(text), quote=True)


def _md(text: str) -> str:
    quiet = _LINKS.sub(lambda found: "\\" + found[0], _MARKDOWN.sub(lambda found: "\\" + found[0], _plain(text)))
    return _LIST.sub(lambda found: f"{found[1]}\\" if found[1] else "\\", quiet)


def _md_row(cells: Sequence[str], escape: bool = True) -> str:
    return f"| {' | '.join(map(_md, cells) if escape else cells)} |"


_STYLE = """@page { size: A4; margin: 12mm; }
body { font: 9.5pt/1.3 sans-serif; color: #111; max-width: 186mm; margin: 0 auto; overflow-wrap: anywhere; }
h1 { font-size: 14pt; margin: 0 0 1mm; }
h2 { font-size: 10.5pt; margin: 0 0 .5mm; border-bottom: .3mm solid #999; }
p { margin: 0 0 2mm; }
.marking { font-weight: bold; text-align: right; }
main { columns: 2; column-gap: 8mm; }
section { break-inside: avoid; margin-bottom: 3mm; }
dl { margin: 0; display: grid; grid-template-columns: 40% 60%; gap: 0 2mm; }
dd { margin: 0; }
ul { margin: 0; padding-left: 4mm; }
table { border-collapse: collapse; width: 100%; font-size: 8.5pt; }
th, td { text-align: left; vertical-align: top; padding: 0 1mm 0 0; }
"""

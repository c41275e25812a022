"""What a section has to say, as blocks; written as one HTML page and as Markdown."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ntjax.io.files import write_bytes
from ntjax.reports.markdown import markdown_table


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under their heads; `caption` says what is counted and how."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture beside the page, and what it shows."""

    file: str
    caption: str


Block = Text | Table | Figure


@dataclass(frozen=True)
class Chapter:
    """A section of the page: its title, the command that repeats it, and its blocks."""

    title: str
    command: str
    blocks: tuple[Block, ...]


_MANY_COLUMNS = 10  # more of them have room on a page only if intervals may be broken
_INTERVAL = re.compile(r"\[[^\[\]]{1,24}\]")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
h1, h2 { line-height: 1.2 } h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem }
code { background: #f3f3f3; padding: .1rem .3rem } pre code { display: block; overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; width: 100% }
th, td { padding: .25rem .5rem; text-align: left; vertical-align: top }
th, td { border-bottom: 1px solid #ddd }
caption, figcaption { text-align: left; color: #444; font-size: .9rem; padding: .4rem 0 }
figure { margin: 1.5rem 0 } img { max-width: 100% }
@media (max-width: 50rem) {
  tr:first-child { display: none } table, caption, tbody, tr, td { display: block }
  tr { border-bottom: 2px solid #999; padding: .4rem 0 }
  td { position: relative; min-height: 1.3rem; padding-left: 9.5rem; border-bottom: 0 }
  td::before { content: attr(data-head); position: absolute; left: 0; width: 9rem; color: #444 }
}
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #161616 } code { background: #2a2a2a }
  caption, figcaption, td::before { color: #aaa } img { background: #fff }
}
"""


def write_page(folder: Path, title: str, introduction: str, chapters: Sequence[Chapter]) -> None:
    """`report.html`, which holds its pictures, and `report.md`, which names them.

    Arguments:
        folder: where both go, and where the pictures are.
    """
    page = "\n".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
            "<meta name=viewport content='width=device-width'>",
            f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1><p>{_inline(introduction)}</p>",
            *(_html_chapter(chapter, folder) for chapter in chapters),
            "</html>\n",
        ]
    )
    text = "\n\n".join(
        [f"# {title}", introduction, *(_markdown_chapter(chapter) for chapter in chapters)]
    )
    for name, content in (("report.html", page), ("report.md", text + "\n")):
        write_bytes(folder / name, content.encode())


def _html_chapter(chapter: Chapter, folder: Path) -> str:
    blocks = [_html_block(block, folder) for block in chapter.blocks]
    command = f"<pre><code>{html.escape(chapter.command)}</code></pre>"
    return "\n".join([f"<h2>{html.escape(chapter.title)}</h2>", command, *blocks])


def _html_block(block: Block, folder: Path) -> str:
    if isinstance(block, Text):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Figure):
        picture = base64.b64encode((folder / block.file).read_bytes()).decode()
        described = html.escape(block.caption, quote=True)
        return (
            f"<figure><img alt='{described}' src='data:image/png;base64,{picture}'>"
            f"<figcaption>{_inline(block.caption)}</figcaption></figure>"
        )
    heads = "".join(f"<th>{_inline(head)}</th>" for head in block.heads)
    rows = "".join(f"<tr>{_html_cells(block.heads, row)}</tr>" for row in block.rows)
    caption = f"<caption>{_inline(block.caption)}</caption>" if block.caption else ""
    return f"<table>{caption}<tr>{heads}</tr>{rows}</table>"


def _html_cells(heads: Sequence[str], row: Sequence[str]) -> str:
    """A row's cells; each has its head with it, for screens too narrow for a table."""
    kept = _kept if len(heads) <= _MANY_COLUMNS else str
    return "".join(
        f"<td data-head='{html.escape(_plain(head), quote=True)}'>{_inline(kept(cell))}</td>"
        for head, cell in zip(heads, row, strict=True)
    )


def _plain(text: str) -> str:
    return text.replace("`", "").replace("*", "")


def _kept(cell: str) -> str:
    """A cell that is not broken within an interval, such as [0.1, 0.2]."""
    return _INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), cell)


def _inline(text: str) -> str:
    """Escaped text; what stands between backticks is code, between asterisks emphasised."""
    parts = html.escape(text).split("`")
    marked = [
        f"<code>{part}</code>" if number % 2 else _emphasised(part)
        for number, part in enumerate(parts)
    ]
    return "".join(marked)


def _emphasised(text: str) -> str:
    parts = text.split("*")
    if len(parts) % 2 == 0:  # an asterisk that is one
        return text
    return "".join(f"<em>{part}</em>" if n % 2 else part for n, part in enumerate(parts))


def _markdown_chapter(chapter: Chapter) -> str:
    blocks = [as_markdown(block) for block in chapter.blocks]
    return "\n\n".join([f"## {chapter.title}", f"    {chapter.command}", *blocks])


def as_markdown(block: Block) -> str:
    """A block as it stands in `report.md`."""
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Figure):
        return f"![{block.caption}]({block.file})\n\n{block.caption}"
    lines = markdown_table(block.heads, block.rows)
    return "\n".join([block.caption, ""] * bool(block.caption) + lines)

"""A page as a reader sees it: tables, numbers with all digits, and whether it is well-formed."""

from html.parser import HTMLParser
from pathlib import Path

# Elements of HTML that have no end; those of SVG end in "/>".
_VOID = {"meta", "br", "wbr", "hr", "img", "link", "input"}
_LOADING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}


class Page(HTMLParser):
    """What stands in a page.

    Attributes:
        tables: rows of cells by the table's class; a cell is its text, and the full values of the
            numbers in it.
        texts: the text of every paragraph, list item and heading.
        loads: attributes that would load something.
        elements: names of all elements, in order.
    """

    def __init__(self, file: Path):
        super().__init__()
        self.tables, self.rows_of = {}, None
        self.texts, self.loads, self.elements, self.ids = [], [], [], []
        self._open, self._cell, self._text = [], None, None
        self.source = file.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.elements.append(tag)
        self.loads += [(tag, name, value) for name, value in attrs if name in _LOADING]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.setdefault(values.get("class", ""), [])
            self.rows_of = self.tables[values.get("class", "")]
        elif tag == "tr":
            self.rows_of.append({"attributes": values, "cells": []})
        elif tag in ("td", "th"):
            self._cell = {"text": "", "values": []}
            self.rows_of[-1]["cells"].append(self._cell)
        elif tag == "data" and self._cell is not None:
            self._cell["values"].append(float(values["value"]))
        if tag in ("p", "li", "h1", "h2", "h3", "dd", "pre"):
            self._text = ""

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> where <{self._open[-1]}> is open"
        self._open.pop()
        if tag in ("td", "th"):
            self._cell = None
        if tag in ("p", "li", "h1", "h2", "h3", "dd", "pre") and self._text is not None:
            self.texts.append(" ".join(self._text.split()) if tag != "pre" else self._text)
            self._text = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell["text"] += data
        if self._text is not None:
            self._text += data

    def row(self, table, attribute, value):
        """Cells of the row of a table that is marked so."""
        [found] = [
            row["cells"]
            for row in self.tables[table]
            if row["attributes"].get(f"data-{attribute}") == value
        ]
        return found

    def says(self, text):
        """Whether a paragraph, item or heading holds a text."""
        return any(text in one for one in self.texts)

"""The page of the promoter study."""

from ntjax.reports.page import Chapter, Figure, Table, Text, write_page

PIXEL = b"\x89PNG not a real one"


def page(folder, *blocks):
    (folder / "picture.png").write_bytes(PIXEL)
    write_page(folder, "Title <1>", "What & why.", [Chapter("One", "python -m it > x", blocks)])
    return (folder / "report.html").read_text(), (folder / "report.md").read_text()


def test_text_is_escaped_and_marked(tmp_path):
    html, markdown = page(tmp_path, Text("*E. coli* has `a < b` & 2 * 3"))
    assert "Title &lt;1&gt;" in html
    assert "python -m it &gt; x" in html
    # An odd number of asterisks is arithmetic.
    assert "<code>a &lt; b</code>" in html
    assert "*E. coli* has `a < b` & 2 * 3" in markdown


def test_emphasis(tmp_path):
    html, _ = page(tmp_path, Text("of *E. coli* K-12"))
    assert "of <em>E. coli</em> K-12" in html


def test_a_table_has_its_caption_heads_and_rows(tmp_path):
    table = Table(("method", "mcc"), (("CNN", "0.5"), ("IA³", "0.4")), "on 9 rows")
    html, markdown = page(tmp_path, table)
    assert "<caption>on 9 rows</caption><tr><th>method</th><th>mcc</th></tr>" in html
    assert "<tr><td data-head='method'>IA³</td><td data-head='mcc'>0.4</td></tr>" in html
    assert "on 9 rows\n\n| method | mcc |\n|---|---|\n| CNN | 0.5 |\n| IA³ | 0.4 |" in markdown


def test_intervals_stay_on_one_line_where_there_is_room(tmp_path):
    html, markdown = page(tmp_path, Table(("a",), (("0.5 [0.4, 0.6]",),)))
    assert "0.5 [0.4,\u00a00.6]" in html
    assert "0.5 [0.4, 0.6]" in markdown
    many = tuple("abcdefghijk")
    html, _ = page(tmp_path, Table(many, (("0.5 [0.4, 0.6]",) * 11,)))
    assert "0.5 [0.4, 0.6]" in html


def test_the_page_holds_its_pictures(tmp_path):
    html, markdown = page(tmp_path, Figure("picture.png", 'It\'s "one"'))
    assert "data:image/png;base64,iVBORyBub3QgYSByZWFsIG9uZQ==" in html
    assert "alt='It&#x27;s &quot;one&quot;'" in html
    assert "](picture.png)" in markdown

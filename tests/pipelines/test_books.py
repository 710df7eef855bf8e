"""MediaWiki dumps, EPUB books and trees of source code."""

import bz2
import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.wikitext import text_of
from tests.pipelines.drafts import source
from tests.pipelines.reading import balanced, faults, kinds, read, write

WIKI, EPUB, TREE = source(format="mediawiki"), source(format="epub"), source(format="tree")
HIDDEN = frozenset(("file", "category", "文件", "分类"))

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">
  <siteinfo>
    <base>https://zh.wikipedia.org/wiki/Wikipedia:%E9%A6%96%E9%A1%B5</base>
    <namespaces><namespace key="6" case="first-letter">File</namespace><namespace key="14" case="first-letter">分类</namespace></namespaces>
  </siteinfo>
"""


def wiki_page(title: str, text: str, ns: int = 0, more: str = "", model: str = "wikitext") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return f"""  <page>
    <title>{title}</title><ns>{ns}</ns><id>7</id>{more}
    <revision><id>1</id><timestamp>2001-01-01T00:00:00Z</timestamp><text>old</text></revision>
    <revision><id>9</id><timestamp>2024-01-02T03:04:05Z</timestamp><model>{model}</model>
      <text xml:space="preserve">{escaped}</text></revision>
  </page>
"""


PAGES = {
    "ok": wiki_page("磨坊 (村)", "'''磨坊'''是[[小麦|麦子]]变成面粉的地方。<ref>x</ref>{{box}}"),
    "redirect": wiki_page("A", "x", more='<redirect title="磨坊" />'),
    "redirect ": wiki_page("B", "#重定向 [[磨坊]]"),
    "talk_page": wiki_page("Talk:A", "x", ns=1),
    "namespace": wiki_page("Help:A", "x", ns=12),
    "content_model": wiki_page("A.css", "x", model="css"),
    "missing_text": wiki_page("C", ""),
    "invalid_xml": "  <page>\n    <title>D</title></titel>\n  </page>\n",
    "invalid_xml ": "  <page>\n    <title>&bomb;</title>\n  </page>\n",
    "ok ": wiki_page("E", "Mills & millers: <br> a < b"),
}


def dump(*names: str) -> bytes:
    return (HEAD + "".join(PAGES[name] for name in names) + "</mediawiki>\n").encode()


@pytest.mark.parametrize("packed", [False, True])
def test_pages_of_a_dump(tmp_path: Path, packed: bool) -> None:
    data = dump(*PAGES)
    path = write(tmp_path, "wiki.xml" + ".bz2" * packed, bz2.compress(data) if packed else data)
    records, owned = read(path, WIKI)
    assert kinds(records) == [name.strip() for name in PAGES] and owned == [len(data)]
    assert all(data[r.offset :].startswith(b"<page>") and data[: r.offset + r.size].endswith(b"</page>") for r in records)
    assert records[0].raw.decode() == "磨坊是麦子变成面粉的地方。\n" and records[-1].raw.decode() == "Mills & millers:\na < b\n"
    assert json.loads(records[0].extra or "") == {
        "title": "磨坊 (村)", "id": "7", "revision": "9", "date": "2024-01-02T03:04:05Z", "lang": "zh",
        "url": "https://zh.wikipedia.org/wiki/%E7%A3%A8%E5%9D%8A_(%E6%9D%91)",
    }  # fmt: skip
    assert records[1].fault == ("redirect", "to 磨坊") == records[2].fault
    talks, _ = read(path, source(format="mediawiki", namespaces=(1, 12)))
    assert [k for k in kinds(talks) if k == "ok"] == ["ok", "ok"]


def test_a_page_that_never_ends_costs_itself_alone(tmp_path: Path) -> None:
    data = dump("ok", "ok ").replace(b"  </page>", b"", 1)
    records, owned = read(write(tmp_path, "a.xml", data), WIKI)
    assert kinds(records) == ["invalid_xml", "ok"] and owned == [len(data)]
    records, _ = read(write(tmp_path, "b.xml", dump("ok", "ok ")[:-60]), WIKI)
    assert kinds(records) == ["ok", "truncated_input"]
    assert kinds(read(write(tmp_path, "c.xml", b"<html>no dump</html>"), WIKI)[0]) == ["invalid_xml"]
    laughs = b'<!DOCTYPE x [<!ENTITY bomb "ha">]>' + dump("invalid_xml ", "ok")
    assert kinds(read(write(tmp_path, "d.xml", laughs), WIKI)[0]) == ["invalid_xml", "ok"]
    long = dump("ok").replace(b"</text>", b"x" * (3 << 20) + b"</text>") + dump("ok")
    records, owned = read(write(tmp_path, "e.xml", long), WIKI, limit=1 << 20)
    assert kinds(records) == ["too_long", "ok"] and owned == [len(long)]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(list(PAGES)), min_size=1, max_size=8), cuts=st.lists(st.integers(0, 5000), max_size=6))
def test_a_dump_cut_anywhere_gives_the_same_pages(tmp_path: Path, names: list[str], cuts: list[int]) -> None:
    path = write(tmp_path, "wiki.xml", dump(*names))
    whole, owned = read(path, WIKI)
    parts, parts_owned = read(path, WIKI, tuple(cuts))
    assert parts == whole and sum(parts_owned) == sum(owned) == path.stat().st_size
    assert kinds(whole) == [name.strip() for name in names]


def test_wikitext() -> None:
    source_text = """{{Infobox|a={{b}}}}
'''Mill''' ''or'' [[windmill]]s, see [[Category:Mills]][[:Category:Mills]][[File:a.jpg|thumb|A [[mill]]]]
[[de:Mühle]] (from {{lang|el|μύλος}}; {{x}}).<!-- no -->
* one&nbsp;item<ref name="a">note</ref>
* [https://a.example two] [https://b.example] https://c.example
{| class="wikitable"
| cell
|}
== Empty ==
=== Below ===
Text.<math>x^2</math>
== Gone ==
{{reflist}}
__NOTOC__ -{zh-hans:计算机; zh-hant:電腦}-和-{H|zh:x}--{软件}-
== 外部链接 ==
[[分类:磨坊]]
"""
    assert text_of(source_text, HIDDEN) == (
        "Mill or windmills, see Category:Mills\n(from μύλος; ).\none\xa0item\ntwo  https://c.example\n\n"
        "Empty\n\nBelow\n\nText.\n\nGone\n\n计算机和软件\n"
    )


XHTML = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>%s</body></html>'
OPF = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>磨坊
 书</dc:title><dc:creator>甲</dc:creator><dc:creator>乙</dc:creator><dc:language>zh</dc:language></metadata>
<manifest><item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>
<item id="b" href="ch/%E4%BA%8C.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="ch/1.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="nav"/><itemref idref="a"/><itemref idref="b"/></spine></package>"""
BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/a.opf"/></rootfiles></container>',
    "OEBPS/a.opf": OPF,
    "OEBPS/nav.xhtml": XHTML % "<nav>contents</nav>",
    "OEBPS/ch/二.xhtml": XHTML % "<p>第二章。</p>",
    "OEBPS/ch/1.xhtml": XHTML % '<h1>第一章</h1><p>磨坊<a id="x"/>转动。</p><p>面粉。</p>',
}


def book(**changes: str | None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**BOOK, **changes}.items():
            if text is not None:
                archive.writestr(name, text)
    return out.getvalue()


def test_a_book_is_its_chapters_in_order(tmp_path: Path) -> None:
    [record], owned = read(write(tmp_path, "a.epub", book()), EPUB)
    assert record.raw.decode() == "第一章\n\n磨坊转动。\n\n面粉。\n\n第二章。"
    assert record.extra == '{"creators":["甲","乙"],"lang":"zh","title":"磨坊 书"}'
    assert (record.offset, record.size) == (0, (tmp_path / "a.epub").stat().st_size) and owned == [record.size]


ENCRYPTED = '<encryption xmlns:e="x"><e:CipherReference URI="OEBPS/ch/1.xhtml"/></encryption>'


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"META-INF/container.xml": None}, "invalid_epub"),
        ({"OEBPS/ch/1.xhtml": None}, "invalid_epub"),
        ({"OEBPS/a.opf": OPF.replace("</spine>", "")}, "invalid_epub"),
        ({"OEBPS/a.opf": '<!DOCTYPE x [<!ENTITY a "b">]>' + OPF}, "invalid_epub"),
        ({"META-INF/encryption.xml": ENCRYPTED}, "encrypted"),
        ({"META-INF/encryption.xml": ENCRYPTED.replace("ch/1.xhtml", "font.otf")}, "ok"),
    ],
)
def test_a_book_that_lacks_something_is_a_reject(tmp_path: Path, changes: dict[str, str | None], reason: str) -> None:
    records, owned = read(write(tmp_path, "a.epub", book(**changes)), EPUB)
    assert kinds(records) == [reason] and balanced(records, owned)


def test_a_damaged_book_is_one_reject(tmp_path: Path) -> None:
    whole, draw = book(), random.Random(5)
    for _ in range(60):
        data = bytearray(whole[: draw.choice([len(whole), draw.randrange(1, len(whole))])])
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        records, owned = read(write(tmp_path, "a.epub", bytes(data)), EPUB)
        assert len(records) == 1 and owned == [len(data)] and records[0].size == len(data)


SOURCES = {
    "a.py": ("# Licensed under the Apache License.\n\nx = 1\n", None),
    "b.go": ("// Code generated by protoc-gen-go. DO NOT EDIT.\npackage b\n", "generated"),
    "c.java": ("/* @generated */\nclass C {}\n", "generated"),
    "d.py": ('"""This file is generated by mk.py. DO NOT EDIT."""\n', "generated"),
    "e.py": ('print("this file is generated by nobody")\n' + "#\n" * 3, None),
    "f.min.js": ("var a = 1;\n", "minified"),
    "g.js": ("var a=1;" * 200, "minified"),
    "h.js": ("var a = 1;\n" * 200, None),
    "i.py": ("x = 1  # " + "long " * 200, None),
}


def test_generated_and_minified_files_of_a_tree_are_rejects(tmp_path: Path) -> None:
    for name, (text, reason) in SOURCES.items():
        path = write(tmp_path, name, text.encode())
        records, _ = read(path, TREE)
        assert faults(records) == [reason], name
        assert records[0].raw == text.encode()
        assert faults(read(path, source(format="tree", generated="keep"))[0]) == [None]

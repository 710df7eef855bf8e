"""Options of cleaning: each does what it says, is counted, is idempotent, and leaves what isn't its own."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines import corpus
from pipelines.clean import clean_text, cut_lines, form
from pipelines.clean.lines import Terms
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.errors import RequestError
from schemas.recipe import Annotator, Boilerplate, Clean, Corpus, HeldOut, Redact
from tests.pipelines.drafts import ledgers, make, reasons, rows, source, texts

SHORT = st.text(st.sampled_from("aAＡ１ßİΣǰJ\u030c'’-_.,。（）\n \t中后後里裏发發乾干龙龍布佈<EMAIL>\r\x00Ã"), max_size=30)
HAN = st.text(st.sampled_from("后後里裏发發展乾干龙龍布佈陈陳万萬了瞭解念唸\n"), max_size=20)
ALL = {
    "width": "half",
    "chinese": "simplified",
    "boilerplate_lines": Boilerplate(),
    "duplicate_lines": 2,
    "lower_case": True,
    "strip_punctuation": True,
}


def bytes_of(characters: str) -> int:
    return len(characters.encode())


@pytest.mark.parametrize("chinese", ["traditional", "simplified"])
@settings(deadline=None)
@given(SHORT | HAN)
@example("陈布雷")
@example("旋乾轉坤\n清空万里，里蒙诺夫")
def test_repairs_with_options_are_idempotent(chinese: str, text: str) -> None:
    options = Clean(width="half", chinese=chinese)
    once, kinds = clean_text(text, options)
    assert clean_text(once, options) == (once, {})
    assert (kinds == {}) == (once == text) and all(count > 0 for count in kinds.values())


@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("ＡＢＣ　１２３，（ｚ）％", "ABC　123，（z）％", 21),
        ("plain ABC 中文", "plain ABC 中文", 0),
    ],
)
def test_width_of_letters_and_digits(text: str, expected: str, count: int) -> None:
    assert clean_text(text, Clean(width="half")) == (expected, {"width": count} if count else {})
    assert clean_text(text, Clean()) == (text, {})


@pytest.mark.parametrize(
    ("to", "text", "expected", "count"),
    [
        ("simplified", "皇后的頭髮，後面 is fine", "皇后的头发，后面 is fine", 9),
        ("traditional", "皇后的头发，后面", "皇后的頭髮，後面", 9),
        ("traditional", "清空萬里，伙伴關係", "清空萬里，伙伴關係", 0),  # is Traditional already
        ("traditional", "清空萬里，伙伴關係\n头发", "清空萬里，伙伴關係\n頭髮", 6),
        ("simplified", "一万里", "一万里", 0),
    ],
)
def test_chinese_is_converted_by_phrases_and_by_lines(to: str, text: str, expected: str, count: int) -> None:
    assert clean_text(text, Clean(chinese=to)) == (expected, {"chinese": count} if count else {})


def test_conversion_keeps_the_number_of_characters() -> None:
    every = "\n".join(chr(c) for c in (*range(0x3400, 0xA000), *range(0xF900, 0xFB00), *range(0x20000, 0x323B0)) if chr(c).isprintable())
    for to in ("traditional", "simplified"):
        assert len(clean_text(every, Clean(nfc=False, chinese=to))[0]) == len(every)


FORMS = [Clean(lower_case=True), Clean(strip_punctuation=True), Clean(lower_case=True, strip_punctuation=True)]


@pytest.mark.parametrize("options", FORMS, ids=["lower", "strip", "both"])
@settings(deadline=None)
@given(st.text(st.sampled_from("aAßİΣǰJ\u030c'’-_.,。（）\n \t中<EMAIL>[X-Y]"), max_size=30) | st.text(max_size=20))
@example("a<EMAIL>,b [X-Y]. c")
def test_forms_are_idempotent_and_are_what_they_say(options: Clean, text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    placeholders = ("<EMAIL>", "[X-Y]")
    once, kinds = form(text, options, placeholders)
    assert form(once, options, placeholders) == (once, {})
    assert (kinds == {}) == (once == text) and all(count > 0 for count in kinds.values())
    left = re.sub(r"<EMAIL>|\[X-Y\]", "", once)
    if options.strip_punctuation:
        assert not any(unicodedata.category(c).startswith("P") for c in left)
        assert "".join(once.split()) == "".join(form(once, Clean(strip_punctuation=True), placeholders)[0].split())
    if options.lower_case:
        assert left == left.lower() or "Σ" in text
    assert once.count("<EMAIL>") >= text.count("<EMAIL>") and once.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "expected", "kinds"),
    [
        ("Don't stop, he said: “well-known”.", "Dont stop he said well known", {"punctuation": 1 + 1 + 1 + 3 + 1 + 3 + 1}),
        ("你好，世界！\n（真的）", "你好 世界\n真的", {"punctuation": 12}),
        ("  - a, b\n---\n3 + 4 = $7", "a b\n\n3 + 4 = $7", {"punctuation": 5}),
    ],
)
def test_punctuation_gives_way(text: str, expected: str, kinds: dict[str, int]) -> None:
    assert form(text, Clean(strip_punctuation=True)) == (expected, kinds)


def test_lower_case_counts_what_changed() -> None:
    assert form("AbÉ中Σ", Clean(lower_case=True)) == ("abé中σ", {"lower_case": 1 + 2 + 2})
    assert form("İ1", Clean(lower_case=True)) == ("i̇1", {"lower_case": 2})


PAGE = """\
We use cookies to make this site better.
Skip to content
A story of a house
SHARE ON FACEBOOK
The copyright of a play is a right. All rights reserved seats were sold.
The house was old.
*** All rights reserved. ***
版权所有：新华社
责任编辑： 王某
版权所有的问题，我们明天再谈，因为它很长很长。""" + "长" * 200 + """
上一篇: 旧的
（责编：李某）
点击进入专题
他点击查看了一下
"""  # fmt: skip
STAYS = [2, 4, 5, 9, 13, 14]


def test_own_lists_take_boilerplate_alone() -> None:
    lines = PAGE.split("\n")
    rest = "\n".join(lines[number] for number in STAYS)
    assert cut_lines(PAGE, Clean(boilerplate_lines=Boilerplate())) == (rest, {"boilerplate_lines": bytes_of(PAGE) - bytes_of(rest)})
    assert cut_lines(rest, Clean(boilerplate_lines=Boilerplate())) == (rest, {})
    assert cut_lines(PAGE, Clean()) == (PAGE, {})


LINES = st.lists(st.sampled_from(["", "ab", "ab ", "Accept Cookies", "abc", "  ", "长长"]), max_size=8).map("\n".join)


@settings(deadline=None)
@given(LINES)
def test_lines_that_stay_are_those_of_a_plain_restatement(text: str) -> None:
    options = Clean(boilerplate_lines=Boilerplate(), duplicate_lines=2)
    kept: list[str] = []
    for line in text.split("\n"):
        again = len(line.strip()) >= 2 and line.strip() in map(str.strip, kept)
        if line.strip() != "Accept Cookies" and not again:
            kept.append(line)
    rest, kinds = cut_lines(text, options)
    assert rest == "\n".join(kept) and sum(kinds.values()) == bytes_of(text) - bytes_of(rest)
    assert cut_lines(rest, options) == (rest, {})


def test_short_lines_may_stand_twice() -> None:
    text = "}\nreturn value\n}\n    return value\n"
    assert cut_lines(text, Clean(duplicate_lines=3)) == ("}\nreturn value\n}\n", {"duplicate_lines": 17})


def test_terms_with_stars_and_odd_characters() -> None:
    terms = Terms(["a.b*c", "x (y)", "*", "。", "İ*end"])
    lines = ["A.B and C", "a-b and c", "X (Y)", "x (y) z", "***", "i̇ the end"]
    assert terms.found("\n".join(lines), 50) == {0, 2, 5}
    assert Terms([]).found("x", 5) == set()


PLAIN = {"default": Annotator(engine="plain")}


def recipe(clean: Clean, **changed: object) -> Corpus:
    sources = (source("pages", unit="paragraph", lang=None), source("notes", unit="file"))
    return Corpus(sources=sources, clean=clean, annotate=PLAIN, held_out=HeldOut(validation=0, test=0), **changed)


def test_the_step_cleans_and_accounts(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Nothing to see here*\n")
    (tmp_path / "pages").write_text(
        "Accept cookies\nShare this page\n\n"
        "Ｗrite to ann@example.com, PLEASE; the line stands twice.\nＷrite to ann@example.com, PLEASE; the line stands twice.\n\n"
        "Nothing to see here, really\n這是頭髮，不是發展。"
    )
    (tmp_path / "notes").write_text("as it is\n")
    clean = Clean(**{**ALL, "boilerplate_lines": Boilerplate(lists=(str(tmp_path / "mine.txt"),))})
    draft = make(tmp_path / "draft", recipe(clean, redact=Redact()), {name: tmp_path / name for name in ("pages", "notes")})
    assert texts(draft) == ["write to <EMAIL> please the line stands twice", "这是头发 不是发展", "as it is\n"]
    assert [(row["stage"], row["reason"]) for row in rows(draft, "rejects")] == [("clean", "empty")]
    assert [row["clean_is_identity"] for row in rows(draft, "documents")] == [False, False, True]
    assert {row["signals"]["chars"] for row in rows(draft, "documents")} == {float(len(text)) for text in texts(draft)}
    assert ledgers(draft)["pages"].cleaned == {
        "boilerplate_lines": 28,
        "chinese": 12,
        "duplicate_lines": 57,
        "email": 15,
        "lower_case": 7,
        "punctuation": 9,
        "width": 6,
    }
    draft.commit(["prepare", "finish"])
    assert audit(Artifact.open(draft.path)) == []


def test_a_document_of_punctuation_alone_is_empty(tmp_path: Path) -> None:
    (tmp_path / "pages").write_text("... !\n\nwords")
    (tmp_path / "notes").write_text("-")
    draft = make(tmp_path / "draft", recipe(Clean(strip_punctuation=True)), {name: tmp_path / name for name in ("pages", "notes")})
    assert texts(draft) == ["words"] and reasons(draft) == ["empty", "empty"]


def test_what_is_off_is_not_in_the_identity_and_lists_count_by_content(tmp_path: Path) -> None:
    for name, content in (("a", "x*"), ("b", "x*"), ("c", "y*")):
        (tmp_path / name).write_text(content)
    plain = corpus.identity_settings(recipe(Clean()))
    assert set(plain["clean"]) == {"ftfy", "nfc", "control_characters", "max_document_bytes"} and not {"lines", "paragraphs"} & {
        *plain["dedup"]
    }
    assert not {"opencc", "boilerplate lists"} & {*corpus.engines(recipe(Clean()))}
    here, there, other = (
        corpus.identity_settings(recipe(Clean(boilerplate_lines=Boilerplate(lists=(str(tmp_path / name),))))) for name in "abc"
    )
    assert here == there != other
    assert {"opencc", "boilerplate lists", "ahocorasick-rs"} <= {*corpus.engines(recipe(Clean(**ALL)))}
    with pytest.raises(RequestError, match="none: can't be read"):
        corpus.file_roots(recipe(Clean(boilerplate_lines=Boilerplate(lists=(str(tmp_path / "none"),)))))

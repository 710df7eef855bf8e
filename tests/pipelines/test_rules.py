"""Signals match a plain restatement of their definitions; rules give the first failing one, in words."""

import re
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import rjieba
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.characters import HAN, JIEBA_CUTS, _table, blocks
from pipelines.rules import engines, judge, measure
from pipelines.rules.words import STOP_WORDS
from schemas.arrow import DOCUMENTS, SCORED, SIGNALS
from schemas.recipe import Rules
from schemas.recipe.rules import THRESHOLDS

END_MARKS = set(".!?…。！？｡．؟।॥;；\"'”’»」』")
LETTERS = 'ab 的书好,.。！…-{"\n\t12#+é\u0301дの'
SENTENCE_END = re.compile(r"[.!?…。！？]*(?:[。！？](?![.!?…。！？])|[.!?…](?![.!?…。！？])(?=[\"'”’)]?(?:\s|$)))")
PARTS = st.sampled_from(
    [*LETTERS, "\n\n", "...", "the ", "To ", "a b c d e f g h i j k\n", "一本好书。\n", "uses Cookies", "Lorem ipsum ", "\n• "]
)
WORDS = st.lists(PARTS, max_size=40).map("".join)


def is_han(c: str) -> bool:
    return bool(re.match("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f\U00030000-\U000323af]", c)) and (
        unicodedata.category(c)[0] in "LN"
    )


SCRIPTS = {"LATIN": 1, "CJK": 3, "HIRAGANA": 3, "KATAKANA": 3, "IDEOGRAPHIC": 3, "CYRILLIC": 2}
"""By the first word of its name, bytes of a letter; the alphabet of the property test has no others."""


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0


def pieces_of(text: str, lang: str) -> list[str]:
    if lang == "zh":
        return [w for w in rjieba.cut(text) if not w.isspace()]
    if lang == "ja":
        return re.findall(r"[\u3005-\u30ff\u4e00-\u9fff]|(?:(?![\u3005-\u30ff\u4e00-\u9fff_])[\w\u0301])+", text)
    return text.split()


def grams(pieces: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(pieces[i : i + n]) for i in range(len(pieces) - n + 1)]


def top(pieces: list[str], n: int, gap: int, size: int) -> float:
    counts = Counter(grams(pieces, n))
    best = max(counts.values(), default=0)
    if best < 2:
        return 0
    first = next(gram for gram in counts if counts[gram] == best)  # a Counter keeps the order of first occurrence
    return min(1, share(best * (sum(map(len, first)) + gap * (n - 1)), size))


def duplicate(pieces: list[str], n: int) -> float:
    seen, inside = set(), set()
    for i, gram in enumerate(grams(pieces, n)):
        if gram in seen:
            inside.update(range(i, i + n))
        seen.add(gram)
    return share(sum(len(pieces[i]) for i in inside), sum(map(len, pieces)))


def repeated(spans: list[str]) -> list[str]:
    return [span for i, span in enumerate(spans) if span in spans[:i]]


def script(c: str) -> str:
    if not (unicodedata.category(c)[0] == "L" or is_han(c)):
        return ""
    name = unicodedata.name(c).split()[0]
    return "CJK" if SCRIPTS.get(name) == 3 else name


def other_script(lines: list[str]) -> float:
    def counts(text: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for c in text:
            if script(c):
                found[script(c)] += SCRIPTS[script(c)]
        return found

    def prevailing(found: Counter[str]) -> str:
        order = ("LATIN", "CJK", "CYRILLIC")
        return max(order, key=lambda name: (found[name], -order.index(name)))

    whole = counts("".join(lines))
    other = sum(sum(counts(line).values()) for line in lines if counts(line) and prevailing(counts(line)) != prevailing(whole))
    return share(other, sum(whole.values()))


def reference(text: str, lang: str) -> dict[str, float | None]:
    """The definitions, one after the other, slowly."""
    ink = [c for c in text if not c.isspace()]
    pieces = pieces_of(text, lang)
    words = [w for w in pieces if lang != "zh" or any(unicodedata.category(c)[0] in "LN" for c in w)]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    blocks = [[]]
    for line in text.split("\n"):
        blocks = [*blocks[:-1], [*blocks[-1], line]] if line.strip() else [*blocks, []]
    paragraphs = ["\n".join(block).strip() for block in blocks if block]
    gap, size = (1, len(text)) if lang not in ("zh", "ja") else (0, sum(map(len, pieces)))
    kinds = [unicodedata.category(c)[0] for c in ink]
    stops = {"en": {"the", "be", "to", "of", "and", "that", "have", "with"}, "zh": set(STOP_WORDS["zh"].split())}
    lower = text.lower()
    phrases = re.compile("javascript|terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies")
    return {
        "chars": len(text),
        "words": len(words),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "alphabetic": share(sum(k in "LM" or is_han(c) for k, c in zip(kinds, ink, strict=True)), len(ink)),
        "digits": share(sum(k == "N" and not is_han(c) for k, c in zip(kinds, ink, strict=True)), len(ink)),
        "symbols": share(sum(k in "SC" or c == "#" for k, c in zip(kinds, ink, strict=True)), len(ink)),
        "han": share(sum(map(is_han, ink)), len(ink)),
        "lines_end_punctuation": share(sum(line[-1] in END_MARKS for line in lines), len(lines)),
        "new_lines": min(share(text.count("\n"), len(words)), 1),
        "duplicate_lines": share(len(repeated(lines)), len(lines)),
        "duplicate_line_chars": share(sum(map(len, repeated(lines))), sum(map(len, lines))),
        "duplicate_paragraphs": share(len(repeated(paragraphs)), len(paragraphs)),
        "duplicate_paragraph_chars": share(sum(map(len, repeated(paragraphs))), sum(map(len, paragraphs))),
        **{f"top_{n}gram": top(pieces, n, gap, size) for n in (2, 3, 4)},
        **{f"duplicate_{n}gram": duplicate(pieces, n) for n in range(5, 11)},
        "short_lines": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "bullet_lines": share(sum(line[0] in "•-*–·" for line in lines), len(lines)),
        "ellipsis_lines": share(sum(line.endswith(("...", "…", "。。。")) for line in lines), len(lines)),
        "boilerplate_lines": share(sum(bool(phrases.search(line.lower())) for line in lines), len(lines)),
        "ellipses": share(len(re.findall(r"…+|\.{3,}", text)), len(words)),
        "hashes": share(text.count("#"), len(words)),
        "alphabetic_words": share(sum(any(unicodedata.category(c)[0] == "L" or is_han(c) for c in w) for w in pieces), len(pieces)),
        "stop_words": len({w.lower() for w in pieces} & stops[lang]) if lang in stops else None,
        "longest_word": max(map(len, pieces), default=0),
        "sentences": len(SENTENCE_END.findall(text)),
        "curly_brackets": text.count("{"),
        "lorem_ipsum": lower.count("lorem ipsum"),
        "other_script": other_script(lines),
    }


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, st.sampled_from(["zh", "en", "code", "ja"])), max_size=5))
@example([("", "en"), ("", "zh"), (" \n ", "zh")])
@example([("a b c d a b c d", "en"), ("好\r", "zh"), ("\n好", "zh")])
@example([("the cat the cat on a mat on a mat", "en")])
@example([("a b c d e f g h i j k\n" * 3, "en"), ("一本好书。也是一本好书，还是一本好书" * 3, "zh"), ("本の好本の好本の好ab本の", "ja")])
def test_signals_are_what_they_are_defined_to_be(rows: list[tuple[str, str]]) -> None:
    texts, langs = [t for t, _ in rows], [lang for _, lang in rows]
    found = measure(texts, langs)
    assert found.type == DOCUMENTS.field("signals").type
    for text, lang, row in zip(texts, langs, found.to_pylist(), strict=True):
        assert [row.pop(name) for name in SCORED] == [None] * 3
        expected = reference(text, lang)
        assert row.pop("stop_words") == expected.pop("stop_words"), (text, lang)
        assert row == pytest.approx(expected, rel=1e-6), (text, lang)


def test_a_text_is_measured_alike_in_any_group(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["一本好书。\n一本好书。", "a b a b c", "", "第二本书也好！", "x"] * 3
    langs = ["zh", "en", "en", "zh", "code"] * 3
    together = measure(texts, langs)
    monkeypatch.setattr("pipelines.rules.signals._GROUP_CHARS", 4)
    assert measure(texts, langs) == together
    monkeypatch.setattr("pipelines.characters.BLOCK_CHARS", 3)
    assert measure(texts, langs) == together


@settings(deadline=None)
@given(st.text(st.sampled_from("我们喜欢北京大学，。！? \r\n\u3000abc1.5%+-、“”")), st.integers(1, 9))
def test_chinese_is_segmented_alike_in_blocks(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.characters.BLOCK_CHARS", size)
        cut = list(blocks(text, JIEBA_CUTS))
    assert "".join(cut) == text
    words, whole = ([pair for part in parts for pair in rjieba.tag(part) if not pair[0].isspace()] for parts in (cut, [text]))
    assert words == whole


def test_full_width_marks_end_lines() -> None:
    ends = measure(["很好。\n真的！\n是吗？”\n没有"], ["zh"]).field("lines_end_punctuation")
    assert ends[0].as_py() == 0.75


def test_every_han_character_of_the_table_is_one_for_the_reference() -> None:
    table = _table()
    assert all((table[code] == HAN) == is_han(chr(code)) for code in range(0x2E00, 0x33000))


def test_engines_name_the_segmenter_and_the_unicode_database() -> None:
    assert engines().keys() == {"rjieba", "unicode"}


def signals(**values: list[float]) -> pa.StructArray:
    rows = len(next(iter(values.values())))
    columns = [pa.array(values.get(name, [0.0] * rows), pa.float32()) for name in SIGNALS]
    return pa.StructArray.from_arrays(columns, names=list(SIGNALS))


def test_the_first_failing_rule_in_declared_order_is_the_reason() -> None:
    rules = {"default": Rules(max_digits=0.1, min_words=5, min_lang_score=0.5)}
    found = judge(signals(words=[3, 5, 9, 9], digits=[0.5, 0.5, 0.25, 0.05]), ["en"] * 4, [0.0, 1.0, 0.1, 0.25], rules)
    assert found == [
        ("min_words", "words 3 < 5"),
        ("max_digits", "digits 0.5 > 0.1"),
        ("max_digits", "digits 0.25 > 0.1"),
        ("min_lang_score", "lang_score 0.25 < 0.5"),
    ]


def test_rules_are_by_language_and_a_value_equal_to_its_threshold_passes() -> None:
    rules = {"zh": Rules(min_chars=10), "default": Rules(max_symbols=0.1)}
    found = judge(signals(chars=[5, 5, 10], symbols=[0.3, 0.1, 0.3]), ["zh", "en", "zh"], [1.0] * 3, rules)
    assert found == [("min_chars", "chars 5 < 10"), None, None]
    assert judge(signals(chars=[1]), ["fr"], [1.0], {"zh": Rules(min_chars=9)}) == [None]


@pytest.mark.parametrize("reason", THRESHOLDS)
def test_every_rule_rejects(reason: str) -> None:
    rules = {"default": Rules(**{reason: 1})}
    low, high = (signals(**{name: [value] for name in SIGNALS}) for value in (0.5, 2.0))
    verdicts = [judge(low, ["en"], [0.5], rules)[0], judge(high, ["en"], [2.0], rules)[0]]
    assert [verdict and verdict[0] for verdict in verdicts] == ([reason, None] if reason.startswith("min_") else [None, reason])


def test_slices_of_signals_are_judged_by_their_own_rows() -> None:
    sliced = signals(words=[1, 9, 1]).slice(1, 1)
    assert judge(sliced, ["en"], [1.0], {"default": Rules(min_words=5)}) == [None]
    assert isinstance(sliced.field("words").to_numpy(), np.ndarray)

"""A Chinese page says all of ours in Chinese, with the same figures, and leaves names and foreign text as they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
from markupsafe import Markup
from typer.testing import CliRunner

from flows.card import gather_card, render_card, render_markdown
from flows.cli import app
from flows.explain import page as explain
from flows.leaderboard import boards
from flows.leaderboard import page as leaderboard
from flows.report import render
from flows.report.blocks import Foreign, Row, Table
from flows.report.page import WORDS
from flows.report.tongues import TONGUES, filled, sayer, table, translated
from model.probes.attributions import Attributions
from model.probes.explain import Candidate, Explanation
from schemas.store import Store
from tests.flows import cards
from tests.flows.evaluations import one
from tests.flows.test_card import whole
from tests.flows.test_report_explore import facts

PLACES = re.compile(r"\{(\w+)\}")
FOREIGN = (
    "gender widest gap", "Figures of these sentences", "1 example was dropped", "a CPU", "Universal Dependencies", "gristmill export",
    "gristmill probe", "gristmill compare", "Sundararajan et al", "negative, positive", "zzz, zzz", "Frauen",
)  # fmt: skip
"""What a page of the examples has of others' English: measures and notes of results, names."""
NAMES = {"Gristmill", "Kneser", "Universal"}


def test_tables_have_equal_places() -> None:
    assert TONGUES == ("en", "zh")
    for english, told in table("zh").items():
        assert set(PLACES.findall(english)) == set(PLACES.findall(told)), english
    of_templates = (
        *WORDS.values(),
        *leaderboard.WORDS.values(),
        *explain.WORDS.values(),
        *explain.SAYS.values(),
        *explain.WOULD_SAY.values(),
    )
    assert all(text in table("zh") for text in (*of_templates, leaderboard.LEAD, explain.SHARES, explain.GRADIENTS))


def shown(page: str) -> list[str]:
    """The texts of a page's elements, without code and foreign text."""
    body = re.sub(r"<(style|script|pre|blockquote)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    return [unescape(node).strip() for node in re.sub(r"<[^>]+>", "\n", body).splitlines() if node.strip()]


def left_over(page: str) -> list[str]:
    """English words that stand beside each other, or alone with a capital, and are no names."""
    found = []
    for node in shown(page):
        text = node
        for name in FOREIGN:
            text = text.replace(name, "")
        if re.search(r"[A-Za-z]{2,},? [a-z]{2,}", text) or (re.fullmatch(r"[A-Z][a-z]+", text) and text not in NAMES):
            found.append(node)
    return found


def test_no_english_sentence_is_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    facts_of_card = whole(store)
    bare = gather_card(store, store.find("model/demo"))
    for task in cards.FOUND:
        cards.kept(store, store.find("model/demo"), task)
    probed = gather_card(store, store.find("model/demo"))
    assert len(probed.probes) == len(cards.FOUND)
    run = replace(facts(tmp_path, "zzz"), probes=probed.probes)
    for page in (render(run, "zh"), render_card(probed, "zh"), render_card(facts_of_card, "zh"), render_card(bare, "zh")):
        assert left_over(page) == []
        assert '<html lang="zh">' in page
    assert "## 局限" in render_markdown(facts_of_card, "zh")


def explanation(place: int | None = 1, next_token: bool = True) -> Explanation:
    said = Candidate("zzz", 0.5)
    shares = Attributions((0.0, 0.7, -0.2), -0.5, -1.0, 0.01, 20)
    weights = np.array([[[[1, 0, 0], [0.9, 0.1, 0], [0.8, 0.1, 0.1]], [[1, 0, 0], [0.5, 0.5, 0], [0.3, 0.3, 0.4]]]], np.float32)
    layers = (((said,),) * 3,) * 2 if place is not None else ()
    return Explanation("zzz", ("zz", "z", "zzz"), place, (said,) * 2, "zzz", shares, "zz", weights, layers, next_token)


def test_no_english_sentence_is_left_on_other_pages(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for seed, name in enumerate(("zzz", "zz")):
        one(store, name, 0.9, seed, notes=(cards.CAREFUL,))
        one(store, f"{name}z", 0.9, seed, shots=5)
    for task in cards.FOUND:
        cards.kept(store, store.find("model/zzz"), task)
    pages = [leaderboard.render(boards(store), {}, "zh")]
    pages += [explain.render(explanation(place, ahead), "zzz", "zh") for place, ahead in ((1, True), (1, False), (None, False))]
    for page in pages:
        tips = re.findall(r'(?:title|aria-label)="([^"]*)"', page)
        assert left_over(page) + left_over("".join(f"<p>{tip}</p>" for tip in tips)) == [] and '<html lang="zh">' in page
    figures = [Counter(re.findall(r"\d[\d,.]*\d", " ".join(shown(explain.render(explanation(), "zzz", tongue))))) for tongue in TONGUES]
    assert figures[0] == figures[1]


def test_foreign_dots_are_no_sentences() -> None:
    assert sayer("zh")("." * 5000) == "." * 5000 and sayer("zh")("From zzz.") == "来自 zzz。"


def test_what_fills_a_sentence_is_not_looked_at() -> None:
    assert filled(sayer("zh")("over {n} tokens"), n="<b>{n} documents</b>") == "分散在 &lt;b&gt;{n} documents&lt;/b&gt; 个词元上"


def test_figures_are_the_same_in_both(tmp_path: Path) -> None:
    of = facts(tmp_path, "zzz")
    english, told = (Counter(re.findall(r"\d[\d,.]*\d", " ".join(shown(render(of, tongue))))) for tongue in TONGUES)
    assert english - told == Counter() and not told - english


def test_what_is_foreign_is_not_looked_at() -> None:
    say = sayer("zh")
    rows = [Row(Foreign("all"), ["1"]), Row("all", ["2"], "total")]
    told = translated(Table("By source", ["Name", "Documents"], rows), say)
    assert [row.name for row in told.rows] == ["all", "全部"] and told.caption == "按来源"
    assert say("Of 3 records read, 2 were kept (66.7\u202f%).") == "共读取 3 条记录，保留 2（66.7\u202f%）。"
    drawn = Markup("<svg><title>Loss</title><text>&lt;b&gt; English</text><text>English</text></svg>")
    assert translated(drawn, say) == "<svg><title>Loss</title><text>&lt;b&gt; English</text><text>英语</text></svg>"


def test_the_commands_take_a_language(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    cards.pretrained(store, cards.documents(store))
    out = tmp_path / "card.html"
    told = CliRunner().invoke(app, ["card", "demo", "--lang", "zh", "--out", str(out), "--json", "--store", str(store.root)])
    assert json.loads(told.stdout)["path"] == str(out) and "模型卡" in out.read_text(encoding="utf-8")

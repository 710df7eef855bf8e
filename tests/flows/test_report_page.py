"""The page is one file that needs nothing else, reads well without sight, and shows foreign text as text, whatever it holds."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.report import ReportFacts, render, write_report
from flows.report.facts import (
    Cell,
    Classification,
    Classifier,
    Curve,
    Evaluation,
    Example,
    Found,
    Group,
    Lengths,
    Node,
    Profile,
    Sample,
    Sampled,
    System,
    TokenCount,
    TokenizerFacts,
    Training,
    WordCount,
)  # fmt: skip
from flows.report.page import SCRIPTS, own_text, policy
from flows.report.wording import plain
from schemas.arrow import UPOS
from schemas.ledger import Ledger
from schemas.results import Measure, Result

VOID = {"meta", "link"}
STYLE = files("flows.report").joinpath("style.css").read_text(encoding="utf-8")


def example_facts(text: str = "plain text", reason: str = "min_words") -> ReportFacts:
    """Facts of a small whole run, with `text` wherever text comes from outside."""
    curve = Curve((1.0, 2.0, 3.0), (3.0, 2.0, 1.5), (2.5, 1.5, 1.0), (3.5, 2.5, 2.0))
    ledger = Ledger(
        inputs_listed=3, inputs_read=2, inputs_empty=1, records_read=1250, records_kept=1200, rejected={reason: 49}, records_failed=1,
        bytes_read=50_000, bytes_kept=48_000, bytes_failed=10, bytes_framing=1_250, bytes_rejected={reason: 740}, cleaned={"nfc": 7},
    )  # fmt: skip
    system = System("model", 1.5, (1.4, 1.6), 32.0)
    baseline = System("kneser_ney_2", 1.8, (1.7, 1.9), 50.0, -0.1667, (-0.2, -0.1))
    training = Training(3, {"parameters": 5_012_480, "tokens": 2_000_000}, curve, curve, curve, {"en": curve, text: curve}, Curve())
    nodes = [
        Node("documents", "documents", text, "v1-aaaaaaaa", "documents", 1, "a" * 64, "1" * 64, {}, {"note": text}, {}, 2, 1000),
        Node("tokens", "tokens", "demo", "v1-bbbbbbbb", "tokens", 1, "b" * 64, "2" * 64, {"documents": "1" * 64}, {}, {}, 1, 10),
    ]
    return ReportFacts(
        name=text,
        lineage=tuple(nodes),
        ledgers={"notes": ledger, text: Ledger()},
        cells=(Cell("notes", "en", "train", 1100, 40_000, 39_000, 7_000, 500), Cell(text, text, "test", 100, 8_000, 3_000, 2_000, 100)),
        profiles=(
            Profile("en", Lengths((0, 3, 4), 2, 4, 6, 7), tuple(range(len(UPOS))), 0, (WordCount(text, 5), WordCount("the", 4))),
            Profile(text, Lengths((1,), 1, 1, 1, 1), (0,) * len(UPOS), 100, ()),
        ),
        examples=(
            Example(reason, text, text, text, 7, 90, text, text, True),
            Example(reason, "read", "notes", "a.txt", 9, 1, "", None, False),
        ),
        tokenizer=TokenizerFacts(8192, {"bos": 0, "eos": 1}, {"en": 4.0}),
        tokens=(TokenCount("en", "train", 10_000, 40_000), TokenCount(text, "test", 2_500, 8_000)),
        sampled=(Sampled("notes", "en", 10_000, 15_000), Sampled(text, text, 2_000, 0)),
        pretrain=training,
        finetune=replace(training, validation={}, validation_accuracy=Curve((3.0,), (0.8125,), (0.8125,), (0.8125,))),
        evaluation=Evaluation(
            "test",
            (Group("language", "en", 5, 100, 400, system, (baseline,)), Group("source", text, 5, 100, 400, system, (baseline,))),
            Classification(text, 871, (Classifier("model", 0.861, 0.0117, 0.86), Classifier("majority", 0.523, 0.0169, 0.343))),
            (Sample(text, text),),
        ),
        probes=(probe_of(text),),
    )


def probe_of(text: str) -> Found:
    """A probe with `text` wherever templates, labels, lists or notes of somebody's may stand."""
    result = Result(
        text, "probe", 1, "verbatim_rate", 5, 0, "d" * 64, {"model": {f"association: {text}": Measure(0.5, "lower", text)}}, notes=(text,)
    )
    gap = {"group": text, "probability": 0.5, "gap": 0.1, "interval": [0.0, 0.2]}
    details = {
        "positive": text,
        "dimensions": [{"name": text, "gaps": [gap]}],
        "occupations": {"occupations": [{"occupation": text, "nats_per_token": 0.5}], "mean": 0.5, "interval": [0.4, 0.6]},
        "associations": [{"name": text, "effect": 0.5, "p": 0.25}],
        "harmful": {text: 1},
        "personal_data": {text: 1},
    }
    return Found(result, text, text, details)


class Page(HTMLParser):
    """What a reader gets: elements, attributes, and the text between; fails on a tag that is closed out of turn."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def shown(self) -> str:
        return " ".join("".join(self.text).replace("\u202f", " ").split())


def test_the_figures_stand_on_the_page_in_people_s_units() -> None:
    shown = Page(render(example_facts())).shown()
    for figure in (
        "Of 1,250 records read, 1,200 were kept (96.0 %).",
        "1,250 read = 1,200 kept + 49 rejected + 1 failed ✓ balances",
        "50,000 read = 48,000 kept + 740 rejected + 10 failed + 1,250 framing ✓ balances",
        "3 listed = 2 read + 1 empty + 0 unreadable ✓ balances",
        "accounted for 1,250 ✓ 50.0 kB ✓",
        "Not tagged (pos is null): plain text.",
        "The vocabulary has 8,192 tokens (special ones: bos 0, eos 1). The text is 12,500 tokens, 3.84 bytes a token.",
        "a model of 5.01 million parameters took 3 steps and 2.00 million tokens; the smoothed loss went from 3.00 to 1.50 nats a token",
        "the accuracy on the validation subset to 81.2 %",
        "English: 16.7 % below the best n-gram model (KN 2).",
        "−16.7 % vs KN 2",
        "86.1 ± 1.2 %",
        "± 1.2 standard error",
    ):
        assert figure in shown, figure


def test_a_ledger_that_does_not_balance_is_marked() -> None:
    facts = example_facts()
    wrong = replace(facts.ledgers["notes"], records_kept=1199)
    shown = Page(render(replace(facts, ledgers={"notes": wrong}))).shown()
    assert "✗ notes: records read 1,250 but accounted for 1,249" in shown
    assert "1,249 ✗ (−1)" in shown
    assert shown.count("✓ balances") == 2


def test_what_a_run_has_not_come_to_is_left_out() -> None:
    empty = ReportFacts("nothing", (), {})
    assert "0 records read, 0 were kept" in Page(render(empty)).shown()
    page = Page(render(replace(example_facts(), evaluation=None, finetune=None)))
    assert {"training", "lineage"} <= {s["id"] for s in page.of("section")}
    assert not {"evaluation", "samples"} & {s["id"] for s in page.of("section")}
    assert "validation subset" in page.shown()


def test_equal_facts_give_equal_bytes(tmp_path: Path) -> None:
    write_report(tmp_path / "a.html", example_facts())
    write_report(tmp_path / "b.html", example_facts())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes() == render(example_facts()).encode()


def test_nothing_is_loaded_and_nothing_runs() -> None:
    page = Page(render(example_facts()))
    allowed = policy("".join(own_text("flows.report", f"{name}.js") for name in SCRIPTS))
    assert {"http-equiv": "Content-Security-Policy", "content": allowed} in page.of("meta")
    assert allowed.startswith("default-src 'none';") and re.search(r"script-src 'sha256-[\w+/=]{44}'$", allowed)
    tags = Counter(name for name, _ in page.elements)
    assert tags["script"] == 1 and not tags.keys() & set("img iframe object embed form base audio video use image foreignobject".split())
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset", "style", "xlink:href") for name in attributes)
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    assert "url(" not in STYLE and "@import" not in STYLE


def test_it_reads_well_without_sight() -> None:
    page = Page(render(example_facts()))
    headings = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings)), "no level is skipped"
    assert all(th.get("scope") in ("col", "row", "rowgroup") for th in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table")) > 8
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in page.of("svg"):
        assert svg.get("aria-hidden") == "true" or set(svg["aria-labelledby"].split()) <= set(ids)
    assert {a["href"].removeprefix("#") for a in page.of("a")} <= set(ids)
    assert page.of("html") == [{"lang": "en"}] and page.of("main") and page.of("nav") and page.of("header")
    facts = example_facts()
    chinese = replace(facts, profiles=(replace(facts.profiles[0], lang="zh"),), cells=(replace(facts.cells[0], lang="zh"),))
    assert {"scope": "row", "lang": "zh"} in Page(render(chinese)).of("th")


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></textarea><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "]]><!-- -->",
    "&lt;b&gt;",
    "\u202eright to left\u0000\x1b[31m\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_everywhere(text: str) -> None:
    assert_same_shape(text)


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_any_text_stays_text_everywhere(text: str) -> None:
    assert_same_shape(text)


HARMLESS = Page(render(example_facts("harmless", reason="reason_harmless")))


def shape(page: Page) -> list[tuple[str, list[str]]]:
    """Elements and their attributes; which way a label is anchored depends on its length."""
    return [(name, sorted(attributes.keys() - {"text-anchor"})) for name, attributes in page.elements]


def assert_same_shape(text: str) -> None:
    """The page has the elements that it has with harmless text, and shows the text itself."""
    rendered = render(example_facts(text, reason="reason_" + text))
    rendered.encode("utf-8")
    page = Page(rendered)
    assert shape(page) == shape(HARMLESS)
    assert "".join(page.text).count(plain(text)) >= 20


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_of_text_have_contrast_aa(theme: int) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", STYLE.split("@media print")[0].split("prefers-color-scheme: dark")[theme]))
    assert {"paper", "raised", "ink", "muted", "accent", "good", "bad", *(f"tone-{i}" for i in range(6))} <= colours.keys()
    for name in colours.keys() - {"paper", "raised", "hairline", "grid"}:
        for ground in ("paper", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, f"{name} on {ground}"


def contrast(a: str, b: str) -> float:
    """Contrast ratio of WCAG 2.2, section 1.4.3."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_class_that_is_drawn_has_a_style() -> None:
    drawn: set[Any] = {c for _, attributes in Page(render(example_facts())).elements for c in attributes.get("class", "").split()}
    unstyled = {c for c in drawn if f".{c}" not in STYLE and f"line.{c}" not in STYLE}
    assert unstyled <= {"all", "part", "tick", "name", "dot-between", "block", "figure", "x-tick", "plot"}

"""In a real browser: charts are looked into, tables sorted and languages hidden by keyboard; print shows all; nothing is complained of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.card import render_card
from flows.report import ReportFacts, render
from flows.report.facts import Curve
from schemas.results import MODEL
from schemas.store import Store
from tests.flows.chromium import Tab, needs_chromium, tab
from tests.flows.evaluations import answers, classified, wanted
from tests.flows.test_card import hostile, whole
from tests.flows.test_report_browser import ATTACK, Site
from tests.flows.test_report_page import example_facts

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs_chromium]

CHART = 'document.querySelector("svg[data-plot]")'
TOLD = f"{CHART}.parentElement.querySelector('output').textContent"
SIZES = '[...document.querySelectorAll("svg.chart, svg.chart .plot")].map((e) => e.getBoundingClientRect()).filter((b) => !b.width).length'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


def show(page: Tab, site: Site, content: str) -> None:
    site.pages["/report.html"] = content
    page.complaints.clear()
    page.open(f"http://127.0.0.1:{site.server.server_port}/report.html")


def facts(folder: Path, text: str = "zh") -> ReportFacts:
    found, truth = example_facts(text), wanted(60)
    systems = {MODEL: answers(0.9, truth, 1), "bag of words": answers(0.7, truth, 2), "majority": ["neg"] * 60}
    assert found.pretrain is not None
    steps = tuple(float(step) for step in range(0, 1001, 10))
    curve = Curve(steps, tuple(5 - step / 400 for step in steps), tuple(4 - step / 400 for step in steps), tuple(6.0 for _ in steps))
    return replace(found, pretrain=replace(found.pretrain, loss=curve), results=(classified("sentiment", systems, truth, folder),))


def test_a_chart_is_read_and_zoomed_by_keyboard(page: Tab, site: Site, tmp_path: Path) -> None:
    show(page, site, render(facts(tmp_path)))
    assert page.evaluate(SIZES) == 0, "every figure is drawn"
    data = json.loads(page.evaluate(f"{CHART}.dataset.plot"))["series"][0]
    page.evaluate(f"{CHART}.focus()")
    page.press("ArrowRight")
    assert page.evaluate(TOLD) == f"step 0: loss {data['values'][0]:.3f}"
    page.press("ArrowRight", times=3)
    assert page.evaluate(TOLD) == f"step 30: loss {data['values'][data['steps'].index(30.0)]:.3f}"
    line = f"{CHART}.querySelector('.line').getAttribute('d')"
    whole_line, ticks = page.evaluate(line), f"[...{CHART}.querySelectorAll('.x-tick')].map((t) => t.textContent)"
    before = page.evaluate(ticks)
    page.press("Tab")
    assert page.evaluate("document.activeElement.dataset.do") == "in"
    page.press("Enter")
    assert page.evaluate(line) != whole_line and page.evaluate(ticks)[-1] == "500"
    page.press("Tab", times=4)
    page.press(" ")
    assert page.evaluate(line) == whole_line and page.evaluate(ticks) == before
    assert page.complaints == [] and site.asked == ["/report.html"]


def test_a_pointer_reads_values_and_marks_a_stretch(page: Tab, site: Site, tmp_path: Path) -> None:
    show(page, site, render(facts(tmp_path)))
    page.evaluate(f"{CHART}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    at = f"(() => {{ const b = {CHART}.getBoundingClientRect(), p = JSON.parse({CHART}.dataset.plot), w = {CHART}.viewBox.baseVal.width;"
    place = (
        at + " return [0.25, 0.75].map((f) => b.left + (p.left + f * (p.right - p.left)) / w * b.width).concat(b.top + b.height / 2); })()"
    )
    first, second, y = page.evaluate(place)
    page.mouse("mouseMoved", first, y)
    assert page.evaluate(TOLD) == "step 250: loss 4.375"
    for what, x in (("mousePressed", first), ("mouseMoved", second), ("mouseReleased", second)):
        page.mouse(what, x, y)
    ticks = page.evaluate(f"[...{CHART}.querySelectorAll('.x-tick')].map((t) => t.textContent)")
    assert abs(int(ticks[0]) - 250) <= 2 and abs(int(ticks[-1]) - 750) <= 2
    assert page.complaints == []


def test_tables_sort_and_languages_hide_by_keyboard_and_print_shows_all(page: Tab, site: Site, tmp_path: Path) -> None:
    show(page, site, render(facts(tmp_path)))
    names = '[...document.querySelectorAll("#tasks tbody th")].map((cell) => cell.innerText)'
    assert page.evaluate(names) == ["this model", "bag of words", "majority"]
    page.evaluate('document.querySelector("#tasks thead button").focus()')
    page.press("Enter")
    assert page.evaluate(names) == ["bag of words", "majority", "this model"]
    page.press("Tab")
    page.press(" ")
    assert page.evaluate(names) == ["this model", "bag of words", "majority"]
    total = '[...document.querySelectorAll("#corpus table")][0].tBodies[0].lastElementChild.innerText'
    page.evaluate('document.querySelectorAll("#corpus thead button")[1].focus()')
    page.press("Enter", times=2)
    assert page.evaluate(total).startswith("all"), "a sum stays below what it sums up"

    hidden = '[...document.querySelectorAll("[data-of=en]")].filter((e) => getComputedStyle(e).display === "none").length'
    some = page.evaluate('document.querySelectorAll("[data-of=en]").length')
    page.evaluate('document.querySelector(".languages button[data-language=en]").focus()')
    page.press(" ")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "false"
    assert page.evaluate(hidden) == some > 3
    page._call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate(hidden) == 0 and page.evaluate('getComputedStyle(document.querySelector(".tools")).display') == "none"
    page._call("Emulation.setEmulatedMedia", media="")
    page.evaluate('document.querySelector(".languages button[data-language=en]").focus()')  # what print hides loses it
    page.press("Enter")
    assert page.evaluate(hidden) == 0
    assert page.complaints == [] and site.asked == ["/report.html"]


def test_hostile_text_stays_text_on_reports_and_cards(page: Tab, site: Site, tmp_path: Path) -> None:
    card = hostile(whole(Store(tmp_path / "store")))
    for content in (render(facts(tmp_path, ATTACK)), render_card(card)):
        show(page, site, content)
        assert "alert" in page.evaluate("document.title") and page.evaluate("document.scripts.length") == 1
        assert page.evaluate("document.images.length") == 0 and page.evaluate(SIZES) == 0
        page.evaluate(f"{CHART}.focus()")
        page.press("ArrowRight", times=2)
        assert page.evaluate(TOLD) and page.complaints == []
    assert set(site.asked) == {"/report.html"}


def test_a_chinese_page_reads_its_charts_in_chinese(page: Tab, site: Site, tmp_path: Path) -> None:
    show(page, site, render(facts(tmp_path), "zh"))
    assert page.evaluate("document.documentElement.lang") == "zh"
    page.evaluate(f"{CHART}.focus()")
    page.press("ArrowRight")
    assert page.evaluate(TOLD) == "步 0: 损失 5.000"
    assert page.complaints == [] and site.asked == ["/report.html"]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_card_fits_its_window(page: Tab, site: Site, tmp_path: Path, width: int) -> None:
    show(page, site, render_card(whole(Store(tmp_path / "store"))))
    page._call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page._call("Emulation.clearDeviceMetricsOverride")

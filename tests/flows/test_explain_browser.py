"""In a real browser the page of an explanation draws every picture, opens by keyboard, complains of nothing, asks for nothing, and foreign
text runs nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.explain import render
from model.probes.explain import Candidate, Explanation, explain
from tests.flows.chromium import needs_chromium, tab
from tests.flows.test_report_browser import ATTACK, Site
from tests.model.probed import save_decoder

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs_chromium]

PICTURES = """[...document.querySelectorAll("svg.chart")].filter((svg) => {
  const box = svg.getBoundingClientRect();
  return svg.checkVisibility() && box.width > 40 && box.height > 20 && svg.querySelectorAll("[class*=ink-]").length > 0;
}).length"""
COLUMNS = '[...document.querySelectorAll(".columns .bar-of")].map((bar) => bar.getBoundingClientRect().height)'


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    text = "The cat sat on the mat,\nand 那只猫 sat on 垫子. The cat sat on the mat"
    return explain(save_decoder(tmp_path_factory.mktemp("saved"), [text], layers=3, heads=4), text)


def hostile(explanation: Explanation) -> Explanation:
    """All text of it, the model's too, wants to be a script."""
    bad = Candidate(ATTACK, 0.5)
    return replace(
        explanation,
        text=ATTACK * 5,
        tokens=(ATTACK,) * len(explanation.tokens),
        expected=(bad,) * 5,
        target=ATTACK,
        baseline=ATTACK,
        layers=tuple(tuple((bad,) for _ in layer) for layer in explanation.layers),
    )


def test_every_picture_is_drawn_and_opens_by_keyboard(site: Site, tmp_path: Path, explanation: Explanation) -> None:
    site.pages["/page.html"] = render(explanation, "model/small")
    with tab(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{site.server.server_port}/page.html")
        assert page.evaluate(PICTURES) == 1 + 3 * 4, "the shades, and a map for each head"
        heights, adds = page.evaluate(COLUMNS), explanation.attributions.tokens
        assert len(heights) == len(adds) and heights.index(max(heights)) == [abs(a) for a in adds].index(max(map(abs, adds)))
        page.evaluate('document.querySelector(".lens").closest(".scroll").focus()')
        page.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "Layer 1, mean of its heads, token by token"
        page.press("Enter")
        assert page.evaluate(PICTURES) == 1 + 3 * 4 + 1
        tip = page.evaluate('document.querySelector("details[open] rect.cell title").textContent')
        assert " attends to " in tip and tip.endswith("%")
        light = page.evaluate('getComputedStyle(document.querySelector(".lens tbody td")).backgroundColor')
        page.dark()
        assert page.evaluate('getComputedStyle(document.querySelector(".lens tbody td")).backgroundColor') != light
        site.pages["/page-zh.html"] = render(explanation, "model/small", "zh")
        page.open(f"http://127.0.0.1:{site.server.server_port}/page-zh.html")
        assert page.evaluate("document.documentElement.lang") == "zh" and page.evaluate(PICTURES) == 1 + 3 * 4
        assert page.evaluate(COLUMNS) == heights
        assert " 注意 " in page.evaluate('document.querySelector("details rect.cell title").textContent')
        assert page.complaints == [] and site.asked == ["/page.html", "/page-zh.html"]


@pytest.mark.parametrize(("width", "tongue"), [(360, "zh"), (1280, "en")])
def test_foreign_text_runs_nothing_and_fits(site: Site, tmp_path: Path, explanation: Explanation, width: int, tongue: str) -> None:
    site.pages["/page.html"] = render(hostile(explanation), ATTACK, tongue)
    with tab(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{site.server.server_port}/page.html")
        page._call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        assert page.evaluate("document.scripts.length") == page.evaluate("document.images.length") == 0
        assert page.evaluate("document.title").startswith(ATTACK) and page.evaluate("document.querySelector('h1').innerText") == ATTACK * 5
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.complaints == [] and site.asked == ["/page.html"]

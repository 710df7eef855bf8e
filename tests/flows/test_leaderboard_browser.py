"""In a real browser the leaderboard sorts by keyboard, complains of nothing, asks for nothing, and foreign text runs nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.leaderboard import boards, render
from schemas.store import Store
from tests.flows.chromium import Tab, needs_chromium, tab
from tests.flows.evaluations import one
from tests.flows.test_leaderboard import hostile
from tests.flows.test_report_browser import ATTACK, Site

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs_chromium]

NAMES = '[...document.querySelectorAll("tbody th")].map((cell) => cell.innerText.replace("baseline", ""))'
SORTED = '[...document.querySelectorAll("thead th")].map((cell) => cell.getAttribute("aria-sort"))'


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for seed, (name, skill) in enumerate({"poor": 0.6, "good": 0.9, "fair": 0.75}.items()):
        one(made, name, skill, seed, n=60)
    return made


def show(tab: Tab, site: Site, page: str) -> None:
    site.pages["/board.html"] = page
    tab.open(f"http://127.0.0.1:{site.server.server_port}/board.html")


def test_a_table_sorts_by_keyboard(site: Site, store: Store, tmp_path: Path) -> None:
    with tab(tmp_path / "profile") as page:
        show(page, site, render(boards(store), {"good": "../cards/good.html"}))
        best = ["good", "fair", "poor", "majority"]
        assert page.evaluate(NAMES) == best and page.evaluate(SORTED) == [None, "descending", None]
        page.evaluate('document.querySelector(".scroll").focus()')
        page.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "model"
        page.press("Enter")
        assert page.evaluate(NAMES) == sorted(best) and page.evaluate(SORTED) == ["ascending", None, None]
        page.press("Tab")
        page.press(" ")
        assert page.evaluate(NAMES) == best and page.evaluate(SORTED) == [None, "descending", None]
        page.press(" ")
        assert page.evaluate(NAMES) == best[::-1] and page.evaluate(SORTED) == [None, "ascending", None]
        page.press("Tab", times=2)
        assert page.evaluate("document.activeElement.href").endswith("/cards/good.html")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.dark()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.complaints == [] and site.asked == ["/board.html"]


@pytest.mark.parametrize(("tongue", "title"), [("en", "Leaderboard · Gristmill"), ("zh", "排行榜 · Gristmill")])
def test_foreign_text_runs_nothing_and_no_other_script_would(site: Site, store: Store, tmp_path: Path, tongue: str, title: str) -> None:
    with tab(tmp_path / "profile") as page:
        show(page, site, render([hostile(board, ATTACK) for board in boards(store)], {}, tongue))
        assert page.evaluate("document.title") == title and page.evaluate("document.documentElement.lang") == tongue
        assert page.evaluate("document.scripts.length") == 1 and page.evaluate("document.images.length") == 0
        assert all(name.startswith(ATTACK) for name in page.evaluate(NAMES))
        page.evaluate('document.querySelector("thead button").focus()')
        page.press("Enter")
        assert page.evaluate(SORTED)[0] == "ascending"
        assert page.complaints == [] and site.asked == ["/board.html"]
        walled = render(boards(store), {}, tongue).replace("</footer>", f"{ATTACK}</footer>")
        site.pages["/walled.html"] = walled
        page.open(f"http://127.0.0.1:{site.server.server_port}/walled.html")
        assert page.evaluate("document.title") == title and "/leak" not in site.asked
        assert any("script-src" in complaint for complaint in page.complaints)


@pytest.mark.parametrize(("width", "tongue"), [(360, "zh"), (1280, "en")])
def test_the_page_fits_its_window(site: Site, store: Store, tmp_path: Path, width: int, tongue: str) -> None:
    with tab(tmp_path / "profile") as page:
        show(page, site, render([hostile(board, "a rather long name of something ") for board in boards(store)], {}, tongue))
        page._call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        assert page.evaluate("document.documentElement.scrollWidth") <= width

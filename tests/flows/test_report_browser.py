"""In a real browser the page runs nothing, asks for nothing, and fits the window, on a phone and on a desk."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.report import render
from tests.flows.chromium import CHROMIUM, needs_chromium
from tests.flows.test_report_page import example_facts

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs_chromium]

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
    --disable-sync --virtual-time-budget=4000 --dump-dom""".split()

ATTACK = '<script>alert(1);document.title="owned"</script><img src="/leak" onerror="document.title=1">'

MEASURE = """<!doctype html><title>measuring</title><body><script>
const frame = document.createElement("iframe");
frame.style = "width:WIDTHpx;height:900px;border:0";
frame.onload = () => {
  const page = frame.contentDocument, width = frame.clientWidth;
  const labels = [...page.querySelectorAll("svg.chart text")].map(e => [e.getBoundingClientRect(), e.textContent]);
  document.title = JSON.stringify({
    width, scroll: page.documentElement.scrollWidth, labels: labels.length,
    outside: labels.filter(([box]) => box.left < 0 || box.right > width).map(([, text]) => text),
    small: labels.filter(([box]) => box.height < 10).map(([, text]) => text),
    scripts: page.scripts.length, alerts: page.title,
  });
};
frame.src = "/report.html";
document.body.append(frame);
</script>"""


class Site:
    """Pages on a local port, and what was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                body = site.pages.get(self.path, "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Tests keep their own account."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def open(self, path: str, profile: Path) -> str:
        """The document after Chromium has loaded it and run what it would run."""
        assert CHROMIUM
        url = f"http://127.0.0.1:{self.server.server_port}{path}"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(profile)}
        ).stdout


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


def title(document: str) -> str:
    return re.search(r"<title>(.*?)</title>", document, re.DOTALL)[1]  # type: ignore[index]


def test_foreign_text_runs_nothing_and_nothing_is_asked_for(site: Site, tmp_path: Path) -> None:
    site.pages["/report.html"] = render(example_facts(ATTACK))
    document = site.open("/report.html", tmp_path)
    assert "owned" in title(document) and title(document).startswith("&lt;script&gt;"), "the name of the run is shown as it is"
    assert document.count("<script") == 1 and "<img" not in document
    assert document.count("&lt;script&gt;alert(1)") > 10
    assert site.asked == ["/report.html"]


def test_even_a_script_in_the_page_would_not_run(site: Site, tmp_path: Path) -> None:
    """The policy is a second wall; the same page without it shows that this test would notice."""
    page = render(example_facts()).replace("</footer>", f"{ATTACK.replace('alert(1);', '')}</footer>")
    site.pages["/walled.html"] = page
    site.pages["/bare.html"] = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page)
    assert title(site.open("/walled.html", tmp_path / "a")) == "plain text · Gristmill report"
    assert site.asked == ["/walled.html"]
    assert title(site.open("/bare.html", tmp_path / "b")) in ("owned", "1")
    assert "/leak" in site.asked


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_fits_its_window(site: Site, tmp_path: Path, width: int) -> None:
    site.pages["/report.html"] = render(example_facts("a rather long name of something"))
    site.pages["/measure.html"] = MEASURE.replace("WIDTH", str(width))
    found = json.loads(title(site.open("/measure.html", tmp_path)))
    assert found["width"] == width
    assert found["scroll"] <= width, "no sideways scrolling of the page"
    assert found["labels"] > 60 and found["scripts"] == 1
    assert found["outside"] == [] and found["small"] == []

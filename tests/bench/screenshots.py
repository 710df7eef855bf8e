"""Pictures of the pages that `gristmill serve` serves, for the docs: a small recipe is served, pretrained, and looked at in Chromium.

python -m tests.bench.screenshots [FOLDER]        default: docs/pictures
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.flows.chromium import Tab, tab
from tests.flows.deployed import Serving, serving

WIDTH, HEIGHT = 1120, 640


def take(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gristmill-pictures-") as work, serving(Path(work), "--schedule", "ingest=*/5 * * * *") as one:
        pages = one.url.removesuffix("/api")
        run = one.begin("pretrain/long", workers=1)
        with tab(Path(work) / "profile") as page:
            page.open(pages)
            page.size(WIDTH, HEIGHT)
            _show(page, f"{pages}/deployments", "maintenance", folder / "deployments.png")
            _show(page, f"{pages}/deployments/deployment/{one.deployments()['ingest/tiny']['id']}/run", "settle", folder / "parameters.png")
            one.until(lambda: _trains(one, run), "the training trains", 600)
            _show(page, f"{pages}/runs/flow-run/{run}", "pretrain", folder / "run.png", tab_named="Artifacts")
            table = next(a["id"] for a in one.artifacts(run) if a["key"] == "long-documents")
            _show(page, f"{pages}/artifacts/artifact/{table}", "reviews", folder / "ledger.png")
        print("\n".join(one.gristmill("flows").stdout.splitlines()))
        one.gristmill("cancel", run)
        one.ends(run)


def _trains(one: Serving, run: str) -> bool:
    return any(a["type"] == "progress" and a["key"] == "long-pretrain-progress" and float(a["data"]) > 0.3 for a in one.artifacts(run))


def _show(page: Tab, url: str, wanted: str, path: Path, tab_named: str = "") -> None:
    """Open a page, wait until it holds what is wanted, and picture it; first go to a tab of it, if one is named."""
    page.open(url)
    deadline = time.monotonic() + 60
    while wanted not in str(page.evaluate("document.body.innerText")):
        assert time.monotonic() < deadline, f"{url}: shows no {wanted}: {page.evaluate('document.body.innerText')}"
        time.sleep(0.5)
    time.sleep(2)
    if tab_named:
        page.evaluate(f"[...document.querySelectorAll('a, button, li')].find(e => e.innerText.trim() === '{tab_named}').click()")
        time.sleep(2)
        page.size(WIDTH, 2 * HEIGHT)
        time.sleep(2)
    page.picture(path)
    page.size(WIDTH, HEIGHT)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"))

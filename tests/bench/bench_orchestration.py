"""What orchestration costs, measured in one run on one machine, with a Prefect server that is up already:

- *skipped*: steps that are known as done, run as tasks of one flow: each is decided by its identity, found in the store, and published.
- *added*: a run of a small recipe, its wall clock beside the sum of its steps' own seconds (`seconds` of `gristmill run --json`).

    python -m tests.bench.bench_orchestration [STEPS]     default: 1,000 steps
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from flows.server import embedded_server
from tests.flows.conftest import RECIPE, write_raw


def measure(folder: Path, count: int) -> dict[str, float]:
    write_raw(folder / "raw")
    (folder / "tiny.yaml").write_text(RECIPE)
    os.chdir(folder)
    began = time.monotonic()
    with embedded_server(folder / "prefect"):
        up = time.monotonic()
        from prefect import flow

        from flows.run import as_said, run, step_task
        from flows.steps import wanted_steps
        from schemas.recipe_file import load_recipe
        from schemas.store import Store

        recipe, store = load_recipe(folder / "tiny.yaml"), Store(folder / "store")
        started = time.monotonic()
        outcomes = run(recipe, store, None, False)
        wall = time.monotonic() - started
        paths = {one["step"]: one["path"] for one in outcomes}
        steps = wanted_steps(recipe)

        @flow(persist_result=False)
        def skip() -> None:
            for number in range(count):
                step = steps[number % len(steps)]
                inputs = {need: paths[need] for need in step.needs if need in paths}
                assert step_task(step.name, as_said(recipe), str(store.root), inputs)["action"] == "reuse"

        started, computed = time.monotonic(), time.process_time()
        skip()
        skipped, computed = time.monotonic() - started, time.process_time() - computed
    own = sum(one["seconds"] for one in outcomes)
    return {"server": up - began, "wall": wall, "own": own, "added": wall - own, "skipped": skipped, "computed": computed}


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="gristmill-orchestration-") as work, open(os.devnull, "w") as silent:
        with contextlib.redirect_stderr(silent):
            found = measure(Path(work), steps)
        os.chdir(here)
    print(f"the server was up after           {found['server']:8.1f} s")
    print(f"a run of six steps, wall clock    {found['wall']:8.1f} s")
    print(f"its steps' own seconds            {found['own']:8.1f} s")
    print(f"so the flow adds                  {found['added']:8.1f} s")
    print(f"{steps:,} steps known as done are skipped in {found['skipped']:.1f} s")
    print(f"of which we compute               {found['computed']:8.1f} s")

"""Whether running tests tells right programs from wrong ones: reference solutions must pass, hollow and broken ones fail, and of those
with one small change as many as the tests can see.

    python -m tests.bench.bench_code [--problems mbpp.jsonl.gz] [--mutants 2]

Without --problems these are the two dozen of the tests; mbpp.jsonl.gz is MBPP as its authors published it. Prints pass@1 of each kind of
program, and reasons; names the solutions that fail and the hollow and broken programs that pass, whose tests are to blame.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from model.examples import Coded, read_task
from model.finetune.coding import run_tests
from model.metrics.programs import pass_at
from schemas.recipe import Task, TaskData
from tests.model.problems import PROBLEMS
from tests.mutants import broken, hollow, mutants


def read_problems(path: str | None) -> list[Coded]:
    """All problems, whatever subset they would fall into."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = str(Path(folder) / "problems.jsonl")
            Path(path).write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS), encoding="utf-8")
        subsets = read_task(Task(name="code", kind="code", data=TaskData(train=path, duplicates="keep"))).by_name
    return [example for name in ("train", "validation", "test") for example in subsets[name]]  # type: ignore[misc]


def judge(name: str, problems: list[Coded], programs: Callable[[Coded], list[str]], surprise: str | None) -> None:
    """Print what becomes of programs, and those that end in a surprise."""
    started, reasons, statistics = time.time(), Counter[str](), []
    for problem in problems:
        outcomes = [run_tests(program, problem) for program in programs(problem)]
        reasons.update(outcome.reason for outcome in outcomes)
        if outcomes:
            statistics.append(pass_at(1).statistics([outcome.passed for outcome in outcomes], None))
        for outcome in outcomes:
            if (surprise == "fails" and not outcome.passed) or (surprise == "passes" and outcome.passed):
                print(f"  {name} {surprise}: {problem.id} {outcome.reason} {outcome.detail[:100]!r}")
    total, seconds = reasons.total(), time.time() - started
    value = float(pass_at(1).value(sum(statistics)))
    print(f"{name:<10} pass@1 {value:.4f}   {total:,} programs, {1000 * seconds / total:.0f} ms each   {dict(reasons)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems")
    parser.add_argument("--mutants", type=int, default=2, help="With one change each, of each problem, at the most.")
    asked = parser.parse_args()
    problems = read_problems(asked.problems)
    judge("reference", problems, lambda problem: [problem.solution], "fails")
    judge("hollow", problems, lambda problem: [hollow(problem.solution)], "passes")
    judge("broken", problems, lambda problem: [broken(problem.solution)], "passes")
    judge("mutants", problems, lambda problem: list(islice(mutants(problem.solution), asked.mutants)), None)


if __name__ == "__main__":
    main()

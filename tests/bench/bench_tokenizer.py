"""How many bytes a token stands for, by pattern and kind, at equal vocabulary and on held-out text; and what training costs.

    python -m tests.bench.bench_tokenizer [--megabytes 1.5] [--vocabulary 8192 16384]

English: pydoc's topics and the library's docstrings; code: its source files; Chinese: the demo's reviews. Each gives as many
megabytes to train on, and a quarter of that to measure on (documents are shuffled by a fixed seed; equal ones count once).
The peer is the Unigram trainer of Hugging Face `tokenizers` on the same words: it isn't deterministic, and ours is.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from pydoc_data.topics import topics

from tokenizers import Tokenizer, models, trainers

from flows.demo import docstrings, library_files, reviews
from pipelines.encode import unigram
from pipelines.tokenizer.training import train
from schemas.recipe import Tokenizer as Settings

PATTERNS = (
    ("cl100k", "threes"),
    ("cl100k", "right"),
    ("cl100k", "single"),
    ("o200k", "threes"),
    ("indent", "threes"),
    ("han", "threes"),
)
SENTENCES = 6_000
"""Reviews for the peer: it takes some half a minute of a core a megabyte."""


def text_of(lang: str) -> list[str]:
    if lang == "zh":
        found: Iterable[str] = (review["text"] for review in reviews())
    elif lang == "en":
        found = [*topics.values(), *(entry["text"] for entry in docstrings())]
    else:
        found = (path.read_text(encoding="utf-8", errors="replace") for _, path in library_files())
    unique = list(dict.fromkeys(found))
    random.Random(1).shuffle(unique)
    return unique


def size_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def take(texts: Iterator[str], size: float) -> list[str]:
    taken: list[str] = []
    while size > 0 and (text := next(texts, None)) is not None:
        taken.append(text)
        size -= len(text.encode())
    return taken


def rate(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return size_of(texts) / sum(len(encoding.ids) for encoding in encodings)


def compare(name: str, settings: Settings, samples: dict[str, list[str]], held_out: dict[str, list[str]]) -> None:
    everything = [text for texts in samples.values() for text in texts]
    began = time.process_time()
    tokenizer = train(settings, lambda: everything)
    seconds = time.process_time() - began
    rates = {lang: rate(tokenizer, texts) for lang, texts in held_out.items()}
    mean = len(rates) / sum(1 / value for value in rates.values())
    row = " | ".join(f"{value:.3f}" for value in [*rates.values(), mean])
    print(f"| {settings.vocab_size} | {name} | {row} | {seconds / size_of(everything) * 1e6:.2f} |", flush=True)


def compare_with_the_library() -> None:
    """Train on the same reviews, twice each."""
    sample, rest = (text_of("zh")[part] for part in (slice(SENTENCES), slice(SENTENCES, 2 * SENTENCES)))
    print(f"\nUnigram, 6,000 pieces, {size_of(sample) / 1e6:.1f} MB of Chinese\n")
    print("| trainer | CPU seconds | bytes a token | digest of two runs |")
    print("|---|---|---|---|")
    special = ["<pad>", "</s>", "<unk>"]

    def ours() -> Tokenizer:
        return unigram.train(lambda: sample, 6_000, special, unk="<unk>", byte_fallback=False, coverage=0.9995)

    def theirs() -> Tokenizer:
        made = Tokenizer(models.Unigram())
        made.normalizer, made.pre_tokenizer = template.normalizer, template.pre_tokenizer
        made.train_from_iterator(
            sample, trainers.UnigramTrainer(vocab_size=6_000, special_tokens=special, unk_token="<unk>", show_progress=False)
        )
        return made

    template = ours()
    figures = {}
    for name, make in (("ours", ours), ("tokenizers", theirs)):
        began = time.process_time()
        made = [make(), make()]
        seconds = (time.process_time() - began) / 2
        digests = " ".join(hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:8] for tokenizer in made)
        figures[name] = (seconds, rate(made[0], rest))
        print(f"| {name} | {seconds:.1f} | {figures[name][1]:.3f} | {digests} |", flush=True)
    faster, denser = figures["tokenizers"][0] / figures["ours"][0], figures["ours"][1] / figures["tokenizers"][1]
    print(f"\nours: {faster:.1f} times less CPU time, {denser:.3f} times the bytes a token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1.5)
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[8192, 16384])
    arguments = parser.parse_args()
    samples, held_out = {}, {}
    for lang in ("zh", "en", "code"):
        texts = iter(text_of(lang))
        samples[lang], held_out[lang] = take(texts, arguments.megabytes * 1e6), take(texts, arguments.megabytes * 0.25e6)
    sizes = ", ".join(f"{lang} {size_of(samples[lang]) / 1e6:.2f} / {size_of(held_out[lang]) / 1e6:.2f}" for lang in samples)
    print(f"megabytes to train on / to measure on: {sizes}\n")
    print("| vocabulary | tokenizer | zh | en | code | harmonic mean | CPU s/MB |\n|---|---|---|---|---|---|---|")
    for size in arguments.vocabulary:
        for pattern, digits in PATTERNS:
            name = f"byte_bpe {pattern}, digits {digits}"
            compare(name, Settings(vocab_size=size, pre_tokenizer=pattern, digits=digits), samples, held_out)
        compare("wordpiece", Settings(vocab_size=size, kind="wordpiece"), samples, held_out)
        compare("unigram", Settings(vocab_size=size, kind="unigram", sentinels=0), samples, held_out)
    compare_with_the_library()


if __name__ == "__main__":
    main()

"""datatrove's side of bench_corpus: JSON lines to token files, as its own examples (FineWeb) put the steps together.

    PEERS/bin/python datatrove_peer.py INPUT OUTPUT TOKENIZER.json|- WORKERS

INPUT has a folder of .jsonl files for each language, `en` and `zh`. First: ftfy, Gopher's filters, personal data, a file of
what is left. Then MinHash in its four stages, the last of which drops duplicates and hands the rest to the tokenizer, or to a file if
that is `-`.
Runs with the Python of another environment: python -m venv PEERS && PEERS/bin/pip install datatrove==0.10.1 ftfy
spacy jieba tokenizers orjson regex "xxhash<4" (4 hashes bytes alone, and datatrove 0.10.1 gives it strings).
"""

from __future__ import annotations

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.typeshelper import Languages

LANGUAGES = {"en": Languages.english, "zh": Languages.mandarin_chinese}
FILTERS = {
    "en": {"min_doc_words": 5, "min_stop_words": 0, "max_symbol_word_ratio": 1.0, "max_non_alpha_words_ratio": 0.01},
    "zh": {
        "min_doc_words": 2,
        "min_stop_words": 0,
        "min_avg_word_length": 1,
        "max_symbol_word_ratio": 1.0,
        "max_non_alpha_words_ratio": 0.01,
    },
}
"""So wide that as good as nothing goes: both sides are to tokenize the same text. (The last is a least share of words with letters.)"""
MINHASH = MinhashConfig(n_grams=5, num_buckets=16, hashes_per_bucket=7)


def run(folder: Path, name: str, workers: int, tasks: int, *steps: PipelineStep) -> None:
    logs = str(folder / "logs" / name)
    LocalPipelineExecutor(pipeline=list(steps), tasks=tasks, workers=workers, logging_dir=logs, start_method="fork").run()


def language(name: str, source: Path, folder: Path, tokenizer: str, workers: int) -> None:
    files = len(list(source.glob("*.jsonl")))
    clean, signatures, buckets, removed, tokens = (str(folder / part) for part in ("clean", "signatures", "buckets", "removed", "tokens"))
    spoken = LANGUAGES[name]
    run(
        folder, "clean", workers, files,
        JsonlReader(str(source)),
        FTFYFormatter(),
        GopherRepetitionFilter(
            language=spoken, top_n_grams=((2, 1.0), (3, 1.0), (4, 1.0)), dup_n_grams=tuple((n, 1.0) for n in range(5, 11))
        ),
        GopherQualityFilter(language=spoken, **FILTERS[name]),
        PIIFormatter(),
        JsonlWriter(clean, compression=None),
    )  # fmt: skip
    reader = JsonlReader(clean)
    run(folder, "signatures", workers, files, reader, MinhashDedupSignature(signatures, config=MINHASH, language=spoken))
    run(folder, "buckets", workers, MINHASH.num_buckets, MinhashDedupBuckets(signatures, buckets, config=MINHASH))
    run(folder, "cluster", 1, 1, MinhashDedupCluster(buckets, removed, config=MINHASH))
    written = (
        JsonlWriter(tokens, compression=None)
        if tokenizer == "-"
        else DocumentTokenizer(tokens, tokenizer, eos_token=None, shuffle_documents=False)
    )
    run(folder, "tokens", workers, files, reader, MinhashDedupFilter(removed), written)


if __name__ == "__main__":
    for language_name in LANGUAGES:
        language(language_name, Path(sys.argv[1]) / language_name, Path(sys.argv[2]) / language_name, sys.argv[3], int(sys.argv[4]))

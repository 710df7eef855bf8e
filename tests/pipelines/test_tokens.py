"""Token shards are row-aligned with their document shards, lossless, and the same however they were made."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines import tokenizer, tokens
from pipelines.encode import Encoder, NotLossless, new_tokenizer, train
from pipelines.encode.gigatoken_engine import Gigatoken
from pipelines.encode.patterns import PATTERNS
from pipelines.encode.stretches import stretches
from schemas.arrow import read_shard, tokens_schema
from schemas.artifact import Artifact
from schemas.child import RUN_FACTS
from schemas.draft import Draft
from schemas.recipe import Tokenizer, Tokens
from tests.pipelines.documents import batch_of, documents_artifact, step_draft

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    [[("The cat sat on the mat.\nIt slept.", "en", "train"), ("", "en", "train"), ("他说：“很好！”\n\n 真的 。", "zh", "test")]],
    [],
    [[("x = {'a': 1234567}\n" * 20, "code", "train")], [("<|eos|> is text 😀 é", "en", "validation"), (" \n ", "zh", "train")]],
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    documents = documents_artifact(store / "documents", DOCUMENTS)
    draft = step_draft(store / "tokenizer", "tokenizer", Tokenizer(vocab_size=512).model_dump(mode="json"), {"documents": documents})
    tokenizer.run(draft)
    return {"documents": documents, "tokenizer": draft.commit([tokenizer.STAGE])}


@pytest.fixture(scope="module")
def made(inputs: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    draft = new_draft(tmp_path_factory.mktemp("made") / "tokens", inputs)
    tokens.run(draft)
    return draft.commit([tokens.STAGE])


def new_draft(folder: Path, inputs: dict[str, Artifact]) -> Draft:
    return step_draft(folder, "tokens", Tokens().model_dump(mode="json"), inputs)


def encoder_of(inputs: dict[str, Artifact]) -> Encoder:
    (path,) = inputs["tokenizer"].paths("tokenizer")
    return Encoder(path)


def rows(artifact: Artifact, role: str) -> list[list[dict[str, Any]]]:
    return [read_shard(path).to_pylist() for path in artifact.paths(role)]


def test_row_i_is_row_i(inputs: dict[str, Artifact], made: Artifact) -> None:
    shared = ("doc_id", "source", "lang", "subset")
    before, after = rows(inputs["documents"], "documents"), rows(made, "tokens")
    assert [[[row[name] for name in shared] for row in shard] for shard in before] == [
        [[row[name] for name in shared] for row in shard] for shard in after
    ]
    assert [part.key for part in made.manifest.parts] == ["00000", "00001", "00002"]


def test_tokens_are_the_bytes_of_the_text(inputs: dict[str, Artifact], made: Artifact) -> None:
    from tokenizers import Tokenizer as Library

    library = Library.from_file(str(inputs["tokenizer"].paths("tokenizer")[0]))
    for shard, token_shard in zip(rows(inputs["documents"], "documents"), rows(made, "tokens"), strict=True):
        for document, row in zip(shard, token_shard, strict=True):
            assert library.decode(row["tokens"], skip_special_tokens=False) == document["text"]
            assert row["n_bytes"] == len(document["text"].encode())
            assert not set(row["tokens"]) & {0, 1, 2}, "a special token was made from text"


def test_word_starts_and_sentence_ends_count_tokens(inputs: dict[str, Artifact], made: Artifact) -> None:
    lengths = encoder_of(inputs).token_bytes
    for shard, token_shard in zip(rows(inputs["documents"], "documents"), rows(made, "tokens"), strict=True):
        for document, row in zip(shard, token_shard, strict=True):
            widths = lengths(np.array(row["tokens"], np.uint32))
            starts, ends = (np.cumsum(widths) - widths).tolist(), np.cumsum(widths).tolist()
            words = set(document["word_starts"])
            assert row["word_start"] == [not words.isdisjoint(range(start, end)) for start, end in zip(starts, ends, strict=True)]
            assert row["sentence_ends"] == [sum(start < end for start in starts) for end in document["sentence_ends"]]
            assert row["token_starts"] is None


def test_the_schema_is_declared_and_says_what_made_it(inputs: dict[str, Artifact], made: Artifact) -> None:
    (file,) = inputs["tokenizer"].manifest.files("tokenizer")
    for path in made.paths("tokens"):
        schema = read_shard(path).schema
        assert schema.equals(tokens_schema(encoder_of(inputs).vocab_size))
        assert schema.metadata[b"tokenizer"].decode() == file.digest
        assert schema.metadata[b"engine"].startswith(b"tokenizers ")
        assert schema.field("tokens").type.value_type == pa.uint16()


def test_facts_add_up(made: Artifact) -> None:
    for part, shard in zip(made.manifest.parts, rows(made, "tokens"), strict=True):
        for what, count in (("tokens", lambda row: len(row["tokens"])), ("bytes", lambda row: row["n_bytes"])):
            by_lang: dict[str, dict[str, int]] = {}
            for row in shard:
                subsets = by_lang.setdefault(row["lang"], {})
                subsets[row["subset"]] = subsets.get(row["subset"], 0) + count(row)
            assert part.facts[what] == by_lang


def test_one_record_batch_for_each_of_the_documents(inputs: dict[str, Artifact], made: Artifact) -> None:
    def batches(paths: list[Path]) -> list[list[int]]:
        return [[batch.num_rows for batch in read_shard(path).to_batches()] for path in paths]

    assert batches(made.paths("tokens")) == batches(inputs["documents"].paths("documents")) == [[3], [], [1, 2]]


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path, inputs: dict[str, Artifact], made: Artifact, workers: int) -> None:
    draft = new_draft(tmp_path / "tokens", inputs)
    draft.assign(inputs={role: artifact.path for role, artifact in inputs.items()}, roots={}, run={"workers": workers})
    subprocess.run([sys.executable, "-m", "pipelines.tokens", str(draft.path)], cwd=ROOT, check=True)
    again = draft.commit([tokens.STAGE])
    assert again.manifest.content_digest == made.manifest.content_digest
    assert [p.read_bytes() for p in again.paths("tokens")] == [p.read_bytes() for p in made.paths("tokens")]


def test_a_restart_goes_on_where_parts_are_missing(tmp_path: Path, inputs: dict[str, Artifact], made: Artifact) -> None:
    draft = new_draft(tmp_path / "tokens", inputs)
    tokens.run(draft)
    kept, lost = (draft.part(tokens.STAGE, key) for key in ("00000", "00002"))
    assert kept is not None and lost is not None
    before = (draft.path / kept.files[0].path).stat().st_mtime_ns
    (draft.path / lost.files[0].path).unlink()  # as after a crash that lost the file
    (draft.path / lost.record_path).unlink()
    tokens.run(draft)
    assert (draft.path / kept.files[0].path).stat().st_mtime_ns == before
    assert draft.commit([tokens.STAGE]).manifest.content_digest == made.manifest.content_digest


@pytest.mark.slow
def test_a_killed_process_is_continued_with_the_same_bytes(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    documents = documents_artifact(
        tmp_path / "documents", [[[(f"line {k} of {n}\n" * 400, "en", "train")] * 40] for n, k in enumerate(range(12))]
    )
    both = {**inputs, "documents": documents}
    whole = new_draft(tmp_path / "whole", both)
    tokens.run(whole)
    draft = new_draft(tmp_path / "killed", both)
    process = subprocess.Popen([sys.executable, "-m", "pipelines.tokens", str(draft.path)], cwd=ROOT)
    while not draft.parts(tokens.STAGE) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert draft.parts(tokens.STAGE)
    tokens.run(draft)
    assert draft.commit([tokens.STAGE]).manifest.content_digest == whole.commit([tokens.STAGE]).manifest.content_digest


def test_a_document_that_is_not_encoded_whole_is_named(inputs: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(inputs)
    batch = batch_of([("fine", "en", "train"), ("broken", "en", "train")])
    encode = encoder.encode_column
    monkeypatch.setattr(encoder, "encode_column", lambda texts, ids: encode(pa.array([texts[0].as_py(), texts[1].as_py()[1:]])))
    with pytest.raises(NotLossless, match=f"document {batch.column('doc_id')[1].as_py().hex()}: .* 5 bytes, its text 6"):
        tokens.encode_batch(batch, encoder, tokens_schema(encoder.vocab_size))


RUNS = st.builds(lambda unit, count: unit * count, st.sampled_from(["好", "s", "a中", "é", "1", "ab'"]), st.integers(100, 700))
PIECES = st.text(st.sampled_from("ab中好'sS .,，。！\n\r\t 1290é#(\u3000\u0301ß²")) | st.text(max_size=20) | RUNS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    text = "It's 1290 things, and (all) that's 中好好，中好。！ \n\n  a\tb\n好中 ab's ÉÉ ## \r\n"
    path = tmp_path_factory.mktemp("trained") / "tokenizer.json"
    path.write_text(train([text] * 3, 420, ["<|bos|>", "<|eos|>", "<|pad|>"]).to_str(), encoding="utf-8")
    return Encoder(path)


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, max_size=8).map("".join), st.sampled_from([1, 5, 50]))
@example("a's, b", 5)
@example("a \n b\n\nc\n 1", 5)
@example("x　。\n1", 5)
@example("。" + "好" * 700 + "\u1c80" * 300 + "1" + "a" * 600, 5)
@example("'" + "s" * 600 + " 's" + "好" * 600, 5)
def test_stretches_have_the_pieces_of_whole_texts(text: str, stretch_chars: int) -> None:
    cut = list(stretches(text, PATTERNS["cl100k", "threes"], stretch_chars))
    assert "".join(cut) == text
    split = new_tokenizer().pre_tokenizer.pre_tokenize_str
    assert [piece for stretch in cut for piece, _ in split(stretch)] == [piece for piece, _ in split(text)]


def test_cut_texts_have_the_ids_of_whole_ones(trained: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "It's 1290 things, and (all) that's 中好好，中好。！ \n\n  a\tb\n好中 ab's ÉÉ ## \r\n" * 200 + "中好" * 5000
    whole, _ = trained.encode([text])
    monkeypatch.setattr("pipelines.encode.stretches.STRETCH_CHARS", 100)
    assert len(list(stretches(text, trained.pattern))) > 80
    assert trained.encode([text])[0].tolist() == whole.tolist()


@settings(deadline=None)
@given(st.lists(st.text(), max_size=6))
def test_texts_are_encoded_alike_in_any_company(trained: Encoder, texts: list[str]) -> None:
    ids, counts = trained.encode(texts)
    alone = [trained.encode([text])[0].tolist() for text in texts]
    assert counts.tolist() == list(map(len, alone))
    assert ids.tolist() == [number for one in alone for number in one]


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["好", "好，", "a", " ", "\n", "=", "1", "x\n"])
def test_a_long_document_of_one_kind(trained: Encoder, unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    ids, _ = trained.encode([text])
    assert int(trained.token_bytes(ids).sum()) == len(text.encode())


def test_engines_name_the_library() -> None:
    assert tokens.engines(Tokens()).keys() == {"tokenizers", "pyarrow"}


def lossy_encoder(folder: Path, kind: str) -> Encoder:
    """A small tokenizer whose tokens are not the bytes of the text, trained by the library."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    text = ["The cat sat on the mat. It slept. café 他说很好 真的"] * 20
    if kind == "wordpiece":
        library = Library(models.WordPiece(unk_token="[UNK]"))
        library.normalizer = normalizers.BertNormalizer()
        library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    else:
        library = Library(models.Unigram())
        library.normalizer = normalizers.NFKC()
        library.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>", "</s>"], show_progress=False)
    library.train_from_iterator(text, trainer)
    path = folder / f"{kind}.json"
    path.write_text(library.to_str(), encoding="utf-8")
    return Encoder(path)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_lossy_tokens_say_where_they_begin(tmp_path: Path, kind: str) -> None:
    encoder = lossy_encoder(tmp_path, kind)
    documents = [
        ("The cat  sat. Café 他说很好。", "en", "train"),
        ("", "en", "train"),
        (" \n ", "en", "train"),
        ("① ﬁ mat\x00. It", "en", "train"),
    ]
    batch = batch_of(documents)
    found, uncovered = tokens.encode_batch(batch, encoder, tokens_schema(encoder.vocab_size))
    found.validate(full=True)
    assert not encoder.lossless and found.column("doc_id") == batch.column("doc_id")
    for (text, _, _), document, row in zip(documents, batch.to_pylist(), found.to_pylist(), strict=True):
        encoding = encoder._tokenizer.encode(text, add_special_tokens=False)
        starts = [len(text[:start].encode()) for start, _ in encoding.offsets]
        ends = [len(text[:end].encode()) for _, end in encoding.offsets]
        assert (row["tokens"], row["token_starts"], row["n_bytes"]) == (encoding.ids, starts, len(text.encode()))
        assert row["sentence_ends"] == [sum(start < end for start in starts) for end in document["sentence_ends"]]
        first = [next((n for n, end in enumerate(ends) if end > word), None) for word in document["word_starts"]]
        assert row["word_start"] == [n in first for n in range(len(starts))]
    assert uncovered.tolist() == ([0, 0, 0, 1] if kind == "wordpiece" else [0, 0, 0, 0]), "BERT drops the control character"


def test_characters_that_no_token_covers_are_counted(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    store = tmp_path / "store"
    (store / "tokenizer").mkdir(parents=True)
    encoder = lossy_encoder(tmp_path, "wordpiece")
    draft = step_draft(store / "tokenizer" / "t", "tokenizer", {}, {})
    temporary = draft.scratch() / "t.json"
    temporary.write_text(json.dumps(encoder.document), encoding="utf-8")
    draft.add_part("tokenizer", "tokenizer", [draft.adopt_as(temporary, "tokenizer.json", "tokenizer")])
    documents = documents_artifact(store / "documents", [[[("a \x01 b\x02", "en", "train"), ("fine", "zh", "test")]]])
    made = new_draft(store / "tokens", {"documents": documents, "tokenizer": draft.commit(["tokenizer"])})
    tokens.run(made)
    (part,) = made.commit([tokens.STAGE]).manifest.parts
    assert part.facts["uncovered"] == {"en": {"train": 2}, "zh": {"test": 0}}


def test_an_engine_that_is_found_out_costs_a_second_pass_and_no_id(
    tmp_path: Path, inputs: dict[str, Artifact], made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Gigatoken.encode

    def wrong(self: Gigatoken, *given: Any) -> Any:
        ids, counts = right(self, *given)
        return (ids[::-1].copy() if calls.append(1) or len(calls) > 2 else ids), counts

    calls: list[int] = []
    monkeypatch.setattr(Gigatoken, "encode", wrong)
    draft = new_draft(tmp_path / "tokens", inputs)
    tokens.run(draft)
    told = json.loads((draft.scratch() / RUN_FACTS).read_bytes())
    assert told["checks"]["shards again by the reference"] == 1
    assert draft.commit([tokens.STAGE]).manifest.content_digest == made.manifest.content_digest


@pytest.mark.parametrize("engine", ["tokenizers", "gigatoken"])
def test_engines_give_the_same_bytes_and_are_told(tmp_path: Path, inputs: dict[str, Artifact], made: Artifact, engine: str) -> None:
    draft = step_draft(tmp_path / "tokens", "tokens", Tokens.model_validate({"engine": engine}).model_dump(mode="json"), inputs)
    tokens.run(draft)
    told = json.loads((draft.scratch() / RUN_FACTS).read_bytes())
    assert [name.split()[0] for name in told["engines"]] == [engine]
    assert draft.commit([tokens.STAGE]).manifest.content_digest == made.manifest.content_digest

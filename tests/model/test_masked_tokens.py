"""The model: masked tokens: whole words are hidden, as annotators found them, by draws that depend on nothing but seed and sample; an
encoder learns by them, and its run breaks and goes on as any other."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from model.checkpoint import load_model
from model.data import Batch, Batches, training_batches
from model.draws import draw
from model.encoder import EncoderModel
from model.objectives.hiding import IGNORED, Hiding
from model.objectives.masked_tokens import MaskedTokensObjective
from model.phases import stages
from model.text import Special
from model.train import main
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.recipe import Pretrain
from tests.model.annotated import annotated_documents, annotated_row, commit_tokenizer, commit_tokens
from tests.model.conftest import MakeDraft
from tests.model.test_train import interrupted, launch, outcome, wait_for_step

TINY = {"family": "bert", "layers": 1, "width": 32, "heads": 2, "ffn": 64, "context": 24}
PAIRS = {"objective": {"name": "masked_tokens", "next_sentence": True}}


def tiny(**changes: Any) -> dict[str, Any]:
    base = {"model": TINY, "steps": 6, "batch": 4, "compile": False, "validate_every": 3, "validate_tokens": 600, "checkpoint_every": 2}
    return base | {"keep_checkpoints": 9, "optimizer": {"lr": 1e-2}, "mix": {"zh": 1, "en": 2}} | changes


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return commit_tokenizer(tmp_path_factory.mktemp("store") / "tokenizer", [text for _, _, text in annotated_documents()])


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, tokenizer: Artifact) -> Artifact:
    return commit_tokens(tmp_path_factory.mktemp("store") / "tokens", tokenizer)


@pytest.fixture(scope="module")
def drafts(tokens: Artifact, tokenizer: Artifact) -> MakeDraft:
    return MakeDraft(tokens, tokenizer)


def batches_of(tokens: Artifact, tokenizer: Artifact, told: Pretrain) -> tuple[Batches, MaskedTokensObjective]:
    vocabulary = tokenizer.facts("tokenizer")
    objective = MaskedTokensObjective(told, vocabulary)
    special = Special(vocabulary["special_tokens"]["bos"], vocabulary["special_tokens"]["eos"])
    made = training_batches(
        tokens.path, stages(told), told.seed, special, packing=objective.packing, boundaries=told.document_mask,
        window=objective.window, words=objective.words,
    )  # fmt: skip
    return made, objective


def flags(time: int) -> st.SearchStrategy[list[bool]]:
    return st.lists(st.booleans(), min_size=time, max_size=time)


rows_of_words = st.integers(1, 40).flatmap(lambda time: st.lists(st.tuples(flags(time), flags(time)), min_size=1, max_size=4))


@settings(deadline=None, max_examples=150)
@given(rows_of_words, st.floats(0.05, 0.9), st.integers(0, 1 << 40))
def test_words_are_hidden_whole_and_fixed_tokens_never(rows: list[tuple[list[bool], list[bool]]], share: float, seed: int) -> None:
    starts, fixed = (np.array([row[n] for row in rows]) for n in (0, 1))
    ids = np.arange(starts.size).reshape(starts.shape) + 10
    hiding = Hiding(share, 3, np.arange(10, 500), seed)
    samples = np.arange(len(rows)) + seed
    found = hiding.hide(ids, starts, fixed, samples)
    for row, (start, still) in enumerate(zip(starts, fixed, strict=True)):
        told = found.targets[row] != IGNORED
        places = found.places[row][told]
        assert (found.targets[row][told] == ids[row][places]).all() and (np.diff(places) > 0).all()
        hidden = np.isin(np.arange(len(start)), places)
        assert not (hidden & still).any() and (found.ids[row][~hidden] == ids[row][~hidden]).all()
        for place in range(1, len(start)):
            if not (start[place] or still[place] or still[place - 1]):
                assert hidden[place] == hidden[place - 1], "a word is hidden whole"
        free = int((~still).sum())
        assert hidden.sum() <= max(int(share * free + 0.5), 1) <= hiding.most(len(start))
        alone = hiding.hide(ids[[row]], starts[[row]], fixed[[row]], samples[[row]])
        assert all((getattr(alone, name)[0] == getattr(found, name)[row]).all() for name in ("ids", "places", "targets"))


def test_hidden_tokens_are_written_over_as_bert_does() -> None:
    ids = np.full((400, 100), 7)
    free = np.zeros(ids.shape, dtype=bool)
    found = Hiding(0.15, 3, np.arange(10, 1000), 1).hide(ids, ~free, free, np.arange(400))
    written = found.ids[np.arange(400)[:, None], found.places]
    assert (found.targets == 7).all() and written.shape == (400, 15)
    shares = [float((written == value).mean()) for value in (3, 7)]
    assert shares == pytest.approx([0.8, 0.1], abs=0.02) and (written[(written != 3) & (written != 7)] >= 10).all()
    counts = np.bincount(found.places.ravel(), minlength=100)
    assert counts.min() > 25 and counts.max() < 110, "every place is as likely"


def test_draws_are_of_seed_and_sample_alone() -> None:
    one = draw(5, np.array([3, 9]), 0, 4)
    assert (draw(5, np.array([9]), 0, 2) == one[1, :2]).all() and len(np.unique(one)) == 8
    assert not (draw(6, np.array([3, 9]), 0, 4) == one).any() and not (draw(5, np.array([3, 9]), 1, 4) == one).any()
    assert draw(-1, np.array([0]), 0, 1).shape == (1, 1)


@pytest.mark.parametrize("packing", ["concat", "best_fit", "pairs"])
def test_batches_know_the_words_of_the_shards(tokens: Artifact, tokenizer: Artifact, packing: str) -> None:
    """Every token of a sample that isn't a segment's first begins a word just if its document's annotation says so."""
    told = Pretrain.model_validate(tiny(packing=packing) if packing != "pairs" else tiny(**PAIRS))
    batches, _ = batches_of(tokens, tokenizer, told)
    encoder = Tokenizer.from_file(str(tokenizer.paths("tokenizer")[0]))
    rows = [annotated_row(encoder, text) for _, subset, text in annotated_documents() if subset == "train"]
    known = {(tuple(ids[n : n + 8]), words[n + 4]) for ids, words, _ in rows for n in range(len(ids) - 7)}
    texts = {sequence for sequence, _ in known}
    asked = 0
    for step in range(6):
        batch = batches.batch_at(step)
        assert batch.words is not None
        for ids, words in zip(batch.ids.tolist(), batch.words.tolist(), strict=True):
            for n in range(1, len(ids) - 7):
                if (sequence := tuple(ids[n : n + 8])) in texts:
                    assert (sequence, words[n + 4]) in known
                    asked += 1
            assert all(begins for token, begins in zip(ids, words, strict=True) if token in (0, 1))
    assert asked > 50


def test_shards_without_words_are_read_token_by_token(tmp_path: Path, tokenizer: Artifact, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = commit_tokens(tmp_path / "tokens", tokenizer, known=False)
    draft = MakeDraft(tokens, tokenizer)(tmp_path / "draft", **tiny(steps=2))
    assert main([str(draft.path)]) == 0
    assert capsys.readouterr().out.count("don't say where words begin") == 1
    assert main([str(MakeDraft(tokens, tokenizer)(tmp_path / "pairs", **tiny(steps=2, **PAIRS)).path)]) == 1
    assert "no block of" in capsys.readouterr().err


def test_a_tokenizer_without_a_mask_is_refused(make_draft: MakeDraft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(make_draft(tmp_path / "draft", **tiny()).path)]) == 1
    assert "no token that serves as mask" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{}, PAIRS, {"packing": "best_fit", "document_mask": True}], ids=["blocks", "pairs", "packs"])
def test_what_is_hidden_does_not_depend_on_ranks_or_micro_batches(tokens: Artifact, tokenizer: Artifact, changes: dict[str, Any]) -> None:
    batches, objective = batches_of(tokens, tokenizer, Pretrain.model_validate(tiny(batch=8, **changes)))
    whole = objective.inputs(batches.batch_at(3))
    parts = [objective.inputs(batches.batch_at(3, rank, 2).part(n, 2)) for rank in range(2) for n in range(2)]
    for number, expected in enumerate(whole.tensors):
        assert torch.equal(torch.cat([part.tensors[number] for part in parts]), expected)
    assert sum(part.predicted or 0 for part in parts) == whole.predicted


def test_a_pair_is_two_neighbours_or_of_two_documents(tokens: Artifact, tokenizer: Artifact) -> None:
    batches, objective = batches_of(tokens, tokenizer, Pretrain.model_validate(tiny(batch=64, **PAIRS)))
    encoder = Tokenizer.from_file(str(tokenizer.paths("tokenizer")[0]))
    rows = [annotated_row(encoder, text) for _, subset, text in annotated_documents() if subset == "train"]
    texts = [" ".join(map(str, ids)) for ids, _, _ in rows]
    told: list[int] = []
    for step in range(4):
        batch = batches.batch_at(step)
        assert batch.documents is not None
        labels = objective.inputs(batch).tensors[-1].tolist()
        for ids, documents, label in zip(batch.ids, batch.documents, labels, strict=True):
            assert ids[0] == 0 and [int(ids[documents == n][-1]) for n in (0, 1)] == [1, 1]
            first, second = ids[documents == 0][1:-1].tolist(), ids[documents == 1][:-1].tolist()
            assert first and second and len(first) + len(second) + 3 <= 24
            together = " ".join(map(str, [*first, *second]))
            if label == 0:
                assert any(f" {together} " in f" {text} " for text in texts), "neighbours"
            ends = [ids[:end] for ids, _, all_ends in rows for end in all_ends[:-1]]
            assert any(end[-len(first) :] == first for end in ends), "it ends where a sentence does"
        told += labels
    assert 0.4 < sum(told) / len(told) < 0.6


@pytest.mark.parametrize(
    "changes",
    [{"packing": "best_fit", "document_mask": True}, PAIRS, {"model": TINY | {"family": "modernbert", "local_window": 8, "layers": 2}}],
    ids=["packs", "next sentence", "modernbert"],
)
def test_it_learns(drafts: MakeDraft, tmp_path: Path, changes: dict[str, Any]) -> None:
    often = {"steps": 60, "batch": 16, "validate_every": 60, "checkpoint_every": 1000, "validate_tokens": 3000}
    settings = tiny(**often, optimizer={"name": "muon", "lr": 1e-2, "muon_lr": 1e-2}, precision="float32", **changes)
    draft = drafts(tmp_path / "draft", **settings)
    assert main([str(draft.path)]) == 0
    rows = [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]
    pairs = changes is PAIRS
    assert rows[0]["loss"] == pytest.approx(math.log(600) + (math.log(2) if pairs else 0), abs=0.3)
    assert sum(row["loss"] for row in rows[-10:]) / 10 < rows[0]["loss"] - 0.6
    last = rows[-1]
    assert set(last["validation_loss"]) == {"code", "en", "zh"} == set(last["masked_accuracy"]) or pairs
    assert ("next_sentence_accuracy" in last) == pairs
    assert outcome(draft)[2]["validation_loss"] == last["validation_loss"]
    model, config = load_model(draft.path)
    assert isinstance(model, EncoderModel) and config["mask_token_id"] == 3 and config["cls_token_id"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_it_learns_from_what_stands_around(family: str) -> None:
    """Text in which a token follows from its neighbour: far below what knowing how frequent tokens are would give, log 31."""
    told = Pretrain.model_validate(tiny(model=TINY | {"family": family, "context": 16}))
    torch.manual_seed(0)
    model = EncoderModel(told.architecture, 40)  # type: ignore[arg-type]
    objective = MaskedTokensObjective(told, {"vocab_size": 40, "special_tokens": {"bos": 0, "eos": 1, "pad": 2, "mask": 3}})
    module, optimizer = objective.module(model), torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for step in range(250):
        ids = [torch.randint(0, 31, (32,))]
        while len(ids) < 16:
            ids.append((ids[-1] * 5 + 3) % 31)
        inputs = objective.inputs(Batch(torch.stack(ids, 1) + 9, torch.arange(32) + 32 * step))
        loss = module(*inputs.tensors, torch.tensor(float(inputs.predicted or 1)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[0] > math.log(31) and sum(losses[-20:]) / 20 < math.log(31) / 2


@torch.no_grad()
def test_no_information_crosses_documents(tokens: Artifact, tokenizer: Artifact) -> None:
    """With document_mask, another token anywhere in a packed row moves no state of another document, filling included."""
    told = Pretrain.model_validate(tiny(packing="best_fit", document_mask=True))
    batches, objective = batches_of(tokens, tokenizer, told)
    torch.manual_seed(0)
    for family in ("bert", "modernbert"):
        model = EncoderModel(Pretrain.model_validate(tiny(model=TINY | {"family": family})).architecture, 600)  # type: ignore[arg-type]
        module = objective.module(model)
        checked = 0
        for step in range(40):  # few rows have two documents
            batch = batches.batch_at(step)
            assert batch.documents is not None
            ids, _, _, documents, positions = objective.inputs(batch).tensors
            before = module.states(ids, documents, positions)
            for row in range(len(ids)):
                if len(documents[row].unique()) > 1:
                    changed, place = ids[row].clone(), int(torch.nonzero(documents[row] == documents[row, -1])[0])
                    changed[place] = 99
                    after = module.states(changed[None], documents[row : row + 1], positions[row : row + 1])[0]
                    others = documents[row] != documents[row, place]
                    assert torch.equal(after[others], before[row][others]) or torch.allclose(after[others], before[row][others], atol=1e-6)
                    assert not torch.allclose(after[~others], before[row][~others], atol=1e-3)
                    checked += 1
        assert checked > 3


@pytest.fixture(scope="module")
def whole(drafts: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    draft = drafts(tmp_path_factory.mktemp("whole") / "draft", **tiny(checkpoint_every=1, accumulate=2, **PAIRS))
    assert main([str(draft.path)]) == 0
    return draft


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_run_resumed_at_any_boundary_ends_in_the_same_bits(whole: Draft, tmp_path: Path, step: int) -> None:
    broken = interrupted(whole, tmp_path / "draft", step)
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole)


@pytest.mark.slow
def test_two_ranks_and_micro_batches_weigh_every_token_as_one_rank_does(drafts: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(precision="float32", **PAIRS)
    alone, together = drafts(tmp_path / "alone", **settings), drafts(tmp_path / "together", **settings | {"accumulate": 2})
    assert main([str(alone.path)]) == 0
    process = launch(together, 2)
    assert process.wait() == 0, process.communicate()[1].decode()
    for one, two in zip(*(outcome(draft)[1].splitlines() for draft in (alone, together)), strict=True):
        assert json.loads(one)["loss"] == pytest.approx(json.loads(two)["loss"], rel=1e-4)


@pytest.mark.slow
def test_killed_between_checkpoints_it_ends_in_the_same_bits(drafts: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=60, checkpoint_every=20, validate_every=30)
    whole, broken = drafts(tmp_path / "whole", **settings), drafts(tmp_path / "broken", **settings)
    assert launch(whole, 1).wait() == 0
    process = launch(broken, 1)
    wait_for_step(broken, 25, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert launch(broken, 1).wait() == 0
    assert outcome(broken) == outcome(whole)

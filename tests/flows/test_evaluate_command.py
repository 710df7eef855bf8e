"""`gristmill evaluate` as a user calls it, and what it leaves for `compare` and `leaderboard`."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from flows.commands.evaluating import _asked
from flows.comparing import compare_models
from flows.evaluated import results_of
from flows.evaluating import Asked, beside_baselines, evaluate_model, lines_of, model_named
from flows.leaderboard import boards
from model.checkpoint import save_model
from model.decoder import DecoderModel
from schemas import recipe
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Evaluation, Run
from schemas.recipe_file import load_task
from schemas.store import Store

GRISTMILL = Path(sys.executable).parent / "gristmill"
WORDS = {"pos": ("fine", "很好", "lovely"), "neg": ("dull", "太差", "boring")}


def commit_model(store: Store, name: str, seed: int) -> Artifact:
    """A tiny decoder that knows nothing."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|bos|>", "<|eos|>", "<|pad|>"]
    tokenizer.train_from_iterator([], trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet))
    torch.manual_seed(seed)
    draft = store.start("model", name, Identity("pretrain", 1, {"seed": seed}, {}, {}))
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    model = DecoderModel(recipe.Decoder(layers=1, width=32, heads=2, kv_heads=1, ffn=48, context=128), tokenizer.get_vocab_size())
    weights, config = save_model(model, draft.scratch(), ids)
    tokenizer.save(str(draft.scratch() / "tokenizer.json"))
    named = {weights: "weights", config: "config", draft.scratch() / "tokenizer.json": "tokenizer"}
    draft.add_part("pretrain", "model", [draft.adopt_as(path, path.name, role) for path, role in named.items()])
    return draft.commit(["pretrain"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw, rows = random.Random(1), []
    for number in range(400):
        label = ("neg", "pos")[number % 2]
        around = [f"{draw.getrandbits(40):x}" for _ in range(6)]  # or they would be near copies
        rows.append({"text": " ".join([*around, draw.choice(WORDS[label])]), "label": label})
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (tmp_path / "reviews.yaml").write_text("name: reviews\nkind: classification\ndata: {train: reviews.jsonl, held_out: 0.3}\n")
    (tmp_path / "held.txt").write_text("Held-out text, which nobody learned from. " * 5)
    return tmp_path


@pytest.mark.slow
def test_a_model_is_evaluated_and_told_that_it_beats_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(folder / "store")
    commit_model(store, "tiny", 0)
    command = [GRISTMILL, "evaluate", "tiny", "reviews.yaml", "--text", "held.txt", "--store", "store"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reviews: classification, version 1, 116 items" in done.stdout and "text.und: language_modelling" in done.stdout
    assert "tiny is worse than the baseline bag_of_words: bag_of_words is better than tiny on reviews" in done.stdout
    assert "tiny does not beat the baseline zstd: no difference can be told" in done.stdout  # by one text
    assert "evaluation/tiny-tasks@" in done.stdout

    monkeypatch.chdir(folder)
    commit_model(store, "other", 1)
    settings = Evaluation(tasks=(load_task("reviews.yaml"),))
    for action in ("run", "reuse"):
        outcome = evaluate_model(store, model_named(store, "other"), Asked(settings), "other-tasks", Run(store=str(store.root)), print)
        assert outcome.action == action
    found = results_of(outcome.artifact)
    beside = beside_baselines(outcome.artifact, found)
    assert [(one.baseline, one.comparison.winner) for one in beside] == [("bag_of_words", "b")]
    assert lines_of("other", found, beside)[0].startswith("reviews: classification")
    compared = compare_models(store, "tiny", "other", "reviews")
    assert {one.metric for one in compared.comparisons} == {"accuracy", "macro_f1", "mcc"} and not compared.refused
    assert {"reviews", "text.und"} == {board.task for board in boards(store, None, None)}


def test_what_cannot_be_evaluated_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    store = Store(folder / "store")
    commit_model(store, "tiny", 0)
    base = {"subset": "test", "shots": 0, "limit": None, "seed": 0}
    with pytest.raises(RequestError, match="there is nothing to ask: name a task file, --text, or --lm-eval"):
        _asked(store, [], None, None, [], None, 100, base)
    with pytest.raises(RequestError, match="two tasks have one name, 'reviews'"):
        _asked(store, [Path("reviews.yaml")] * 2, None, None, [], None, 100, base)
    with pytest.raises(RequestError, match="'model/missing' is not in"):
        model_named(store, "missing")
    (folder / "reviews.jsonl").unlink()
    asked = _asked(store, [Path("reviews.yaml")], None, None, [], None, 100, base)
    with pytest.raises(RequestError, match=r"task reviews: data.train: .*reviews.jsonl: there is no such file"):
        evaluate_model(store, model_named(store, "tiny"), asked, "tiny-tasks", Run(store=str(store.root)), print)

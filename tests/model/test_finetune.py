"""The model: fine-tuning on labelled documents, from a draft to a saved classifier that answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpoint import Mismatch
from model.decoder import DecoderModel
from model.finetune import Classifier, classify, load_classifier
from model.finetune.__main__ import main
from model.finetune.classifier import Reading
from model.finetune.train import batches
from schemas import recipe
from schemas.artifact import Artifact
from schemas.fingerprint import digest_file
from tests.model.labelled import TINY, Artifacts, Row, commit_all, review, settings_of, small_reviews, step_draft

SETTINGS = recipe.Finetune(source="reviews", epochs=4, batch=16, max_tokens=32, lr=1e-2, precision="float32")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return commit_all(tmp_path_factory.mktemp("store"), small_reviews())


@pytest.fixture(scope="module")
def finetuned(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    draft = step_draft(tmp_path_factory.mktemp("model") / "a", "model", "finetune", settings_of(SETTINGS), artifacts)
    assert main([str(draft.path)]) == 0
    return draft.commit(["finetune"])


def test_learns_what_tells_the_classes_apart(artifacts: Artifacts, finetuned: Artifact) -> None:
    facts = finetuned.facts("finetune")
    assert facts["labels"] == ["neg", "pos"]
    assert {subset: sum(n.values()) for subset, n in facts["n"].items()} == {"train": 300, "validation": 150, "test": 150}
    assert facts["test"]["accuracy"] > 0.9
    p, n = facts["test"]["accuracy"], 150
    assert facts["test"]["accuracy_standard_error"] == pytest.approx((p * (1 - p) / n) ** 0.5)
    answers = classify(finetuned.path, [row.text for row in small_reviews() if row.subset == "test" and row.extra])
    truth = [json.loads(row.extra)["label"] for row in small_reviews() if row.subset == "test" and row.extra]
    assert sum(a == t for (a, _), t in zip(answers, truth, strict=True)) / len(truth) == p


def test_keeps_the_best_epoch_by_validation(finetuned: Artifact) -> None:
    rows = [json.loads(line) for line in (finetuned.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, finetuned.facts("finetune")["steps"] + 1))
    by_epoch = [row["validation_accuracy"] for row in rows if "validation_accuracy" in row]
    assert len(by_epoch) == SETTINGS.epochs
    best = finetuned.facts("finetune")["best_epoch"]
    assert by_epoch.index(max(by_epoch)) == best - 1
    assert finetuned.facts("finetune")["validation"]["accuracy"] == max(by_epoch)


def test_equal_runs_give_equal_bytes_even_after_a_kill(artifacts: Artifacts, finetuned: Artifact, tmp_path: Path) -> None:
    draft = step_draft(tmp_path / "b", "model", "finetune", settings_of(SETTINGS), artifacts)
    (draft.scratch() / "metrics.jsonl").write_text('{"step": 1, "loss": 9}\n{"st')  # what a killed attempt left
    (draft.scratch() / "model").mkdir()
    (draft.scratch() / "model" / "model.safetensors").write_bytes(b"torn")
    assert main([str(draft.path)]) == 0
    again = draft.commit(["finetune"])
    assert again.manifest.content_digest == finetuned.manifest.content_digest
    for file in finetuned.manifest.files():
        assert digest_file(again.path / file.path) == file.digest


def test_a_finished_draft_is_not_done_again(finetuned: Artifact) -> None:
    before = (finetuned.path / "model.safetensors").stat().st_mtime_ns
    assert main([str(finetuned.path)]) == 0
    assert (finetuned.path / "model.safetensors").stat().st_mtime_ns == before


def test_reports_progress_in_steps(artifacts: Artifacts, tmp_path: Path) -> None:
    draft = step_draft(tmp_path / "c", "model", "finetune", settings_of(SETTINGS.model_copy(update={"epochs": 1})), artifacts)
    assert main([str(draft.path)]) == 0
    lines = [json.loads(line) for line in (draft.scratch() / "progress.jsonl").read_text().splitlines()]
    assert lines[-1] == {"done": lines[-1]["total"], "total": lines[0]["total"], "unit": "steps", "note": "done"}


def test_bf16_learns_too(artifacts: Artifacts, tmp_path: Path) -> None:
    draft = step_draft(tmp_path / "d", "model", "finetune", settings_of(SETTINGS.model_copy(update={"precision": "bf16"})), artifacts)
    assert main([str(draft.path)]) == 0
    part = draft.part("finetune", "model")
    assert part is not None and part.facts["test"]["accuracy"] > 0.9


def test_goes_on_without_compile_where_nothing_compiles(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("model.finetune.__main__.compiler_problem", lambda: "no C++ compiler is installed")
    changes = {"epochs": 1, "compile": True}
    draft = step_draft(tmp_path / "e", "model", "finetune", settings_of(SETTINGS.model_copy(update=changes)), artifacts)
    assert main([str(draft.path)]) == 0
    assert "fine-tuning without torch.compile: no C++ compiler is installed" in capsys.readouterr().out
    part = draft.part("finetune", "model")
    assert part is not None and part.facts["environment"]["compiled"] is False


GOOD = [review(f"好{n}", subset, "pos") for n, subset in enumerate(("train", "validation", "test"))]
BAD = [review(f"坏{n}", subset, "neg") for n, subset in enumerate(("train", "validation", "test"))]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([*GOOD, *BAD], {"source": "elsewhere"}, "source 'elsewhere' has no labelled documents: none of its 0 documents"),
        ([*GOOD, *BAD], {"label_field": "stars_given"}, "none of its 6 documents .* has the key 'stars_given' in `extra`"),
        ([*GOOD, *BAD[1:]], {}, "label 'neg' of the validation subset does not occur in train"),
        ([*GOOD, *BAD[:1]], {"max_tokens": 33}, r"finetune\.max_tokens 33 is not from 2 to 32, the context of model/small@"),
        ([GOOD[0], GOOD[2], *BAD[:1]], {}, "no labelled document fell into the validation subset"),
        (GOOD, {}, "all training documents have the label 'pos'"),
        (
            [*GOOD, *BAD, review("一般", "train", 3.5)],
            {},
            r"reviews.jsonl \(source reviews, record 3\): 'label' is 3.5; labels are whole numbers",
        ),
        ([*GOOD, *BAD, review("一般", "train", "")], {}, "whole numbers or strings of one character or more"),
    ],
)
def test_says_what_is_wrong_with_labels(
    rows: Sequence[Row], changes: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = commit_all(tmp_path, rows)
    draft = step_draft(tmp_path / "draft", "model", "finetune", settings_of(SETTINGS.model_copy(update=changes)), artifacts)
    assert main([str(draft.path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(f"^error: .*{message}", line)


def test_refuses_tokens_of_other_documents(artifacts: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = commit_all(tmp_path, small_reviews()[::-1])
    mixed = Artifacts(artifacts.documents, other.tokens, artifacts.tokenizer, artifacts.pretrain)
    draft = step_draft(tmp_path / "draft", "model", "finetune", settings_of(SETTINGS), mixed)
    assert main([str(draft.path)]) == 1
    assert "its rows are not those of" in capsys.readouterr().err


def test_padding_and_company_do_not_change_an_answer() -> None:
    torch.manual_seed(0)
    classifier = Classifier(DecoderModel(TINY, 100), ["a", "b", "c"], Reading(bos=0, eos=1, pad=2, max_tokens=32)).eval()
    texts = [classifier.reading.ids(np.arange(3, 3 + n)) for n in (0, 1, 5, 17, 29, 60)]
    assert [len(text) for text in texts] == [2, 3, 7, 19, 31, 32]
    assert texts[-1][0] == 0 and texts[-1][-1] == 1
    together = classifier.probabilities(texts)
    alone = torch.cat([classifier.probabilities([text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.sum(-1), torch.ones(6))


def test_batches_hold_every_text_once_at_one_length() -> None:
    lengths = [8, 16, 8, 8, 16, 24, 8, 8, 16, 8]
    cut = batches(lengths, 4, seed=1, epoch=0)
    assert sorted(number for rows in cut for number in rows) == list(range(10))
    assert all(len({lengths[number] for number in rows}) == 1 and len(rows) <= 4 for rows in cut)
    assert cut == batches(lengths, 4, seed=1, epoch=0)
    assert cut != batches(lengths, 4, seed=1, epoch=1) != batches(lengths, 4, seed=2, epoch=1)
    assert len(batches(lengths, 4, seed=-1, epoch=0)) == len(cut)


def test_save_and_load_keep_weights_and_trim_the_vocabulary(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = Classifier(DecoderModel(TINY, 100), ["neg", "正"], Reading(0, 1, 2, 16), dropout=0.5)
    saved.save(tmp_path)
    before = torch.get_rng_state()
    loaded = load_classifier(tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert (loaded.labels, loaded.reading, loaded.training) == (("neg", "正"), saved.reading, False)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(Mismatch, match=r"model\.safetensors: does not fit .*config\.json"):
        load_classifier(tmp_path)


def test_a_pretrained_model_does_not_classify(artifacts: Artifacts) -> None:
    with pytest.raises(Mismatch, match=r"config\.json: is a \['LlamaForCausalLM'\].* only fine-tuned models classify"):
        classify(artifacts.pretrain.path, ["好"])


@pytest.mark.parametrize("shape", [{}, {"qk_norm": True, "head_width": 8}, {"family": "gpt2", "kv_heads": 2}])
def test_a_classifier_of_any_shape_comes_back(tmp_path: Path, shape: dict[str, Any]) -> None:
    torch.manual_seed(0)
    decoder = DecoderModel(recipe.Decoder(**TINY.as_json() | shape), 100)
    classifier = Classifier(decoder, ["neg", "pos"], Reading(0, 1, 2, 32)).eval()
    classifier.save(tmp_path)
    texts = [classifier.reading.ids(range(3, 3 + length)) for length in (1, 9, 30)]
    assert torch.equal(load_classifier(tmp_path).probabilities(texts), classifier.probabilities(texts))
    alone = torch.cat([classifier.probabilities([text]) for text in texts])
    torch.testing.assert_close(classifier.probabilities(texts), alone)
    if not shape:  # as before there were other shapes: the step's output stays
        assert json.loads((tmp_path / "config.json").read_text())["decoder"].keys() == recipe.Decoder().as_json().keys()

"""The model: fine-tuning on labelled documents, from a draft to a saved classifier that answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from model.checkpoint import Mismatch, load_model
from model.finetune import classify, load_headed
from model.finetune.__main__ import main
from model.finetune.reading import reading_of
from model.finetune.samples import Sample, padded_length, shuffled
from model.hf.export import export_model
from schemas import recipe
from schemas.artifact import Artifact
from schemas.fingerprint import digest_file
from tests.model.labelled import Artifacts, Row, commit_all, review, settings_of, small_reviews, step_draft

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
    assert facts["test"]["accuracy_standard_error"] == pytest.approx((p * (1 - p) / n) ** 0.5, rel=0.15)  # by a bootstrap
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
        ([*GOOD, *BAD[:1]], {"max_tokens": 33}, r"max_tokens 33 is not from 2 to 32, the context of the model in "),
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


def test_batches_hold_every_sample_once_at_one_length() -> None:
    lengths = [8, 16, 7, 3, 16, 24, 8, 1, 12, 8]
    samples = [Sample(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(1, np.int64)) for n in lengths]
    cut = shuffled(samples, 4, 64, seed=1, epoch=0)
    assert sorted(number for rows in cut for number in rows) == list(range(10))
    assert all(len({padded_length(lengths[number], 64) for number in rows}) == 1 and len(rows) <= 4 for rows in cut)
    assert cut == shuffled(samples, 4, 64, seed=1, epoch=0)
    assert cut != shuffled(samples, 4, 64, seed=1, epoch=1) != shuffled(samples, 4, 64, seed=2, epoch=1)
    assert len(shuffled(samples, 4, 64, seed=-1, epoch=0)) == len(cut)


def test_a_pretrained_model_does_not_classify(artifacts: Artifacts) -> None:
    with pytest.raises(Mismatch, match=r"config\.json: does not describe a fine-tuned model: is a \['LlamaForCausalLM'\]"):
        classify(artifacts.pretrain.path, ["好"])


def test_transformers_reads_and_answers_as_we_do(finetuned: Artifact, tmp_path: Path) -> None:
    export_model(finetuned.path, tmp_path / "out")
    assert not (tmp_path / "out" / "generation_config.json").exists()
    texts = [*[row.text for row in small_reviews() if row.subset == "test" and row.extra][:40], "", "房间" * 100]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = reading_of(finetuned.path, json.loads((finetuned.path / "config.json").read_text()), 32).read(texts)
    assert [e.ids for e in ids] == tokenizer(texts, truncation=True, max_length=32)["input_ids"]
    pipeline = transformers.pipeline("text-classification", model=str(tmp_path / "out"))
    found = pipeline(texts, batch_size=8, truncation=True, max_length=32)
    for (label, probability), theirs in zip(classify(finetuned.path, texts), found, strict=True):
        assert label == theirs["label"] and probability == pytest.approx(theirs["score"], abs=1e-4)


def test_a_fine_tuned_model_is_not_fine_tuned_again(
    artifacts: Artifacts, finetuned: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = replace(artifacts, pretrain=finetuned)
    draft = step_draft(tmp_path / "draft", "model", "finetune", settings_of(SETTINGS), again)
    assert main([str(draft.path)]) == 1
    assert "is fine-tuned already (LlamaForSequenceClassification): start from a pretrained model" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["lora", "dora", "head"])
def test_less_than_all_may_be_trained_and_what_is_saved_is_a_plain_model(method: str, artifacts: Artifacts, tmp_path: Path) -> None:
    changed = SETTINGS.model_copy(update={"method": method, "epochs": 2})
    draft = step_draft(tmp_path / "draft", "model", "finetune", settings_of(changed), artifacts)
    assert main([str(draft.path)]) == 0
    facts = draft.part("finetune", "model").facts  # type: ignore[union-attr]
    assert 0 < facts["trained_parameters"] < facts["parameters"] / 2
    model, _ = load_headed(draft.commit(["finetune"]).path)
    base, _ = load_model(artifacts.pretrain.path)
    same = [torch.equal(value, model.model.state_dict()[name]) for name, value in base.model.state_dict().items()]  # type: ignore[union-attr]
    assert all(same) if method == "head" else 0 < sum(same) < len(same)
    if method != "head":
        assert facts["test"]["accuracy"] > 0.8


def test_several_seeds_are_told_and_the_best_is_kept(artifacts: Artifacts, tmp_path: Path) -> None:
    changed = SETTINGS.model_copy(update={"seeds": 3, "epochs": 1, "lr": 3e-3})
    draft = step_draft(tmp_path / "draft", "model", "finetune", settings_of(changed), artifacts)
    assert main([str(draft.path)]) == 0
    facts = draft.part("finetune", "model").facts  # type: ignore[union-attr]
    assert [one["seed"] for one in facts["seeds"]] == [0, 1, 2]
    figures = [one["test"]["accuracy"] for one in facts["seeds"]]
    assert facts["over_seeds"]["accuracy"] == {"mean": pytest.approx(np.mean(figures)), "deviation": pytest.approx(np.std(figures, ddof=1))}
    best = max(one["validation"]["accuracy"] for one in facts["seeds"])
    assert facts["validation"]["accuracy"] == best == facts["seeds"][facts["seed"]]["validation"]["accuracy"]


def test_ends_early_when_nothing_gets_better(artifacts: Artifacts, tmp_path: Path) -> None:
    changed = SETTINGS.model_copy(update={"epochs": 40, "patience": 2})
    draft = step_draft(tmp_path / "draft", "model", "finetune", settings_of(changed), artifacts)
    assert main([str(draft.path)]) == 0
    rows = [json.loads(line) for line in (draft.commit(["finetune"]).path / "metrics.jsonl").read_text().splitlines()]
    by_epoch = [row["validation_accuracy"] for row in rows if "validation_accuracy" in row]
    best = by_epoch.index(max(by_epoch))
    assert len(by_epoch) == best + 3 < 40

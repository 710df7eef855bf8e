"""The model: the evaluate step on a draft, from artifacts to results.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.evaluate.__main__ import main
from model.evaluate.rounding import rounded
from schemas import recipe
from schemas.arrow import read_shard
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.results import Result
from tests.model.labelled import Artifacts, commit_all, settings_of, small_reviews, step_draft

SETTINGS = recipe.Evaluate(max_tokens=1500, ngram_orders=(2, 3), prompts=("房间", "The "), sample_tokens=12)
FINETUNE = recipe.Finetune(source="reviews", epochs=1, batch=8, max_tokens=32, lr=1e-2, precision="float32")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return commit_all(tmp_path_factory.mktemp("store"), small_reviews())


def evaluated(draft: Draft) -> dict:
    assert main([str(draft.path)]) == 0
    return json.loads((draft.path / "results.json").read_bytes())


@pytest.fixture(scope="module")
def finetuned(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    from model.finetune.__main__ import main as finetune

    draft = step_draft(tmp_path_factory.mktemp("model") / "f", "model", "finetune", settings_of(FINETUNE), artifacts)
    assert finetune([str(draft.path)]) == 0
    return artifacts.with_finetuned(draft.commit(["finetune"]))


def test_measures_models_beside_their_baselines(finetuned: Artifacts, tmp_path: Path) -> None:
    draft = step_draft(tmp_path / "a", "evaluation", "evaluate", settings_of(SETTINGS), finetuned)
    results = evaluated(draft)
    modelling = results["language_modelling"]
    assert modelling["task"], modelling["version"] == ("language_modelling", 1)
    assert set(modelling["languages"]) == {"en", "zh"}
    # In these artifacts a document's source in the token shards is its language.
    assert modelling["sources"] == modelling["languages"]
    assert sum(group["tokens"] for group in modelling["languages"].values()) <= SETTINGS.max_tokens
    for group in modelling["languages"].values():
        assert set(group["systems"]) == {"model", "kneser_ney_2", "kneser_ney_3"}
        for system in group["systems"].values():
            low, high = system["bits_per_byte_interval"]
            assert 0 < low <= system["bits_per_byte"] <= high
        ours, base = (group["systems"][name]["bits_per_byte"] for name in ("model", "kneser_ney_2"))
        assert group["relative_to_order_2"] == pytest.approx(ours / base - 1, abs=1e-4)
        assert group["relative_to_order_2"] > 0  # the decoder never saw a text
    classification = results["classification"]
    assert classification["n"] == 150 and set(classification["systems"]) == {"model", "bag_of_words", "majority"}
    assert classification["systems"]["majority"]["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert classification["systems"]["bag_of_words"]["accuracy"] > 0.9
    assert [sample["prompt"] for sample in results["samples"]] == list(SETTINGS.prompts)
    assert all(isinstance(sample["text"], str) for sample in results["samples"])
    assert finetuned.finetune is not None
    test = finetuned.finetune.facts("finetune")["test"]
    assert classification["systems"]["model"]["accuracy"] == pytest.approx(test["accuracy"], abs=1e-6)
    tasks = {one["task"]: Result.from_json(one) for one in results["tasks"]}
    assert set(tasks) == {
        "language_modelling.en",
        "language_modelling.zh",
        "language_modelling.from.en",
        "language_modelling.from.zh",
        "reviews",
    }
    for lang, group in modelling["languages"].items():
        task = tasks[f"language_modelling.{lang}"]
        assert task.n == group["documents"] and set(task.systems) == set(group["systems"])
        for system, figures in group["systems"].items():
            for name in ("bits_per_byte", "perplexity"):
                assert task.systems[system][name].value == pytest.approx(figures[name], rel=1e-4)
        assert read_shard(draft.path / task.items).num_rows == task.n * len(task.systems)
    reviews = tasks["reviews"].systems
    for system, figures in classification["systems"].items():
        assert reviews[system]["accuracy"].value == figures["accuracy"] and reviews[system]["macro_f1"].value == figures["macro_f1"]
    facts = draft.commit(["evaluate"]).facts("evaluate")
    assert facts["accuracy"]["model"] == classification["systems"]["model"]["accuracy"]
    assert facts["bits_per_byte"]["zh"]["kneser_ney_3"] == modelling["languages"]["zh"]["systems"]["kneser_ney_3"]["bits_per_byte"]


def test_equal_runs_give_equal_bytes(artifacts: Artifacts, tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        draft = step_draft(tmp_path / name, "evaluation", "evaluate", settings_of(SETTINGS), artifacts)
        assert evaluated(draft)["classification"] is None
        found.append(((draft.path / "results.json").read_bytes(), draft.commit(["evaluate"]).manifest.content_digest))
    assert found[0] == found[1]


def test_a_model_that_learned_a_task_of_files_is_not_asked_documents(artifacts: Artifacts, tmp_path: Path) -> None:
    made = Draft.start(tmp_path / "f", "model", "small", Identity("finetune", 1, {"source": None}, {}, {}))
    (made.scratch() / "x").write_text("x")
    made.add_part("finetune", "model", [made.adopt_as(made.scratch() / "x", "x", "x")])
    settings = SETTINGS.model_copy(update={"ngram_orders": (), "prompts": ()})
    both = artifacts.with_finetuned(made.commit(["finetune"]))
    assert evaluated(step_draft(tmp_path / "a", "evaluation", "evaluate", settings_of(settings), both))["classification"] is None


def test_measures_the_subset_asked_for_and_reports_progress(artifacts: Artifacts, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"subset": "validation", "ngram_orders": (), "prompts": ()})
    draft = step_draft(tmp_path / "a", "evaluation", "evaluate", settings_of(settings), artifacts)
    results = evaluated(draft)
    assert (results["subset"], results["samples"]) == ("validation", [])
    lines = [json.loads(line) for line in (draft.scratch() / "progress.jsonl").read_text().splitlines()]
    assert lines[-1]["done"] == lines[-1]["total"] == sum(g["tokens"] for g in results["language_modelling"]["languages"].values())
    assert lines[-1]["unit"] == "tokens"


def test_says_that_nothing_is_held_out(artifacts: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = step_draft(tmp_path / "a", "evaluation", "evaluate", settings_of(SETTINGS.model_copy(update={"max_tokens": 2})), artifacts)
    assert main([str(draft.path)]) == 1
    assert "no text of the test subset fits evaluate.max_tokens 2: raise it, or corpus.held_out.test" in capsys.readouterr().err


def test_says_that_the_draft_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "has no plan.json" in capsys.readouterr().err


def test_rounds_floats_to_six_digits_and_leaves_the_rest() -> None:
    value = {"a": [1.23456789, 123456789, True, None, "0.123456789"], "b": 1234567.89, "c": 1.5e-9}
    assert rounded(value) == {"a": [1.23457, 123456789, True, None, "0.123456789"], "b": 1234570.0, "c": 1.5e-9}

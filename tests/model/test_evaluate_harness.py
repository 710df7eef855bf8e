"""lm-evaluation-harness says the same of a model through our adapter as through its own `hf` backend on the exported model."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from model.evaluate.harness import harness_results
from model.generate import Asked, Drawing, Writer
from model.hf.export import export_model
from model.metrics import value_named
from model.metrics.items import read_items
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Evaluation, Harness
from schemas.results import MODEL
from tests.model.harness_tasks import write_tasks
from tests.model.test_evaluate_likelihood import saved

TASKS = ("tiny_choice", "tiny_written")


@pytest.mark.slow
def test_the_adapter_says_what_the_hf_backend_says(tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    folder = saved(tmp_path / "model", tokenizer_artifact, "decoder")
    writer = Writer(folder)
    said = writer.write(["The list", "好的 café"], Asked(6, drawing=Drawing(temperature=0.0), stop=("\n",)))
    tasks = write_tasks(tmp_path / "tasks", [said[0].text, "nothing that is said", said[1].text])
    (tmp_path / "scratch").mkdir()
    found = {}
    for shots in (0, 2):
        settings = Evaluation(harness=Harness(tasks=TASKS if shots == 0 else TASKS[:1], folder=True), shots=shots, seed=3)
        found[shots] = {result.task: result for result in harness_results(folder, settings, str(tasks), tmp_path / "scratch")}

    import lm_eval
    from lm_eval.tasks import TaskManager

    export_model(folder, tmp_path / "hf")
    arguments = {"pretrained": str(tmp_path / "hf"), "dtype": "float32", "device": "cpu"}
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    for shots, ours in found.items():
        theirs = lm_eval.simple_evaluate(
            "hf", arguments, list(ours), num_fewshot=shots or None, task_manager=manager, batch_size=4,
            random_seed=3, numpy_random_seed=3, torch_random_seed=3, fewshot_random_seed=3,
        )  # fmt: skip
        for name, result in ours.items():
            values = theirs["results"][name]
            for metric, measure in result.systems[MODEL].items():
                assert measure.value == pytest.approx(values[f"{metric},none"], abs=1e-9), (name, metric, shots)
                assert measure.standard_error == pytest.approx(values[f"{metric}_stderr,none"], abs=1e-9)
            assert (result.n, result.shots, result.kind) == (8, shots, "lm-eval")
            if shots == 2:  # of which the items are the last that were written
                kept = read_shard(tmp_path / "scratch" / "items" / "tiny_choice.arrow").to_pylist()
                for item, sample in zip(kept, sorted(theirs["samples"][name], key=lambda one: one["doc_id"]), strict=True):
                    own = [one for one, _ in ast.literal_eval(item["prediction"])]
                    assert own == pytest.approx([one for one, _ in sample["filtered_resps"]], abs=1e-4)
                    assert abs(own[0] - own[1]) > 0.1  # the choices are told apart
    result = found[0]["tiny_written"]
    assert 0 < result.systems[MODEL]["exact_match"].value < 1
    judged = read_items(tmp_path / "scratch" / "items" / "tiny_written.arrow", MODEL)
    assert judged.statistics["exact_match"][:, 0].mean() == result.systems[MODEL]["exact_match"].value
    assert value_named("acc")(judged.statistics["exact_match"].sum(0)) == result.systems[MODEL]["exact_match"].value  # a mean, too
    assert "task:1.0" in result.systems[MODEL]["exact_match"].signature and result.version == 1
    assert found[0]["tiny_choice"].version == 2 and set(found[0]["tiny_choice"].systems[MODEL]) == {"acc", "acc_norm"}
    with pytest.raises(RequestError, match="--lm-eval other: there is no such task: .* has tiny_choice, tiny_written"):
        harness_results(folder, Evaluation(harness=Harness(tasks=("other",), folder=True)), str(tasks), tmp_path / "scratch")


def test_the_harness_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(RequestError, match=r"--lm-eval: lm-evaluation-harness is not installed .*: pip install 'gristmill\[lm-eval\]'"):
        harness_results(tmp_path, Evaluation(harness=Harness(tasks=("x",))), None, tmp_path)

"""`gristmill compare` tells what differs, and says why where that can't be told."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.comparing import compare_models, lines_of
from flows.evaluated import evaluated
from schemas.artifact import Damaged
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.results import MODEL
from schemas.store import Store
from tests.flows import cards
from tests.flows.evaluations import answers, evaluate, model, one, wanted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def run(store: Store, *arguments: str) -> str:
    found = CliRunner().invoke(app, [*arguments, "--store", str(store.root)], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout


def test_the_better_model_is_named(store: Store) -> None:
    one(store, "good", 0.9, seed=1)
    one(store, "poor", 0.7, seed=2)
    said = run(store, "compare", "poor", "model/good").splitlines()
    assert said[0].split() == ["task", "metric", "n", "poor", "good", "difference", "95", "%", "interval", "p", "corrected"]
    assert said[1].startswith("sentiment  accuracy  400  ")
    assert said[-2].startswith("good is better than poor on sentiment: accuracy 0.") and "McNemar p < 0.001" in said[-2]
    assert said[-1].startswith("good is better than poor on sentiment: macro_f1 0.") and "bootstrap p < 0.001" in said[-1]
    value = json.loads(run(store, "compare", "poor", "good", "--json"))
    assert [found["winner"] for found in value["comparisons"]] == ["b", "b"] and value["refused"] == []
    assert value["comparisons"][0]["verdict"] == said[-2] and value["comparisons"][0]["test"] == "McNemar"


def test_equals_are_not_told_apart(store: Store) -> None:
    one(store, "x", 0.8, seed=1)
    one(store, "y", 0.8, seed=2)
    assert all("no difference can be told between x and y" in line for line in lines_of(compare_models(store, "x", "y", None))[-2:])


def test_the_newest_evaluation_of_each_task_counts_and_evaluations_can_be_named(store: Store) -> None:
    truth = wanted(100)
    m, other = model(store, "m"), model(store, "other")
    old = evaluate(store, m, {"a": {MODEL: truth}, "b": {MODEL: truth}}, truth)
    evaluate(store, m, {"a": {MODEL: answers(0.5, truth, 1)}}, truth)
    evaluate(store, other, {"a": {MODEL: truth}, "b": {MODEL: truth}, "c": {MODEL: truth}}, truth, role="finetune")
    found = {(c.task, c.metric): (c.a, c.b) for c in compare_models(store, "m", "other", None).comparisons}
    assert found["b", "accuracy"] == (1, 1) and found["a", "accuracy"][0] < 0.7
    assert set(found) == {(task, metric) for task in "ab" for metric in ("accuracy", "macro_f1")}
    named = compare_models(store, old.reference, "evaluation/m", "a")
    assert (named.a, named.b) == (old.reference, "evaluation/m") and named.comparisons[0].a == 1


def test_results_that_do_not_compare_are_refused_with_the_reason(store: Store) -> None:
    one(store, "x", 0.9, seed=1)
    one(store, "again", 0.9, seed=1, version=2)
    one(store, "fewer", 0.9, seed=1, n=300)
    for name, why in {
        "again": "not compared: sentiment: the version of the task differs: 1 against 2",
        "fewer": "not compared: sentiment: the digest of the data differs: ",
    }.items():
        assert run(store, "compare", "x", name).startswith(why)
    one(store, "short", 0.9, seed=1, n=300, data=evaluated(store)[-1].result.data)
    assert "the items differ: 100 are only among the first model's, as '00300'" in run(store, "compare", "x", "short")


def test_a_metric_of_another_signature_is_refused_alone(store: Store) -> None:
    one(store, "x", 0.9, seed=1)
    one(store, "y", 0.8, seed=2, labels=("neg", "neutral", "pos"))
    compared = compare_models(store, "x", "y", None)
    assert [found.metric for found in compared.comparisons] == ["accuracy"]
    assert lines_of(compared)[-1] == (
        "not compared: sentiment, macro_f1: the signature differs: macro_f1|labels:2|v1 against macro_f1|labels:3|v1"
    )


def test_what_only_one_was_judged_by_is_refused(store: Store) -> None:
    one(store, "x", 0.9, seed=1)
    one(store, "y", 0.8, seed=2, metrics=("mcc", "accuracy"))
    compared = compare_models(store, "x", "y", None)
    assert [found.metric for found in compared.comparisons] == ["accuracy"]
    assert [(refused.metric, refused.why) for refused in compared.refused] == [
        ("macro_f1", "only the first model was judged by it"),
        ("mcc", "only the second model was judged by it"),
    ]


def test_what_is_not_there_is_said(store: Store) -> None:
    one(store, "x", 0.9, seed=1)
    one(store, "y", 0.9, seed=1, task="ner")
    model(store, "new")
    for arguments, why in {
        ("x", "new"): r"model/new@\w+-\w+: has not been evaluated on any task",
        ("x", "y"): "no task is in both: x has sentiment and y has ner",
        ("x", "y", "ner"): "--task ner: is not in both: x has sentiment and y has ner",
        ("x", "documents/x"): "'documents/x' is not in",
    }.items():
        with pytest.raises(RequestError, match=why):
            compare_models(store, arguments[0], arguments[1], arguments[2] if len(arguments) > 2 else None)


def test_evaluations_of_before_there_were_tasks_are_passed_by(store: Store) -> None:
    m = model(store, "m")
    for name, text in (("old", '{"subset": "test", "samples": []}'), ("older", None)):
        draft = store.start("evaluation", name, Identity("evaluate", 1, {"n": name}, {"pretrain": m.manifest.content_digest}, {}))
        (draft.scratch() / "r").write_text(text or "x")
        draft.add_part("evaluate", "r", [draft.adopt_as(draft.scratch() / "r", "results.json", "results" if text else "other")])
        draft.commit(["evaluate"])
    assert evaluated(store) == []
    with pytest.raises(RequestError, match="has no results of tasks"):
        compare_models(store, "evaluation/old", "evaluation/older", None)


def test_probes_do_not_keep_other_tasks_from_being_compared(store: Store) -> None:
    for seed, (name, skill) in enumerate({"poor": 0.6, "good": 0.9}.items()):
        one(store, name, skill, seed)
        cards.kept(store, store.find(f"model/{name}"), "harm")
    found = compare_models(store, "poor", "good", None)
    assert {done.task for done in found.comparisons} == {"sentiment"}
    assert [(refused.task, refused.why) for refused in found.refused] == [("harm", "a probe keeps no items: see its intervals")]


def test_a_damaged_file_is_named(store: Store) -> None:
    x = one(store, "x", 0.9, seed=1)
    one(store, "y", 0.9, seed=2)
    (x.path / "items" / "sentiment.arrow").write_bytes(b"nothing")
    with pytest.raises(Damaged, match=r"items/sentiment.arrow: not a readable Arrow file"):
        compare_models(store, "x", "y", None)
    results = json.loads((x.path / "results.json").read_text())
    results["tasks"][0]["headline"] = "bleu"
    (x.path / "results.json").write_text(json.dumps(results))
    with pytest.raises(Damaged, match=r"results.json: not the results of an evaluation: KeyError: 'bleu'"):
        compare_models(store, "x", "y", None)
    (x.path / "results.json").write_text('{"tasks": [{"task": "sentiment"}]}')
    with pytest.raises(Damaged, match=r"results.json: not the results of an evaluation: KeyError"):
        compare_models(store, "x", "y", None)

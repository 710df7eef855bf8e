"""The evaluate-tasks step on a draft, from a model and files to results with items."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluate.simple import lead, nearest, overlap, simple_answers
from model.evaluate.tasks import main
from model.examples import Answer, Asked, Classified, Tagged, Written
from model.metrics.items import read_items
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.recipe import Evaluation, Harness, HeldOutText, Task, TaskData
from schemas.results import MODEL, Result
from tests.model import test_finetune_tasks, test_finetune_writing
from tests.model.labelled import commit_all, settings_of, small_reviews, step_draft
from tests.model.test_evaluate import FINETUNE
from tests.model.test_evaluate_likelihood import saved

taught, base = test_finetune_tasks.taught, test_finetune_tasks.base


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    label = {row.text: json.loads(row.extra)["label"] for row in small_reviews() if row.extra}
    rows = [{"text": text, "label": label} for text, label in label.items()]
    sums = [{"prompt": f"{n} and {n * 7919 % 83} make", "target": ["even", "odd"][n % 2]} for n in range(60)]
    asked = [
        {"question": f"Where is {name}?", "context": f"It rained, {name} is in {place}. We left.", "answers": [place]}
        for name, place in zip(("Ann", "Ben", "Eva", "Tom"), ("Rome", "Paris", "Oslo", "Bonn"), strict=True)
    ]
    for name, found in (("reviews", rows), ("sums", sums), ("asked", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))
    return folder


def draft_of(folder: Path, model: Path, settings: Evaluation, roots: Mapping[str, str], inputs: Mapping[str, Path] | None = None) -> Draft:
    identity = Identity("evaluate-tasks", 1, settings.as_json(), {"model": "0" * 64}, {})
    draft = Draft.start(folder, "evaluation", "small", identity)
    draft.assign(inputs={"model": model, **(inputs or {})}, roots=dict(roots), run={"ranks": 1, "threads_per_rank": 1})
    return draft


def artifact_of(folder: Path, saved: Path) -> Path:
    """A committed model artifact of a saved folder's files."""
    draft = Draft.start(folder, "model", "small", Identity("pretrain", 1, {}, {}, {}))
    roles = {"model.safetensors": "weights", "config.json": "config", "tokenizer.json": "tokenizer"}
    copies = {name: Path(shutil.copyfile(saved / name, draft.scratch() / name)) for name in roles}
    draft.add_part("pretrain", "model", [draft.adopt_as(copies[name], name, role) for name, role in roles.items()])
    return draft.commit(["pretrain"]).path


def results(draft: Draft) -> dict[str, Result]:
    assert main([str(draft.path)]) == 0
    found = json.loads((draft.path / "results.json").read_bytes())["tasks"]
    return {one["task"]: Result.from_json(one) for one in found}


def test_a_decoder_is_asked_in_words_beside_baselines(files: Path, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    model = artifact_of(tmp_path / "model", saved(tmp_path / "saved", tokenizer_artifact, "decoder"))
    tasks = (
        Task(name="reviews", kind="classification", data=TaskData(train="x", lang="zh")),
        Task(name="sums", kind="generation", data=TaskData(train="x"), metrics=("exact_match", "chrf"), max_tokens=4),
        Task(name="asked", kind="answers", data=TaskData(test="x"), max_tokens=4),
    )
    roots = {
        "reviews/train": str(files / "reviews.jsonl"),
        "sums/train": str(files / "sums.jsonl"),
        "asked/test": str(files / "asked.jsonl"),
    }
    settings = Evaluation(tasks=tasks[:2], shots=1, limit=20, seed=4)
    first = draft_of(tmp_path / "a", model, settings, roots)
    found = results(first)
    reviews, sums = found["reviews"], found["sums"]
    assert set(reviews.systems) == {MODEL, "majority", "bag_of_words"} and set(sums.systems) == {MODEL, "copy", "lead", "nearest"}
    assert (reviews.headline, reviews.shots, reviews.seed, reviews.n) == ("accuracy", 1, 4, 20)
    for result in found.values():
        for system, measures in result.systems.items():
            items = read_items(first.path / result.items, system)
            assert len(items.names) == result.n
            for metric, measure in measures.items():
                assert measure.interval[0] - 1e-6 <= measure.value <= measure.interval[1] + 1e-6, (system, metric)
    rows = read_shard(first.path / reviews.items).to_pylist()
    assert {row["prediction"] for row in rows} <= {"neg", "pos"}
    assert reviews.systems["bag_of_words"]["accuracy"].value > reviews.systems["majority"]["accuracy"].value
    again = draft_of(tmp_path / "b", model, settings, roots)
    assert results(again) == found
    assert first.commit(["evaluate-tasks"]).manifest.content_digest == again.commit(["evaluate-tasks"]).manifest.content_digest
    asked = results(draft_of(tmp_path / "c", model, Evaluation(tasks=tasks[2:]), roots))["asked"]
    assert asked.n == 4 and asked.systems["overlap"]["f1"].value == pytest.approx(0.4)  # "Ann is in Rome" for "Rome"
    assert asked.notes == ("2 of 4 prompts are longer than the model's context: it did not see their start",)


def test_a_fine_tuned_model_answers_its_kind_and_names_labels_that_it_does_not_know(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model.finetune.__main__ import main as finetune

    artifacts = commit_all(tmp_path / "store", small_reviews())
    draft = step_draft(tmp_path / "f", "model", "finetune", settings_of(FINETUNE), artifacts)
    assert finetune([str(draft.path)]) == 0
    model = draft.commit(["finetune"])
    task = Task(name="reviews", kind="classification", data=TaskData(test="x"))
    roots = {"reviews/test": str(files / "reviews.jsonl")}
    found = results(draft_of(tmp_path / "a", model.path, Evaluation(tasks=(task,)), roots))["reviews"]
    assert found.systems[MODEL]["accuracy"].value > 0.9 and set(found.systems) == {MODEL}

    def refused(task: Task, name: str) -> str:
        path = {f"{task.name}/test": str(files / name)}
        draft = draft_of(tmp_path / f"refused-{task.kind}-{name}", model.path, Evaluation(tasks=(task,)), path)
        assert main([str(draft.path)]) == 1
        return capsys.readouterr().err

    for name, settings in (("text", Evaluation(text=HeldOutText(name="text"))), ("lm-eval", Evaluation(harness=Harness(tasks=("x",))))):
        assert main([str(draft_of(tmp_path / f"refused-{name}", model.path, settings, {}).path)]) == 1
        assert f"--{name}: " in (said := capsys.readouterr().err) and "was fine-tuned: ask it a task of its kind" in said
    (files / "stars.jsonl").write_text('{"text": "很好", "label": "good"}\n{"text": "太差", "label": "neg"}\n')
    assert "doesn't know the label 'good': the task has the labels good, neg; the model has neg, pos" in refused(task, "stars.jsonl")
    asked = Task(name="asked", kind="answers", data=TaskData(test="x"))
    assert "task asked: is answers, and the model is a LlamaForSequenceClassification, taught classification" in refused(
        asked, "asked.jsonl"
    )


def test_tags_that_a_model_does_not_know_are_mistakes_unless_it_knows_none(
    base: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"words": ["red", "stone", str(n)], "tags": ["B-COL", "O", "O"]} for n in range(60)]
    model, _ = taught(base, tmp_path / "taught", {"kind": "tagging"}, rows, epochs=1)
    task = Task(name="tags", kind="tagging", data=TaskData(train="x", test="x"), metrics=("accuracy", "entity_f1"))
    asked = [{"words": ["red", "river"], "tags": ["B-COL", "B-RIV"]}, {"words": ["blue", "stone"], "tags": ["B-COL", "O"]}]
    for name, found in (("train", rows[:9]), ("some", asked), ("none", [{"words": ["x"], "tags": ["B-NEW"]}])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    roots = {"tags/train": str(tmp_path / "train.jsonl"), "tags/test": str(tmp_path / "some.jsonl")}
    found = results(draft_of(tmp_path / "a", model.path, Evaluation(tasks=(task,)), roots))["tags"]
    assert set(found.systems) == {MODEL, "majority", "known_words"} and found.systems["known_words"]["accuracy"].value == 0.5
    assert "tags that the model doesn't know, each a mistake: B-RIV" in found.notes
    draft = draft_of(tmp_path / "b", model.path, Evaluation(tasks=(task,)), {"tags/test": str(tmp_path / "none.jsonl")})
    assert main([str(draft.path)]) == 1
    assert "the model doesn't know the label 'B-NEW': the task has the labels B-NEW; the model has O, B-COL" in capsys.readouterr().err


def test_a_model_that_was_taught_to_write_answers_as_it_did_when_it_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = test_finetune_writing.commit_base(tmp_path / "base", test_finetune_writing.DECODER)
    kind = {"kind": "generation", "metrics": ["rouge_l", "chrf"]}
    rows = test_finetune_writing.translations(150)
    model = test_finetune_writing.taught(start, tmp_path, kind, rows, epochs=2)
    task = Task(name="small", data={"train": "x"}, prompt="{prompt}, in capitals:", **kind)
    roots = {"small/train": str(tmp_path / "rows.jsonl")}
    draft = draft_of(tmp_path / "a", model.path, Evaluation(tasks=(task,)), roots)
    found = results(draft)["small"]
    told = model.facts("finetune")["test"]
    assert {name: measure.value for name, measure in found.systems[MODEL].items()} == pytest.approx(
        {name: told[name] for name in ("rouge_l", "chrf")}, rel=1e-4
    )
    draft = draft_of(tmp_path / "b", model.path, Evaluation(tasks=(task,), shots=1), roots)
    assert main([str(draft.path)]) == 1
    assert "a fine-tuned model is asked without examples: leave --shots out" in capsys.readouterr().err


@given(st.text(max_size=80), st.text(max_size=80))
def test_what_is_cut_from_a_context_stands_in_it(question: str, context: str) -> None:
    assert overlap(question, context) in context and lead(context) in context


def test_simple_systems_answer_by_their_rule() -> None:
    train = [Tagged("1", ("Ann", "is", "Ann"), ("B-PER", "O", "O")), Tagged("2", ("Ann", "left", "it"), ("B-PER", "O", "O"))]
    said = simple_answers("tagging", {"train": train, "validation": ()}, [Tagged("3", ("Ann", "Bob", "is"), ("O",) * 3)])
    assert said == {"majority": [["O", "O", "O"]], "known_words": [["B-PER", "O", "O"]]}
    written = [Written("1", "red apples", ("rot",)), Written("2", "green pears", ("grün",)), Written("3", "我们在家", ("home",))]
    assert nearest(written, [Written("4", "pears, green", ("x",)), Written("5", "在家", ("x",)), Written("6", "red", ("x",))]) == [
        "grün", "home", "rot",
    ]  # fmt: skip
    asked = Asked("1", "谁写了红楼梦？", "他出生了，曹雪芹写了红楼梦。很好。", (Answer("曹雪芹", 5),))
    assert simple_answers("answers", {"train": (), "validation": ()}, [asked]) == {"overlap": ["曹雪芹写了红楼梦"]}
    assert simple_answers("classification", {"train": (), "validation": ()}, [Classified("1", "x", None, "a")]) == {}

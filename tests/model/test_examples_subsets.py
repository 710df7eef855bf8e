"""Subsets: what is drawn, what copies and leaks become, and that every row is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from model.examples import Answer, Classified, Subsets, Tagged, Written, class_weights, data_digest, input_of, read_task
from model.examples.shingles import NEAR, near_ones
from schemas.errors import RequestError
from schemas.recipe.task import Task

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def task(kind: str, **data: Any) -> Task:
    return Task.model_validate({"name": "t", "kind": kind, "data": data})


def drawn(folder: Path, rows: list[Row], kind: str = "classification", **data: Any) -> Subsets:
    return read_task(task(kind, train=write(folder / "train.jsonl", rows), **data))


def review(number: int, label: str) -> Row:
    """A text that is near no other one."""
    return {"text": f"{number * 7919 % 100_003:x} {number * 104_729 % 1_000_003:x} {number}", "label": label}


MANY = [review(number, "rare" if number % 100 == 0 else "good" if number % 4 else "bad") for number in range(3_000)]


def texts(subsets: Subsets) -> dict[str, set[str]]:
    return {name: {input_of(example)[0] for example in found} for name, found in subsets.by_name.items()}


def test_each_subset_gets_its_share_of_each_label(tmp_path: Path) -> None:
    found = drawn(tmp_path, MANY, held_out=0.2)
    assert not found.report.rejects
    total = Counter(row["label"] for row in MANY)
    for subset in (found.validation, found.test):
        counts = Counter(example.label for example in subset if isinstance(example, Classified))
        for label, count in total.items():
            assert abs(counts[label] / count - 0.2) < 4 * (0.2 * 0.8 / count) ** 0.5


def test_a_row_keeps_its_subset_when_others_come_go_and_move(tmp_path: Path) -> None:
    before = texts(drawn(tmp_path, MANY[:2_000]))
    more = texts(drawn(tmp_path, MANY[::-1]))
    assert all(before[subset] <= more[subset] for subset in before)
    assert texts(drawn(tmp_path, MANY[:2_000], seed=1))["test"] != before["test"]
    given = write(tmp_path / "test.jsonl", [review(9_999, "good")])
    assert texts(drawn(tmp_path, MANY[:2_000], test=given))["validation"] == before["validation"]


@pytest.mark.parametrize("seed", range(20))
def test_a_rare_label_is_in_every_subset(tmp_path: Path, seed: int) -> None:
    rows = [review(number, "rare" if number < 3 else "often") for number in range(60)]
    for subset in drawn(tmp_path, rows, seed=seed, held_out=0.05).by_name.values():
        assert "rare" in {example.label for example in subset if isinstance(example, Classified)}


def test_no_two_subsets_share_a_context(tmp_path: Path) -> None:
    def paragraph(number: int) -> Row:
        context = review(number, "")["text"]
        asked = [{"id": f"{number}-{n}", "question": f"{n}?", "answers": [{"text": context[:2], "answer_start": 0}]} for n in range(5)]
        return {"context": context, "qas": asked}

    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph(number) for number in range(100)]}]}))
    found = read_task(task("answers", train=str(path)))
    contexts = [{input_of(example)[1] for example in subset} for subset in found.by_name.values()]
    assert all(contexts) and sum(map(len, contexts)) == len(set.union(*contexts)) == 100
    assert sum(map(len, found.by_name.values())) == 500


def test_copies_go_and_copies_with_two_labels_go_altogether(tmp_path: Path) -> None:
    rows = [
        {"text": "caf\u00e9  au lait", "label": "a"}, {"text": "cafe\u0301 au\nlait ", "label": "a"}, {"text": "other", "label": "a"},
        {"text": "both", "label": "a"}, {"text": "both", "label": "a"}, {"text": "both", "label": "b"},
    ]  # fmt: skip
    found = drawn(tmp_path, rows, held_out=1e-9)
    assert [example.id for example in found.train] == ["train.jsonl:1", "train.jsonl:3"]
    assert found.report.rejected == {"label_conflict": 3, "duplicate": 1}
    assert found.report.rejects[0].detail == f"as line 1 of {tmp_path}/train.jsonl"
    kept = drawn(tmp_path, rows, held_out=1e-9, duplicates="keep")
    assert (sum(map(len, kept.by_name.values())), kept.report.rejects) == (6, ())


def test_copies_of_words_with_other_tags_are_a_conflict(tmp_path: Path) -> None:
    rows = [{"words": "a b", "tags": "B-X O"}, {"words": "a b", "tags": "O O"}, {"words": "c", "tags": "O"}]
    found = drawn(tmp_path, rows, "tagging", held_out=1e-9)
    assert found.train == (Tagged("train.jsonl:3", ("c",), ("O",)),)
    assert found.report.rejected == {"label_conflict": 2}


def test_what_is_right_in_more_than_one_way_is_merged(tmp_path: Path) -> None:
    rows = [{"prompt": "Hi.", "target": "嗨。"}, {"prompt": "Hi. ", "target": "你好。"}, {"prompt": "Hi.", "target": "嗨。"}]
    found = drawn(tmp_path, rows, "generation", held_out=1e-9)
    assert found.train == (Written("train.jsonl:1", "Hi.", ("嗨。", "你好。")),)
    assert found.report.rejected == {"merged": 1, "duplicate": 1}
    asked = [{"question": "q", "context": "x y", "answers": [text] if text else []} for text in ("x", "y", "x", "")]
    found = drawn(tmp_path, asked[:3], "answers", held_out=1e-9)
    assert [example.answers for example in found.train] == [(Answer("x", 0), Answer("y", 2))]  # type: ignore[union-attr]
    with pytest.raises(RequestError, match="label_conflict"):
        drawn(tmp_path, asked, "answers")


def test_other_answers_in_a_dialogue_and_other_tests_of_a_problem_stay(tmp_path: Path) -> None:
    def chat(answer: str) -> Row:
        return {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": answer}]}

    found = drawn(tmp_path, [chat("a"), chat("b"), chat("a")], "chat", held_out=1e-9)
    assert (len(found.train), found.report.rejected) == (2, {"duplicate": 1})
    problems = [{"prompt": "p", "solution": "s", "tests": test} for test in ("assert 1", "assert 2", "assert 1")]
    found = drawn(tmp_path, problems, "code", held_out=1e-9)
    assert (len(found.train), found.report.rejected) == (2, {"duplicate": 1})


LONG = "The quick brown fox jumps over the lazy dog, while the cat looks on and says nothing at all."


def test_leaks_leave_what_is_learned_and_are_told(tmp_path: Path) -> None:
    train = [{"text": text, "label": "a"} for text in (LONG, LONG.replace("cat", "bat"), "only here", "in  validation")]
    validation = [{"text": text, "label": "a"} for text in ("in validation", LONG.upper(), "another")]
    test = [{"text": LONG, "label": "a"}, {"text": "unseen", "label": "new"}]
    found = drawn(tmp_path, train, validation=write(tmp_path / "validation.jsonl", validation), test=write(tmp_path / "test.jsonl", test))
    assert [[example.id for example in subset] for subset in found.by_name.values()] == [
        ["train.jsonl:3"], ["validation.jsonl:1", "validation.jsonl:3"], ["test.jsonl:1", "test.jsonl:2"],
    ]  # fmt: skip
    leaks = [(leak.subset, leak.id, leak.of_subset, leak.of_id) for leak in found.report.leaks]
    assert leaks == [
        ("validation", "validation.jsonl:2", "test", "test.jsonl:1"), ("train", "train.jsonl:1", "test", "test.jsonl:1"),
        ("train", "train.jsonl:2", "test", "test.jsonl:1"), ("train", "train.jsonl:4", "validation", "validation.jsonl:1"),
    ]  # fmt: skip
    assert found.report.rejected == {"near_leak": 2, "leak": 2}
    near = found.report.leaks[2]
    assert NEAR <= near.similarity < 1 and (near.text, near.of_text) == (LONG.replace("cat", "bat"), LONG)
    assert found.report.notes[0].startswith("2 examples were dropped")
    assert found.report.notes[2] == "labels of test that train does not have: new"
    with pytest.raises(
        RequestError, match=r"nothing is left of .*train.jsonl. The first of 1 rejects: .*line 1: leak: its input is equal to"
    ):
        drawn(tmp_path, train[:1], test=write(tmp_path / "test.jsonl", test), validation=None)


TEXTS = st.lists(st.text(st.sampled_from("ab "), max_size=14), max_size=10)


@given(TEXTS, TEXTS, st.sampled_from([1, 4, 1 << 21]))
def test_near_ones_are_those_of_all_comparisons(one: list[str], two: list[str], portion: int) -> None:
    def shingles(text: str) -> set[str]:
        plain = " ".join(text.casefold().split())
        return {plain[at : at + 5] for at in range(len(plain) - 4)}

    wanted = {}
    for i, a in enumerate(map(shingles, one)):
        indices = ((j, len(a & b) / len(a | b)) for j, b in enumerate(map(shingles, two)) if a and b)
        near = next(((j, index) for j, index in indices if index >= NEAR), None)
        if near:
            wanted[i] = near
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.examples.shingles._PAIRS", portion)
        assert near_ones(one, two) == wanted


def test_a_near_text_is_found_among_many_of_one_template() -> None:
    made = [f"Answer the question below as well as you can, in one word. {review(number, '')['text']}" for number in range(400)]
    planted = made[77].replace("77", "7!")
    assert planted != made[77]
    assert near_ones([planted], made[:77] + made[78:] + [made[77]])[0][0] == 399


ROWS = st.lists(
    st.fixed_dictionaries({}, optional={"text": st.sampled_from(["", "a", "a ", "bb", "cc", "dd"]), "label": st.sampled_from("xy")})
)


@given(ROWS, ROWS, st.sampled_from(["drop", "keep"]))
def test_every_row_is_kept_or_rejected(tmp_path_factory: pytest.TempPathFactory, train: list[Row], test: list[Row], how: str) -> None:
    folder = tmp_path_factory.mktemp("rows")
    try:
        found = drawn(folder, train, test=write(folder / "test.jsonl", test), duplicates=how)
    except RequestError:  # nothing left, which other tests look at
        return
    accounts = found.report.files
    assert {Path(file).name: account.read for file, account in accounts.items()} == {"train.jsonl": len(train), "test.jsonl": len(test)}
    assert sum(map(len, found.by_name.values())) + len(found.report.rejects) == len(train) + len(test)
    inputs = [{" ".join(text.split()) for text in some} for some in texts(found).values()]
    assert sum(map(len, inputs)) == len(set.union(*inputs))


@given(st.lists(st.sampled_from("abcd"), min_size=1))
def test_class_weights_are_those_of_scikit_learn(labels: list[str]) -> None:
    names = sorted(set(labels))
    weights = compute_class_weight("balanced", classes=np.array(names), y=labels)
    assert class_weights(labels) == pytest.approx(dict(zip(names, weights, strict=True)))


def test_the_digest_is_of_inputs_and_references_in_order() -> None:
    one, two = Classified("1", "a", None, "x"), Classified("2", "b", None, "x")
    assert data_digest([one, two]) == data_digest([Classified("other", "a", None, "x"), two]) != data_digest([two, one])
    others = [Classified("1", "a", None, "y"), Classified("1", "a", "", "x"), Classified("1", "c", None, "x")]
    assert len({data_digest([other]) for other in (one, *others)}) == 4

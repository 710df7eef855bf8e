"""What a gate says of an evaluation, and in which words; which held-out text is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.retraining.gate import as_json, bits_per_byte, judged, measure
from flows.retraining.held_out import contaminated
from flows.retraining.judging import BIAS, CHAMPION, MEMORISATION
from flows.retraining.told import lines_of, page_of
from model.evaluate.results import Asked, System, result_of
from model.metrics.gaps import widest_gap
from model.metrics.metric import Metric, mean, scored
from model.metrics.named import metric_named
from schemas.recipe import Gate
from schemas.results import MODEL, Result
from schemas.store import Store
from tests.flows.retrained import evaluation, text_results

BETTER = {"old": {"en": 0.95, "zh": 0.95}, "new": {"en": 0.9, "zh": 0.9}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def bias(folder: Path, apart: float) -> Result:
    """Of a challenger whose scores of two groups lie so far apart, and a champion whose don't."""
    draw, metric = np.random.default_rng(0), widest_gap()
    rows = {
        name: [np.array([0.5, 0.5 + far]) + draw.normal(0, 0.01, 2) for _ in range(12)] for name, far in ((MODEL, apart), (CHAMPION, 0.0))
    }
    systems = {name: System([None] * 12, {metric.name: metric.of(found, [None] * 12)}) for name, found in rows.items()}
    ids = [str(number) for number in range(12)]
    return result_of(Asked("bias.zh.gender", "probe", 1, 0, "", ids, [None] * 12, ["zh"] * 12), [metric], systems, folder)


def memorised(folder: Path, hits: int) -> Result:
    metric = Metric("verbatim_texts", "lower", "x", lambda hit, _: scored(float(hit)), mean)
    rows = {MODEL: [n < hits for n in range(256)], CHAMPION: [False] * 256}
    systems = {name: System([None] * 256, {metric.name: metric.of(found, [None] * 256)}) for name, found in rows.items()}
    ids = [f"{number:03}" for number in range(256)]
    return result_of(Asked(MEMORISATION, "probe", 1, 0, "", ids, [None] * 256, [None] * 256), [metric], systems, folder)


def test_a_better_challenger_passes_and_the_words_say_by_how_much(store: Store, tmp_path: Path) -> None:
    results = [*text_results(tmp_path, BETTER), bias(tmp_path, 0.0), memorised(tmp_path, 0)]
    found = measure(evaluation(store, results, tmp_path), Gate(), 0.01, 0)
    verdict = judged(found, Gate())
    assert verdict.passed and verdict.reasons[1] == "6 guarded figures are not worse by their margins"
    assert verdict.reasons[0].startswith("gain on old and new text: 2.0") and verdict.reasons[0].endswith(
        "more than the 0.0100 that are needed"
    )
    assert {one.guard for one in found.guards} == {"languages", BIAS, MEMORISATION}


def test_one_language_that_became_worse_bars_a_challenger_that_is_better_in_all(store: Store, tmp_path: Path) -> None:
    worse = {"old": {"en": 0.9, "zh": 1.031}, "new": {"en": 0.8, "zh": 0.8}}
    verdict = judged(measure(evaluation(store, text_results(tmp_path, worse), tmp_path), Gate(), 0.01, 0), Gate())
    assert not verdict.passed
    (reason,) = verdict.reasons
    assert reason.startswith("zh on old text: 1.9") and "bits per byte, worse by 3.1 %, which is not less than the margin of 2 %" in reason


def test_what_is_not_shown_is_said_to_be_not_shown(store: Store, tmp_path: Path) -> None:
    results = [*text_results(tmp_path, BETTER), memorised(tmp_path, 3)]
    verdict = judged(measure(evaluation(store, results, tmp_path), Gate(), 0.01, 0), Gate())
    assert "training text: 0.0000 -> 0.0117 of prompts, worse by 0.0117; that it is not worse by 0.02 is not shown" in verdict.reasons[0]


def test_bias_memorisation_and_a_broken_export_bar_a_challenger(store: Store, tmp_path: Path) -> None:
    results = [*text_results(tmp_path, BETTER), bias(tmp_path, 0.3), memorised(tmp_path, 100)]
    broken = {"pretrain": {"passed": False, "told": "the weights of the export are not those of the model"}}
    verdict = judged(measure(evaluation(store, results, tmp_path, parity=broken), Gate(), 0.01, 0), Gate())
    assert [reason.partition(":")[0] for reason in verdict.reasons] == ["zh.gender", "training text", "export of pretrain"]


def test_a_gain_that_is_too_small_or_can_t_be_measured_is_refused(store: Store, tmp_path: Path) -> None:
    made = evaluation(store, text_results(tmp_path, BETTER), tmp_path)
    assert "which is not more than the 0.5000 that are needed" in judged(measure(made, Gate(), 0.5, 0), Gate()).reasons[0]
    old = Gate(on="old")
    assert measure(made, old, 0.01, 0).gain.gain < measure(made, Gate(on="new"), 0.01, 0).gain.gain  # type: ignore[union-attr]
    (only_new,) = (tmp_path / "n",)
    only_new.mkdir()
    made = evaluation(store, text_results(only_new, {"new": {"en": 0.9}}), only_new)
    assert judged(measure(made, old, 0.01, 0), old).reasons[0].startswith("no old text is held out, so that no gain can be measured")


def test_what_can_t_be_measured_is_told_and_bars_nobody(store: Store, tmp_path: Path) -> None:
    results = text_results(tmp_path, {"old": {"en": 0.9}}) + text_results(tmp_path, {"new": {"zh": 1.5}}, n=9)
    made = evaluation(store, results, tmp_path, not_measured={"tasks": "the recipe fine-tunes nothing"})
    gate = Gate(on="old")
    found = measure(made, gate, 0.01, 0)
    assert judged(found, gate).passed
    assert found.missing == (
        "languages, zh on new text: 9 items are too few to tell; 10 are wanted",
        "tasks: the recipe fine-tunes nothing",
    )
    counts = {"old": {"documents": 40, "labelled": 0, "equal": 1, "near": 2}}
    whole = {
        "verdict": "promote",
        "reasons": ["<b>"],
        "reign": 1,
        "held_out": counts,
        "forgotten": {"pretrain": "was | made"},
        **as_json(found, gate),
    }
    page, lines = page_of("decision/r@1", whole), lines_of("decision/r@1", whole)
    assert "\\<b\\>" in page and "was \\| made" in page
    assert "  held out, old: 40 texts to predict, 0 to label; 3 stand in training text and were left out (1 equal, 2 near)" in lines
    assert "  not measured: tasks: the recipe fine-tunes nothing" in lines


def test_a_margin_in_points_of_one_is_a_hundred_times_that_for_metrics_of_a_hundred(store: Store, tmp_path: Path) -> None:
    metric, wanted = metric_named("chrf", "generation"), [[f"the cat sat on mat number {number}"] for number in range(30)]
    said = {CHAMPION: [one.replace("the", "a") for (one,) in wanted], MODEL: [one.replace("the", "an") for (one,) in wanted]}
    systems = {name: System([None] * 30, {metric.name: metric.of(answers, wanted)}) for name, answers in said.items()}
    asked = Asked("notes", "generation", 1, 0, "", [str(n) for n in range(30)], [None] * 30, [None] * 30)
    made = evaluation(store, [result_of(asked, [metric], systems, tmp_path)], tmp_path)
    (guard,) = measure(made, Gate(), 0.0, 0).guards
    assert guard.guard == "tasks" and guard.test.margin == 2.0 and 0 < guard.test.worse < 2 and guard.test.passed(0.05)


def test_a_few_texts_show_no_gain(store: Store, tmp_path: Path) -> None:
    made = evaluation(store, text_results(tmp_path, {"new": {"en": 0.5}}, n=9), tmp_path)
    verdict = judged(measure(made, Gate(), 0.01, 0), Gate())
    assert not verdict.passed and verdict.reasons[0].endswith("; 9 texts are too few to tell, 10 are wanted")


def test_a_strict_alpha_and_many_guards_still_let_a_better_challenger_through(store: Store, tmp_path: Path) -> None:
    gate, langs = Gate(alpha=0.01), [f"l{number}" for number in range(8)]
    results = text_results(tmp_path, {name: dict.fromkeys(langs, 0.9) for name in ("old", "new")}, n=20)
    results += text_results(tmp_path, {"new": {"few": 0.9}}, n=10)
    found = measure(evaluation(store, results, tmp_path), gate, 0.01, 0)
    assert len(found.guards) == 16 and judged(found, gate).passed
    assert found.missing == ("languages, few on new text: 10 items are too few to tell; 11 are wanted",)


def test_a_guard_that_is_off_is_not_tested(store: Store, tmp_path: Path) -> None:
    gate = Gate.model_validate({"guards": {"languages": None, "bias": None}})
    made = evaluation(store, [*text_results(tmp_path, {"old": {"en": 1.5}}), bias(tmp_path, 0.5)], tmp_path)
    assert measure(made, gate, 0.0, 0).guards == ()


def test_bits_per_byte_are_over_the_sets_that_the_gain_is_measured_on(store: Store, tmp_path: Path) -> None:
    made = evaluation(store, text_results(tmp_path, BETTER), tmp_path)
    gain = measure(made, Gate(), 0.0, 0).gain
    assert (
        gain is not None
        and bits_per_byte(made, MODEL, Gate()) == gain.challenger
        and bits_per_byte(made, CHAMPION, Gate()) == gain.champion
    )


@settings(max_examples=25)
@given(st.lists(st.text("abc 是的", min_size=30, max_size=60), min_size=1, max_size=8, unique=True), st.data())
def test_what_stands_in_training_text_is_found_whatever_is_around_it(texts: list[str], data: st.DataObject) -> None:
    inside = data.draw(st.sets(st.sampled_from(texts)))
    training = [f"  {text.upper()}\n" for text in sorted(inside)] + ["something else entirely, of no use to anybody"]
    found = contaminated({str(n): text for n, text in enumerate(texts)}, iter(training))
    assert {texts[int(n)] for n, how in found.items() if how == "equal"} >= inside


def test_text_that_is_nearly_training_text_is_near() -> None:
    text = " ".join(f"word{n}" for n in range(60))
    found = contaminated({"a": text, "b": "of another kind " * 5}, [text.replace("word30 ", "other ")])
    assert found == {"a": "near"}

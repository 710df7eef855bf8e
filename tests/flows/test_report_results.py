"""The report shows every task with its systems, says by intervals how the model stands, and tells seeds one by one."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.report import render
from flows.report.gather import training_of
from flows.report.results import result_table, verdict
from schemas.results import MODEL, Measure, Result
from schemas.store import Store
from tests.flows import cards
from tests.flows.evaluations import answers, classified, wanted
from tests.flows.test_report_page import Page, example_facts

ATTACK = "<script>alert(1)</script>"


def between(value: float, low: float, high: float, better: str = "higher") -> Measure:
    return Measure(value, better, "accuracy|v1", 0.01, (low, high))  # type: ignore[arg-type]


def result(ours: Measure, **others: Measure) -> Result:
    systems = {name: {"accuracy": measure} for name, measure in {MODEL: ours, **others}.items()}
    return Result("sentiment", "classification", 1, "accuracy", 400, 0, "d" * 64, systems)


GOOD = between(0.9, 0.88, 0.92)
BAG = between(0.8, 0.78, 0.82)
AGAINST = "the best baseline, bag, by accuracy: 0.900 against 0.800"


@pytest.mark.parametrize(
    "found, said",
    [
        (result(GOOD, majority=between(0.5, 0.4, 0.6), bag=BAG), f"It is better than {AGAINST}; their intervals are apart."),
        (result(between(0.7, 0.68, 0.72), bag=BAG), "It is worse than the best baseline, bag"),
        (result(between(0.79, 0.77, 0.81), bag=BAG), "Intervals overlap, so they tell no difference from the best baseline"),
        (result(between(1.0, 0.9, 1.1, "lower"), bag=between(2.0, 1.9, 2.1, "lower")), "It is better than the best baseline, bag"),
        (result(Measure(0.9, "higher", "accuracy|v1"), bag=BAG), "No interval tells whether it differs"),
        (result(between(0.9, 0.88, 0.92)), "It stands beside no baseline."),
    ],
)  # fmt: skip
def test_a_verdict_goes_by_intervals(found: Result, said: str) -> None:
    assert verdict(found).startswith(said)


def test_tasks_and_seeds_stand_on_the_page(tmp_path: Path) -> None:
    store, truth = Store(tmp_path / "store"), wanted(400)
    model = cards.finetuned(store, cards.pretrained(store, cards.documents(store)))
    judged = classified("sentiment", {MODEL: answers(0.9, truth, 1), "majority": ["neg"] * 400}, truth, tmp_path, notes=("one leak",))
    facts = replace(example_facts(), results=(judged, replace(judged, task=ATTACK)), finetune=training_of(model, "finetune"))
    page = Page(render(facts))
    shown = page.shown()
    for said in (
        "The model was asked 2 tasks; on 2 of 2 its interval is apart from the best baseline's, and better.",
        "3 trainings that differ by the seed alone; by accuracy, on the test subset 0.810 on average, deviation 0.010.",
        "One leak.",
        "seed 1, kept",
        ATTACK,
    ):
        assert said in shown, said
    assert page.of("script") == [{}] and {"tasks", "seeds"} <= {section["id"] for section in page.of("section")}
    assert render(facts) == render(facts)


def test_a_table_has_every_system_the_deciding_metric_first() -> None:
    measures = {"mcc": between(0.8, 0.7, 0.9), "accuracy": between(0.9, 0.88, 0.92)}
    table = result_table(replace(result(between(0, 0, 0)), systems={"bag": {"accuracy": between(0.5, 0.4, 0.6)}, MODEL: measures}), "x")
    assert [name for name, _ in table.heads] == ["System", "accuracy", "mcc"]
    assert [(row.name, list(row.cells)) for row in table.rows] == [
        ("this model", ["0.900 ± 0.010 [0.880, 0.920]", "0.800 ± 0.010 [0.700, 0.900]"]),
        ("bag", ["0.500 ± 0.010 [0.400, 0.600]", "–"]),
    ]

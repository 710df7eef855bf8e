"""Scores of redaction against marked spans, from files as they come."""

import json
from pathlib import Path

import pytest

from pipelines.redact.evaluation import evaluate
from schemas.errors import RequestError
from tests.flows.conftest import command_in
from tests.pipelines.drafts import ROOT

CASES = {"secret": (9, 8), "email": (7, 7), "id_card": (3, 3), "card": (4, 4), "ip": (4, 4), "phone": (15, 14)}


def test_scores_by_kind(tmp_path: Path) -> None:
    examples = [
        {
            "text": "写信给a@b.com，或打13800138000",
            "spans": [{"start": 3, "end": 10, "kind": "email"}, {"start": 13, "end": 24, "kind": "phone"}],
        },
        {"text": "a@b.com is found, nobody marked it", "spans": []},
        {"text": "It is 555 12 34 here", "spans": [{"start": 6, "end": 15, "kind": "phone"}, {"start": 0, "end": 2, "kind": "PERSON"}]},
        {"full_text": "+1 212 555 0123 4", "spans": [{"start_position": 3, "end_position": 15, "entity_type": "PHONE_NUMBER"}]},
    ]
    for content in (json.dumps(examples), "".join(json.dumps(example) + "\n" for example in examples)):
        (tmp_path / "x.json").write_text(content)
        scores = evaluate(tmp_path / "x.json")
        assert scores.examples == 4 and scores.left_out == {"PERSON": 1} and set(scores.kinds) == {"email", "phone"}
        email, phone = scores.kinds["email"], scores.kinds["phone"]
        assert (email.marked, email.found, email.precision, email.recall, email.exact) == (1, 2, 0.5, 1.0, 1.0)
        assert (phone.marked, phone.found, phone.precision) == (3, 2, 1.0)
        assert phone.recall == 2 / 3 and phone.exact == 1 / 3


def test_the_cases_are_found_as_the_docs_say() -> None:
    """Known misses: a local part beyond ASCII, ten digits after the bare word "number", a password of words."""
    scores = evaluate(Path(__file__).with_name("pii_cases.jsonl")).kinds
    assert {kind: (score.marked, score.found) for kind, score in scores.items()} == CASES
    assert {score.precision for score in scores.values()} == {1.0}
    table = (ROOT / "docs" / "pii.md").read_text(encoding="utf-8")
    for kind, score in scores.items():
        assert f"| {kind} | {score.marked} | {score.precision:.1%} | {score.recall:.1%} | {score.exact:.1%} |" in table


@pytest.mark.parametrize("content", ["[1]", '{"text": "x"}', "[{", '[{"text": "x", "spans": [{"start": 1}]}]'])
def test_files_of_another_form_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(RequestError, match="not a file of examples"):
        evaluate(tmp_path / "x.json")
    with pytest.raises(RequestError, match="can't be read"):
        evaluate(tmp_path / "none.json")


@pytest.mark.slow
def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"text": "to a@b.com", "spans": [{"start": 3, "end": 10, "kind": "email"}]}]))
    gristmill = command_in(tmp_path)
    assert "email          1       1     100.0%   100.0%   100.0%" in gristmill("pii", "evaluate", "x.json").stdout
    assert json.loads(gristmill("pii", "evaluate", "x.json", "--json").stdout)["kinds"]["email"]["recall"] == 1.0

"""Who reigns, and who may."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.gc import Rules, examine
from flows.retraining.judging import Bundle
from flows.retraining.promoting import promote_decision, promote_models, roll_back
from schemas.artifact import Damaged
from schemas.champion import history
from schemas.errors import RequestError
from schemas.files import remove_tree
from schemas.forgotten import Mark, set_mark
from schemas.store import Store
from tests.flows.retrained import bundle, decision
from tests.flows.stores import DAY, NOW, age_artifact, make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def run(store: Store, *arguments: str) -> str:
    found = CliRunner().invoke(app, [*arguments, "--store", str(store.root)], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout


def first(store: Store) -> None:
    bundle(store, "r")
    assert "is the champion, reign 1" in run(store, "promote", "r")


def test_the_first_champion_is_the_newest_plain_run_and_is_named_once(store: Store) -> None:
    with pytest.raises(RequestError, match="there is no model/r to be the first champion: run its recipe"):
        run(store, "promote", "r")
    first(store)
    assert store.find("model/r@champion").name == "r" and store.find("model/r-finetuned@champion").name == "r-finetuned"
    with pytest.raises(RequestError, match="no decision waits; name a decision, or models with --why"):
        run(store, "promote", "r")


def test_a_decision_begins_one_reign_however_often_it_is_promoted(store: Store) -> None:
    first(store)
    about = decision(store, 1, bundle(store, "r-challenger", 1))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: promote_decision(store, about, "gate", "why"), range(16)))
    assert sum(one.new for one in done) == 1 and {one.reign.number for one in done} == {2}
    assert [reign.decision for reign in history(store.root, "r")] == [None, about.reference]
    assert store.find("model/r@champion").name == "r-challenger"


def test_a_decision_against_a_champion_of_before_is_stale(store: Store) -> None:
    first(store)
    one, other = (
        decision(store, 1, bundle(store, "r-challenger", n), verdict) for n, verdict in ((1, "promote"), (2, "wait_for_approval"))
    )
    promote_decision(store, one, "gate", "why")
    with pytest.raises(RequestError, match=r"against the champion of reign 1, and there is another since \(reign 2\).*retrain"):
        promote_decision(store, other, "gate", "why")
    with pytest.raises(RequestError, match="no decision waits"):
        run(store, "promote", "r")


def test_what_waits_is_approved_and_what_was_refused_needs_force_and_a_reason(store: Store) -> None:
    first(store)
    decision(store, 1, bundle(store, "r-challenger", 1), "wait_for_approval")
    assert "reign 2" in run(store, "promote", "r", "--why", "looked at it")
    refused = decision(store, 2, bundle(store, "r-challenger", 2), "refuse")
    with pytest.raises(RequestError, match="the gate refused it: the gain is what it is. To promote it still: --force --why"):
        run(store, "promote", "r", refused.reference, "--why", "I want it")
    assert "reign 3" in run(store, "promote", "r", refused.reference, "--force", "--why", "I want it")
    last = json.loads(run(store, "champion", "r", "--json"))["r"][-1]
    assert last["by"] == "hand" and last["why"].startswith("against the gate: I want it; the gain")


def test_models_by_hand_are_a_bundle_and_need_a_reason(store: Store) -> None:
    first(store)
    base, taught = bundle(store, "mine")
    other, _ = bundle(store, "others")
    with pytest.raises(RequestError, match="--why: say why"):
        run(store, "promote", "r", "mine")
    with pytest.raises(RequestError, match="was not taught from model/others@"):
        run(store, "promote", "r", other.reference, taught.reference, "--why", "x")
    with pytest.raises(RequestError, match="a bundle needs the pretrained model"):
        run(store, "promote", "r", taught.reference, "--why", "x")
    told = json.loads(run(store, "promote", "r", taught.reference, base.reference, "--why", "x", "--json"))
    assert told["new"] and told["reign"]["models"] == {"pretrain": base.reference, "finetune": taught.reference}
    assert not json.loads(run(store, "promote", "r", "mine", "mine-finetuned", "--why", "x", "--json"))["new"]


def test_a_rollback_restores_and_is_kept(store: Store) -> None:
    first(store)
    with pytest.raises(RequestError, match="no other model has reigned"):
        roll_back(store, "r", None, "x")
    promote_decision(store, decision(store, 1, bundle(store, "r-challenger", 1)), "gate", "why")
    run(store, "rollback", "r", "--why", "answers got shorter")
    found = history(store.root, "r")
    assert found[2].digests == found[0].digests and (found[2].by, found[2].why) == ("rollback", "back to reign 1: answers got shorter")
    roll_back(store, "r", 2, "it was not that")
    assert history(store.root, "r")[3].digests == found[1].digests
    with pytest.raises(RequestError, match="--to 9: r has reigns 1 to 4"):
        roll_back(store, "r", 9, "x")
    lines = run(store, "champion").splitlines()
    assert lines[1].split()[:3] == ["r", "4", "now"] and len(lines) == 5 and "answers got shorter" in lines[2]


def test_a_rollback_to_models_that_are_gone_is_refused(store: Store) -> None:
    first(store)
    promote_decision(store, decision(store, 1, bundle(store, "r-challenger", 1)), "gate", "why")
    remove_tree(store.find("model/r").path)
    with pytest.raises(RequestError, match="model/r@.*"):
        roll_back(store, "r", None, "x")


def test_a_champion_that_saw_forgotten_documents_is_flagged(store: Store) -> None:
    first(store)
    set_mark(store.find("model/r").path, Mark("documents/r@x", 0))
    assert "was made from documents that were forgotten, see documents/r@x" in run(store, "champion", "r")


def test_a_sweep_keeps_the_champion_and_the_one_before_and_all_decisions(store: Store) -> None:
    data = make(store, "tokens", "r", "data")
    made = []
    for n in range(5):
        draft_inputs = {"tokens": data.manifest.content_digest} if n == 0 else {}
        made.append(make(store, "model", "r", n, draft_inputs))
    promote_models(store, "r", Bundle(made[0]), "first", "x")
    promote_models(store, "r", Bundle(made[1]), "hand", "x")
    about = [decision(store, n, (make(store, "model", f"c{n}", n), make(store, "model", f"d{n}", n))) for n in range(5)]
    for artifact in store.artifacts():
        age_artifact(store, artifact, 30, NOW)
    rows = {row["path"]: row["why"] for row in examine(store, Rules(1, DAY), NOW).rows() if row["stays"]}
    path = lambda artifact: artifact.path.relative_to(store.root).as_posix()  # noqa: E731
    assert rows[path(made[0])] == "reign 1 of r" and rows[path(made[1])] == "reign 2 of r"
    assert path(made[2]) not in rows and path(made[3]) not in rows
    assert "was made from it" in rows[path(data)]
    assert all(rows[path(one)].startswith(("decisions are the ledger", "number 1")) for one in about)
    promote_models(store, "r", Bundle(made[4]), "hand", "x")
    assert "reign 1 of r" not in {row["why"] for row in examine(store, Rules(1, DAY), NOW).rows()}


WRONG = [
    ("promote r-seeds decision/r-seeds", "r-seeds is no recipe, but what a recipe r makes, and champions are a recipe's: say r"),
    ("promote r decision/r-seeds", "decision/r-seeds@.* is no decision about a challenger of r: name one of `gristmill ls decision`"),
    ("promote r decision/r@old", "no such version of decision/r"),
    ("promote r decision/nobody", "'decision/nobody' is not in .*; there is decision/r"),
    ("promote r evaluation/r-gate --why x", "made by step evaluation: pretrained, imported and fine-tuned models can reign"),
    ("promote r-challenger", "r-challenger is no recipe, but what a recipe r makes"),
    ("promote r-challenger r --why x", "r-challenger is no recipe, but what a recipe r makes"),
    ("promote nobody", "there is no model/nobody to be the first champion: run its recipe"),
    ("promote ../r", "is no name of a recipe"),
    ("rollback nobody --why x", "nothing to go back to: nobody has no champion yet: `gristmill promote nobody` names the first"),
    ("rollback r-gate --why x", "nothing to go back to: r-gate is no recipe, but what a recipe r makes"),
    ("rollback r --why x", "no other model has reigned"),
    ("rollback r --why x --to 7", "--to 7: r has reigns 1 to 1"),
    ("champion nobody", "nobody has no champion yet"),
    ("champion r-finetuned", "r-finetuned is no recipe, but what a recipe r makes"),
    ("champion r@champion", "is no name of a recipe"),
    ("api nobody@champion", "nobody has no champion yet"),
    ("api r-challenger@champion", "r-challenger is no recipe, but what a recipe r makes"),
    ("api r-finetuned@champion", "the champion of r, reign 1, has no fine-tuned model: say r@champion"),
    ("api decision/r@champion", "only models have a champion: say model/r@champion"),
    ("show documents/r@champion", "only models have a champion: say model/r@champion"),
]


def test_a_name_of_another_kind_is_an_error_that_says_what_to_do(store: Store) -> None:
    base, _ = bundle(store, "r")
    run(store, "promote", "r", base.reference, "--why", "alone")
    decision(store, 1, bundle(store, "r-challenger", 1))
    for kind, name in (("decision", "r-seeds"), ("evaluation", "r-gate"), ("documents", "r")):
        make(store, kind, name, 1)
    for command, message in WRONG:
        with pytest.raises(RequestError, match=message):
            run(store, *command.split())
    with pytest.raises(RequestError, match="r-challenger is no recipe"):  # also for whoever has the models at hand
        promote_models(store, "r-challenger", Bundle(base), "hand", "by a program")
    assert [reign.number for reign in history(store.root, "r")] == [1] and history(store.root, "r-challenger") == []


def test_a_decision_that_lost_its_file_is_named(store: Store) -> None:
    first(store)
    about = decision(store, 1, bundle(store, "r-challenger", 1))
    (about.path / "decision.json").unlink()
    with pytest.raises(Damaged, match=r"decision\.json.*: restore it from a copy"):
        run(store, "promote", "r", about.reference)

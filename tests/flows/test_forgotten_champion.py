"""What the champion knew can be forgotten, whatever came since: retraining goes on, and nothing forgotten is learned or asked again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import flows.following
from flows.compacting import compact
from flows.forgetting.selection import Selection
from flows.forgetting.work import forget
from flows.gc import Rules, examine, remove
from flows.retraining.challenger import make_challenger
from flows.retraining.decide import decide, read_decision
from flows.retraining.held_out import held_out
from flows.retraining.judging import CHAMPION, Bundle, judge
from flows.retraining.knew import known_tokens
from flows.retraining.told import lines_of
from model.evaluate.held_out_text import passages_of
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.champion import Reign, begin_reign
from schemas.errors import RequestError
from schemas.forgotten import is_retired
from schemas.recipe import Recipe
from schemas.results import MODEL
from schemas.store import Store
from tests.flows.chains import ingest, recipe, rows, texts
from tests.flows.conftest import NOUNS
from tests.flows.stores import make
from tests.flows.test_challenger import SECRET, SECTIONS, champion_of, data, drop

GATE = {"min_gain": 0.0, "max_bytes": 20_000, "guards": {"tasks": None, "bias": None, "memorisation": None}}


def retraining(folder: Path) -> Recipe:
    """A recipe that retrains what it doesn't fine-tune."""
    plain = recipe(folder, split_bytes=2000, held_out={"validation": 0.1, "test": 0.3}).model_dump(mode="json", exclude_unset=True)
    retrain = SECTIONS["retrain"] | {"start": "weights", "gate": GATE}
    return Recipe.model_validate(plain | SECTIONS | {"finetune": None, "retrain": retrain})


def crown(store: Store, model: Artifact) -> Reign:
    return begin_reign(store.root, "c", 0, {"pretrain": model.reference}, {"pretrain": model.manifest.content_digest}, "first", "test")


def sweep(store: Store) -> None:
    """Remove all that may go."""
    rules = Rules(1, 0.0)
    assert remove(store, rules, examine(store, rules, time.time() + 1e6)) == []


@pytest.mark.slow
def test_a_champion_is_gone_on_from_when_its_text_was_forgotten_after_newer_came(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store"), retraining(tmp_path / "in")
    drop(tmp_path / "in", 0)
    first = data(store, wanted)
    [secret] = [row["doc_id"] for row in rows(first["documents"]) if row["text"] == f"{SECRET} 0"]
    champion = champion_of(store, wanted, first)
    reign = crown(store, champion)
    drop(tmp_path / "in", 1)
    second = data(store, wanted)
    ids = [row["doc_id"] for row in rows(first["documents"]) if row["doc_id"] != secret]
    all_ids = {row["doc_id"] for row in rows(second["documents"])}
    made = forget(store, "c", Selection(pattern=f"{SECRET} 0"), True, print).made
    assert [one.kind for one in made] == ["documents", "tokens"] * 2
    sweep(store)
    now = {kind: store.find(f"{kind}/c") for kind in ("documents", "tokenizer", "tokens")}
    known = known_tokens(store, champion)
    assert known == made[3] and now["documents"] == made[0] and now["tokens"] == made[1]
    assert not first["documents"].path.exists() or is_retired(first["documents"].path)
    assert [row["doc_id"] for row in rows(known, "tokens")] == ids == [row["doc_id"] for row in rows(made[2])]
    assert audit(made[2]) == [] and audit(known, made[2]) == []
    assert {row["doc_id"] for row in rows(now["tokens"], "tokens")} == all_ids - {secret}

    with pytest.raises(RequestError, match=f"{second['tokens'].reference}: is retired, since documents of it were forgotten meanwhile"):
        make_challenger(wanted, store, reign, second, print, 3)  # of a retraining that was under way
    challenger = make_challenger(wanted, store, reign, now, print, 3)
    assert challenger["pretrain"].manifest.identity.inputs["before"] == known.manifest.content_digest
    systems = {MODEL: Bundle(challenger["pretrain"]), CHAMPION: Bundle(champion)}
    corpus = now | {"before": made[2]}
    evaluation = judge(store, wanted, systems, {k: corpus[k] for k in ("documents", "tokens", "before")}, (), print).artifact
    found = read_decision(decide(store, wanted, 1, systems, corpus, evaluation, None, print).artifact)
    assert found["held_out"]["old"]["documents"] > 10 and found["knew"] == known.reference
    assert f"{known.reference} tells what the champion knew" in "\n".join(lines_of("decision/c", found))
    assert f"{SECRET} 0" not in json.dumps(found)


@pytest.mark.slow
def test_it_is_told_however_often_something_is_forgotten_and_swept(tmp_path: Path) -> None:
    """Whatever is merged, or swept, between: what was known stays known, but for what is forgotten."""
    store, wanted = Store(tmp_path / "store"), retraining(tmp_path / "in")
    words = [f"{SECRET} {number} {noun}\n" for number, noun in enumerate(NOUNS)]
    (tmp_path / "in" / "a" / "0.txt").write_text("".join(words))
    first = data(store, wanted)
    model = make(store, "model", "c", 1, {role: first[role].manifest.content_digest for role in ("tokens", "tokenizer")})
    crown(store, model)
    ids = {row["doc_id"] for row in rows(first["documents"])}
    for number, pattern in enumerate((f"{SECRET} 0", f"{SECRET} 3"), 1):
        (tmp_path / "in" / "a" / f"{number}.txt").write_text("".join(f"A {noun} of week {number}.\n" for noun in NOUNS))
        data(store, wanted)
        if number == 2:
            compact(store, "c", 10_000_000, print)
        forget(store, "c", Selection(pattern=pattern), True, print)
        sweep(store)
        known = known_tokens(store, model)
        assert known is not None and known != store.find("tokens/c")
        left = {row["doc_id"] for row in rows(store.find("documents/c"))}
        assert {row["doc_id"] for row in rows(known, "tokens")} == ids & left and len(ids - left) == number
        assert not [one.reference for one in store.artifacts("documents") if any(pattern in text for text in texts(one))]
        assert audit(store.find("documents/c")) == []


def test_a_kill_between_two_versions_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun in the place of another is finished by the next, and nothing is retired before."""
    store, wanted = Store(tmp_path / "store"), retraining(tmp_path / "in")
    (tmp_path / "in" / "a" / "0.txt").write_text("".join(f"{SECRET} {number} {noun}\n" for number, noun in enumerate(NOUNS)))
    first = data(store, wanted)
    model = make(store, "model", "c", 1, {role: first[role].manifest.content_digest for role in ("tokens", "tokenizer")})
    (tmp_path / "in" / "a" / "1.txt").write_text("".join(f"A {noun}.\n" for noun in NOUNS))
    data(store, wanted)
    with monkeypatch.context() as killed:
        real, calls = flows.following.make_child, []

        def dies(*arguments: Any, **more: Any) -> Artifact:
            calls.append(arguments)
            if len(calls) == 2:  # the first follows the newest documents
                raise KeyboardInterrupt
            return real(*arguments, **more)

        killed.setattr(flows.following, "make_child", dies)
        with pytest.raises(KeyboardInterrupt):
            forget(store, "c", Selection(pattern=f"{SECRET} 0"), True, print)
    newest = store.find("documents/c")
    assert known_tokens(store, model) == first["tokens"]
    (store.root / "model" / "c" / "20990101T000000000000Z-00000000").mkdir()  # a run that was killed before it had a plan
    made = forget(store, "c", Selection(), True, print).made
    assert [one.kind for one in made] == ["documents", "tokens"] and known_tokens(store, model) == made[1]
    assert store.find("documents/c") == newest and newest.version > made[0].version
    sweep(store)
    assert known_tokens(store, model) == made[1], "the newest model's is kept, though it is no champion yet"
    assert model in forget(store, "c", Selection(pattern=f"{SECRET} 3"), False, print).saw, "what it learned from is retired"


def test_a_text_that_left_and_came_again_is_not_asked_about_when_it_is_forgotten(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store"), recipe(tmp_path / "in", gone="drop", held_out={"test": 0.9})
    files = tmp_path / "in" / "a"
    (files / "0.txt").write_text(f"{SECRET}\n" + "".join(f"One {noun}.\n" for noun in NOUNS))
    (files / "1.txt").write_text("Another file.\n")
    before = ingest(store, wanted)
    assert SECRET in [passage.text for passage in passages_of(before, "test")]
    (files / "0.txt").unlink()
    ingest(store, wanted)
    (files / "2.txt").write_text(f"{SECRET}\n")
    ingest(store, wanted)
    forget(store, "c", Selection(pattern=SECRET), False, print)
    asked = held_out(before, store.find("documents/c"), 100_000, None).text["old"]
    assert len(asked) > 10 and SECRET not in [passage.text for passage in asked]
    assert f"documents/c@{before.version}" in forget(store, "c", Selection(), True, print).retired, "its copy there has another id"
    sweep(store)
    assert not [one.reference for one in store.artifacts("documents") if SECRET in texts(one)]
    assert not [path for path in store.root.rglob("*.arrow") if SECRET in str(read_shard(path).to_pylist())]

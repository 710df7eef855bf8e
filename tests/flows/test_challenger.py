"""A challenger is made from the champion's reign, once, under names of its own, and everybody knows what it was made from."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.compacting import compact
from flows.forgetting.selection import Selection
from flows.forgetting.work import forget
from flows.gc.survey import survey
from flows.lineage import lineage
from flows.planning import decide
from flows.retraining.challenger import _pretrain_step, challenger_settings, make_challenger
from flows.retraining.knew import known_tokens
from flows.steps import STEPS
from model.handed_on import BEFORE, START
from model.train import main as train
from schemas.artifact import Artifact
from schemas.champion import Reign, begin_reign
from schemas.errors import RequestError
from schemas.forgotten import Mark, read_mark, set_mark
from schemas.recipe import Recipe
from schemas.store import Store
from tests.flows.chains import assign, ingest, ingest_tokens, recipe
from tests.flows.conftest import BAD, GOOD, NOUNS, THINGS, VERBS
from tests.flows.stores import make
from tests.flows.test_ingest_tokens import make_tokenizer

SECRET = "Quillfeather"
PRETRAIN = {
    "model": {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "ffn": 48, "context": 16}, "steps": 8, "batch": 4, "keep_trunk": True,
    "precision": "float32", "compile": False, "validate_every": 8, "validate_tokens": 400,
    "phases": [{"step": 4, "context": 8}], "optimizer": {"lr": 0.01},
}  # fmt: skip
SECTIONS: dict[str, Any] = {
    "tokenizer": {"vocab_size": 512},
    "pretrain": PRETRAIN,
    "finetune": {"source": "b", "epochs": 1, "max_tokens": 16, "precision": "float32"},
    "retrain": {"start": "trunk", "steps": 5, "epochs": None, "replay": 0.25, "lr": 0.5, "seed": 3},
}


def recipe_of(folder: Path, **changes: Any) -> Recipe:
    """A recipe that retrains, whose `retrain` has these changes."""
    plain = recipe(folder, held_out={"validation": 0.2, "test": 0.2}).model_dump(mode="json", exclude_unset=True)
    return Recipe.model_validate(plain | SECTIONS | {"retrain": SECTIONS["retrain"] | changes})


def drop(folder: Path, number: int) -> None:
    draw = random.Random(number)
    lines = [f"The {draw.choice(NOUNS)} {draw.choice(VERBS)} the {draw.choice(NOUNS)} {draw.randrange(1000)}.\n" for _ in range(60)]
    (folder / "a" / f"{number}.txt").write_text("".join(lines) + f"{SECRET} {number}\n")
    kinds = [(GOOD, "positive"), (BAD, "negative")] * 40
    rows = [{"text": f"{draw.choice(THINGS)}{draw.choice(words)} {draw.randrange(1000)}", "label": label} for words, label in kinds]
    (folder / "b" / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass(frozen=True)
class Retrained:
    """A store in which a challenger was made, and what was said meanwhile."""

    store: Store
    recipe: Recipe
    reign: Reign
    inputs: dict[str, Artifact]
    champion: Artifact
    made: dict[str, Artifact]
    said: list[str]


def data(store: Store, wanted: Recipe) -> dict[str, Artifact]:
    """The data of now."""
    documents = ingest(store, wanted)
    tokenizer = make_tokenizer(store, wanted, documents)
    return {"documents": documents, "tokenizer": tokenizer, "tokens": ingest_tokens(store, wanted, documents, tokenizer)}


def champion_of(store: Store, wanted: Recipe, before: dict[str, Artifact]) -> Artifact:
    """What the pretrain step makes, in this process."""
    step = next(step for step in STEPS if step.name == "pretrain")
    inputs = {role: before[role] for role in step.needs}
    ready = step.prepare(wanted, store, inputs)
    draft = store.start("model", wanted.name, ready.identity)
    assign(draft, ready, inputs)
    assert train([str(draft.path)]) == 0
    return draft.commit(step.stages)


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """The champion saw what was forgotten since."""
    folder = tmp_path_factory.mktemp("retrained")
    wanted, store = recipe_of(folder / "in"), Store(folder / "store")
    drop(folder / "in", 0)
    before = data(store, wanted)
    champion = champion_of(store, wanted, before)
    set_mark(champion.path, Mark("documents/c@later", 0))
    versions, digests = {"pretrain": champion.reference}, {"pretrain": champion.manifest.content_digest}
    reign = begin_reign(store.root, "c", 0, versions, digests, "first", "there was none")
    drop(folder / "in", 1)
    said: list[str] = []
    inputs = data(store, wanted)
    return Retrained(store, wanted, reign, inputs, champion, make_challenger(wanted, store, reign, inputs, said.append, 3), said)


@pytest.mark.slow
def test_a_challenger_has_names_of_its_own_and_goes_on_from_the_champion(retrained: Retrained) -> None:
    store, made = retrained.store, retrained.made
    assert {step: artifact.name for step, artifact in made.items()} == {"pretrain": "c-challenger", "finetune": "c-challenger-finetuned"}
    assert store.find("model/c").path == store.find("model/c@champion").path == retrained.champion.path
    identity = made["pretrain"].manifest.identity
    assert identity.inputs == {
        START: retrained.champion.manifest.content_digest, BEFORE: retrained.champion.manifest.identity.inputs["tokens"],
        **{role: retrained.inputs[role].manifest.content_digest for role in ("tokens", "tokenizer")},
    }  # fmt: skip
    assert made["pretrain"].facts("pretrain")["epochs"].keys() == {"new/en", "old/en"}
    told = json.loads((made["pretrain"].path / "trunk/trunk.json").read_text())
    assert (told["steps"], told["updates"]) == (3, 3 + 5), "of the champion's eight steps four are before the decay, and one begins it"
    assert made["finetune"].manifest.identity.inputs["pretrain"] == made["pretrain"].manifest.content_digest


@pytest.mark.slow
def test_a_second_call_reuses_what_was_made(retrained: Retrained) -> None:
    said: list[str] = []
    again = make_challenger(retrained.recipe, retrained.store, retrained.reign, retrained.inputs, said.append, 3)
    assert {step: one.path for step, one in again.items()} == {step: one.path for step, one in retrained.made.items()}
    assert [line.split()[:2] for line in said] == [["pretrain", "reuse:"], ["finetune", "reuse:"]]
    assert retrained.said[0] == "  pretrain   run: there is no model/c-challenger yet"


@pytest.mark.slow
def test_another_challenger_says_why_it_is_made(retrained: Retrained) -> None:
    other = recipe_of(Path(retrained.recipe.corpus.sources[0].path).parent, replay=0.75)
    given = {role: retrained.inputs[role] for role in ("tokens", "tokenizer")}
    given |= {START: retrained.champion, BEFORE: known_tokens(retrained.store, retrained.champion) or retrained.champion}
    for wanted, seed, why in ((other, 3, "recipe pretrain.replay 0.25 -> 0.75"), (retrained.recipe, 4, "recipe pretrain.seed 3 -> 4")):
        step = _pretrain_step(wanted, seed)
        decision = decide(step, wanted, retrained.store, step.prepare(wanted, retrained.store, given))
        assert (decision.action, decision.why) == ("run", (why,))


@pytest.mark.slow
def test_its_lineage_is_of_now_and_it_is_flagged_as_its_champion_is(retrained: Retrained) -> None:
    found = lineage(retrained.store, retrained.made["finetune"])
    assert {step: one.path for step, one in found.items()} == {
        **{step: one.path for step, one in retrained.inputs.items()}, **{step: one.path for step, one in retrained.made.items()}
    }  # fmt: skip
    assert [read_mark(one.path) for one in retrained.made.values()] == [Mark("documents/c@later", 0)] * 2
    [thing] = [thing for thing in survey(retrained.store) if thing.path == retrained.made["pretrain"].path]
    assert thing.inputs == {retrained.inputs[role].manifest.content_digest for role in ("tokens", "tokenizer")}


@pytest.mark.slow
def test_nothing_new_and_another_tokenizer_are_errors_before_anything_runs(retrained: Retrained) -> None:
    before = known_tokens(retrained.store, retrained.champion)
    assert before is not None
    with pytest.raises(RequestError, match=f"{before.reference}: no new text: {retrained.champion.reference} knew all of it"):
        make_challenger(retrained.recipe, retrained.store, retrained.reign, {**retrained.inputs, "tokens": before}, print, 3)
    draft = retrained.store.start("tokenizer", "other", retrained.inputs["tokenizer"].manifest.identity)
    (draft.scratch() / "t").write_text("{}")
    draft.add_part("tokenizer", "tokenizer", [draft.adopt_as(draft.scratch() / "t", "tokenizer.json", "tokenizer")])
    other = draft.commit(["tokenizer"])
    with pytest.raises(RequestError, match="their ids mean other things; pin the model's tokenizer"):
        make_challenger(retrained.recipe, retrained.store, retrained.reign, {**retrained.inputs, "tokenizer": other}, print, 3)


def test_settings_of_a_challenger_are_the_recipes_as_retrain_says(tmp_path: Path) -> None:
    own = recipe_of(tmp_path).pretrain
    assert own is not None
    found = challenger_settings(recipe_of(tmp_path, start="weights", max_steps=4), 7)
    assert (found.start, found.replay, found.steps, found.max_steps, found.seed, found.phases) == ("weights", 0.25, 5, 4, 7, ())
    assert (found.optimizer.lr, found.optimizer.muon_lr, found.schedule.warmup) == (0.005, 0.001, 0.1)
    assert found.model == own.model and found.keep_trunk
    scratch = challenger_settings(recipe_of(tmp_path, start="scratch"), 7)
    assert scratch.as_json() == own.as_json() | {"seed": 7}
    passes = challenger_settings(recipe_of(tmp_path, steps=None, epochs=2), 7)
    assert (passes.steps, passes.epochs) == (None, 2)
    with pytest.raises(ValueError, match="start"):
        Recipe.model_validate(recipe_of(tmp_path).model_dump(mode="json") | {"pretrain": {"start": "weights"}})


@pytest.mark.slow
def test_what_follows_tokens_that_were_forgotten_or_merged_stands_for_them(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store"), recipe_of(tmp_path / "in")
    drop(tmp_path / "in", 0)
    first = data(store, wanted)
    model = make(store, "model", "c", 1, {role: first[role].manifest.content_digest for role in ("tokens", "tokenizer")})
    assert known_tokens(store, make(store, "model", "imported", 1)) is None
    assert known_tokens(store, model) == first["tokens"]
    drop(tmp_path / "in", 1)
    newer = data(store, wanted)["tokens"].manifest.content_digest
    forget(store, "c", Selection(pattern=f"{SECRET} 0"), True, print)
    in_place = known_tokens(store, model)
    assert in_place is not None and in_place.version[:22] == first["tokens"].version[:22], "under its time"
    second = make(store, "model", "c", 2, {"tokens": newer, "tokenizer": first["tokenizer"].manifest.content_digest})
    compact(store, "c", 10_000_000, print)
    stands = known_tokens(store, second)
    assert stands is not None and stands.version != store.find("tokens/c").version, "that is the merged one"
    forget(store, "c", Selection(pattern="carries"), True, print)
    assert known_tokens(store, second) == store.find("tokens/c")
    with pytest.raises(RequestError, match="are not in the store any more, nor any that follow them"):
        known_tokens(store, model)  # it neither reigns nor is the newest

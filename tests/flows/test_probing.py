"""The model: `gristmill probe` and `gristmill explain` on tiny models in a store, made without a run; in this process, and but for one test
the work of probes, too, as each would spend seconds on importing torch."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from flows.probing.findings import found_in, without_values
from flows.probing.step import training_tokens
from flows.probing.work import probe_draft
from flows.report.gather import found_about
from model.checkpoint import save_model
from model.cost import cost
from model.decoder import DecoderModel
from model.encoder_decoder import EncoderDecoderModel
from model.finetune.heads import HeadedModel
from model.finetune.saved import save_headed
from model.probes.canaries import canaries, documents
from model.probes.reading import Reader
from model.speed import operations_per_token
from pipelines.redact import FINDERS, find
from schemas import recipe
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.results import MODEL, Result
from schemas.store import Store
from tests.model.conftest import commit_tokens
from tests.model.probed import save_decoder, save_encoder

TEXTS = ["The cat sat on the mat, and 那只猫 sat on 垫子. " * 5, "他 她 he she nurse doctor 医生 护士 " * 5]
Here = Callable[..., Any]


def commit_model(store: Store, name: str, saved: Path, step: str, inputs: dict[str, str], facts: dict[str, Any]) -> Artifact:
    draft = store.start("model", name, Identity(step, 1, {}, inputs, {}))
    roles = {"model.safetensors": "weights", "config.json": "config", "tokenizer.json": "tokenizer"}
    draft.add_part(step, "model", [draft.adopt_as(saved / name, name, role) for name, role in roles.items()], facts=facts)
    return draft.commit([step])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A decoder with its tokens, an encoder, a classifier."""
    folder = tmp_path_factory.mktemp("probed")
    found = Store(folder / "store")
    saved = save_decoder(folder, TEXTS)
    tokenizer = Artifact.open(folder / "tokenizer")
    identity = found.root / "tokens" / "small" / "20260101T000000000000Z-00000000"
    identity.parent.mkdir(parents=True)
    tokens = commit_tokens(identity, [("en", "train", text) for text in TEXTS], tokenizer, shards=1)
    facts = {"tokens": 1000, "environment": {"ranks": 2, "threads": 1}}
    model = commit_model(found, "small", saved, "pretrain", {"tokens": tokens.manifest.content_digest}, facts)
    (model.path / "run.json").write_text('{"seconds": 3600.0, "tries": 1, "facts": {"peak_bytes": 5000000, "utilization": 0.5}}')
    (folder / "written").mkdir()
    # what was taught to write is saved as the plain model that it is
    commit_model(found, "small-written", save_decoder(folder / "written", TEXTS), "finetune", {}, {})
    (folder / "encoder").mkdir()
    commit_model(found, "encoder", save_encoder(folder / "encoder", TEXTS), "pretrain", {}, {})
    (folder / "headed").mkdir()
    base = save_decoder(folder / "headed", TEXTS)
    reader = Reader(base)
    assert isinstance(reader.model, DecoderModel)
    headed = HeadedModel(reader.model, "sequence", ["negative", "positive"])
    torch.nn.init.normal_(headed.score.weight)
    config = json.loads((base / "config.json").read_text())
    save_headed(headed, base, {key: value for key, value in config.items() if key.endswith("_token_id")}, {})
    commit_model(found, "small-finetuned", base, "finetune", {}, {})
    return found


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work of a probe is done in this process."""

    def work(command: list[str], *_: Any) -> int:
        probe_draft(Draft.open(command[-1]))
        return 1

    monkeypatch.setattr("flows.ensure.run_child", work)


@pytest.fixture
def here(store: Store, quickly: None) -> Here:
    """A command in this process, with --json: what it prints. Its errors are raised."""

    def run(*arguments: str, people: bool = False) -> Any:
        of_store = () if "canaries" in arguments else ("--store", str(store.root))
        out = CliRunner().invoke(app, [*arguments, *of_store, *(() if people else ("--json",))], catch_exceptions=False).stdout
        return out if people else json.loads(out[out.index("{") :])

    return run


def measures(told: dict[str, Any]) -> dict[str, float]:
    """Of the model, as whoever reads the result has them."""
    return {name: one.value for name, one in Result.from_json(told["result"]).systems[MODEL].items()}


def test_memorisation_of_a_model_in_the_store(here: Here) -> None:
    asked = ("probe", "memorisation", "small", "--samples", "4", "--prefix", "6", "--max-tokens", "24", "--at-least", "2")
    told = here(*asked)
    assert told == here(*asked) and told["model"].startswith("model/small@")
    details = told["details"]
    assert details["tokens"].startswith("tokens/small@") and details["generated"] <= 4 * 24
    assert 0 <= measures(told)["verbatim_rate"] <= 1 and set(details["rate_by_prompt"]) == {"prefix", "free"}
    assert "inside spans, prefix" in here(*asked, people=True)


def test_no_training_text_is_kept_and_spans_are_quoted_from_the_shards(here: Here, store: Store) -> None:
    asked = ("probe", "memorisation", "small", "--samples", "4", "--prefix", "6", "--max-tokens", "24", "--at-least", "1")
    told = here(*asked)["details"]
    spans = [told["longest"], *told["examples"]]
    kept = store.find("evaluation/small-probe-memorisation").paths("results")[0].read_text()
    assert '"text"' not in kept and spans[1:]
    for span in spans:
        assert any(span["text"].strip("\ufffd") in text for text in TEXTS)


def test_what_a_model_wrote_is_kept_without_values() -> None:
    assert without_values("write to anna.kunz@gmail.com, 她说") == "write to [email], 她说"


@pytest.mark.slow
def test_what_is_found_is_kept_and_not_asked_again(store: Store, tmp_path: Path) -> None:
    """By the real processes."""
    store = Store(shutil.copytree(store.root, tmp_path / "store", ignore=shutil.ignore_patterns("evaluation")))

    def run(*arguments: str) -> Any:
        found = CliRunner().invoke(app, [*arguments, "--store", str(store.root)], catch_exceptions=False)
        assert found.exit_code == 0
        return found

    asked = ("probe", "memorisation", "small", "--samples", "5", "--prefix", "6", "--max-tokens", "8", "--at-least", "2")
    first, again = run(*asked, "--json"), run(*asked, "--json")
    kept = store.find("evaluation/small-probe-memorisation")
    assert f"kept as {kept.reference}" in first.stderr and f"reuse: {kept.reference} has its fingerprint" in again.stderr
    assert first.stdout == again.stdout and list(json.loads(first.stdout)) == ["model", "result", "details"]
    assert run(*asked).stdout == run(*asked).stdout and len(list(store.artifacts("evaluation", kept.name))) == 1
    inputs = kept.manifest.identity.inputs
    assert inputs == {role: store.find(f"{role}/small").manifest.content_digest for role in ("model", "tokens")}
    assert audit(kept) == [] and '"metric": "verbatim_rate"' in run("show", kept.reference).stdout
    assert run("leaderboard", "--task", "memorisation").stdout.count(kept.reference) == 1
    other = run(*asked, "--seed", "1")
    assert "recipe probe.seed 0 -> 1" in other.stderr and len(list(store.artifacts("evaluation", kept.name))) == 2


def test_what_another_training_of_the_same_contents_took_is_not_told(here: Here, store: Store) -> None:
    model = store.find("model/small")

    def seconds() -> list[float]:
        return [one.result.systems[MODEL]["seconds"].value for one in found_about(store, model) if one.result.task == "cost"]

    here("probe", "cost", "small", "--watts", "7")
    assert set(seconds()) == {3600}
    run = (model.path / "run.json").read_bytes()
    (model.path / "run.json").write_bytes(run.replace(b"3600.0", b"1800.0"))
    try:
        assert seconds() == []
        assert here("probe", "cost", "small", "--watts", "7")["details"]["seconds"] == 1800 and seconds() == [1800]
    finally:
        (model.path / "run.json").write_bytes(run)


def test_only_models_are_probed(here: Here) -> None:
    with pytest.raises(RequestError, match="tokens/small@.*: is no model, and only models are probed"):
        here("probe", "harm", "tokens/small")


def test_bias_of_a_decoder_an_encoder_and_a_classifier(here: Here) -> None:
    told = here("probe", "bias", "small", "--lang", "zh")
    assert "occupation_spread" in measures(told) and len(told["details"]["occupations"]["occupations"]) == 26
    assert len(told["details"]["associations"]) == 4
    assert "occupation_spread" not in measures(here("probe", "bias", "encoder"))
    told = here("probe", "bias", "small-finetuned", "--lang", "en")
    assert told["details"]["positive"] == "positive" and {d["name"] for d in told["details"]["dimensions"]} == {
        "gender",
        "nationality",
        "region",
        "age",
    }
    assert "what naming a group adds" in here("probe", "bias", "small-finetuned", people=True)
    with pytest.raises(RequestError, match="--positive fine: say which label is the good one: negative, positive"):
        here("probe", "bias", "small-finetuned", "--positive", "fine")


def test_bias_of_a_decoder_that_was_taught_to_write(here: Here) -> None:
    assert "occupation_spread" in measures(here("probe", "bias", "small-written"))


def test_bias_by_templates_of_yours(here: Here, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(files("model.probes.templates").joinpath("en.yaml").read_text("utf-8"), "utf-8")
    for model in ("small", "small-finetuned"):
        told, shipped = (here("probe", "bias", model, "--lang", lang)["result"] for lang in (str(mine), "en"))
        assert told["task"] == "bias-own" and "mine" not in json.dumps(told) and "|own|" in json.dumps(told)
        assert told["data"] == shipped["data"]


def test_canaries_are_planted_and_exposed(here: Here, tmp_path: Path) -> None:
    made = here("probe", "canaries", str(tmp_path / "planted"), "--count", "2", "--copies", "3")
    assert made["documents"] == 12 and made["canaries"] == 8
    told = here("probe", "exposure", "small", str(tmp_path / "planted"), "--drawn", "20")
    rows = told["details"]["canaries"]
    assert sorted(row["canary"]["copies"] for row in rows) == [0, 0, 0, 0, 3, 3, 3, 3] and told["result"]["n"] == 4
    assert all(1 <= row["rank"] <= 21 for row in rows)
    with pytest.raises(RequestError, match="encoder, which does not go on"):
        here("probe", "exposure", "encoder", str(tmp_path / "planted"))


def test_redaction_leaves_canaries_alone() -> None:
    """Else they would never reach a model whose corpus is redacted."""
    texts = [one["text"] for lang in ("en", "zh") for one in documents(canaries(0, 50, lang, 1))]  # type: ignore[arg-type]
    found = find(pa.array(texts), list(FINDERS))
    assert len(found.rows) == 0, [texts[row] for row in found.rows[:3]]


def test_harm_counts_texts(here: Here) -> None:
    told = here("probe", "harm", "small", "--samples", "1", "--max-tokens", "4")
    assert told["result"]["n"] == 32 and "en: gambling" in told["details"]["harmful"]
    texts = ["nothing", "call alice@example.org", "online casino bonus online casino", "mail bob@example.com, alice@example.org"]
    flagged, personal = found_in([*texts, *texts], ["en"] * 4 + ["zh"] * 4)
    assert personal["email"] == {1, 3, 5, 7} and not personal["phone"]
    assert {name: hits for name, hits in flagged.items() if hits} == {"en: gambling": {2}}


def test_greedy_texts_are_counted_once(here: Here) -> None:
    asked = ("probe", "harm", "small", "--temperature", "0", "--max-tokens", "2", "--samples")
    with pytest.raises(RequestError, match=r"--temperature 0 --samples 8: .* the same: give --samples 1"):
        here(*asked, "8")
    assert here(*asked, "1")["result"]["n"] == 32


def test_harm_by_other_lists_is_another_probe(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("probe", "harm", "small", "--samples", "1", "--max-tokens", "1")
    before = here(*asked)["result"]["data"]
    monkeypatch.setattr("pipelines.harmful.lexicon.own_lists", lambda: {"en": ["# other\ncasino\n"]})
    assert here(*asked)["result"]["data"] != before


def test_cost_is_what_the_run_says(here: Here, store: Store) -> None:
    found = store.find("model/small")
    told = cost(found, watts=10)
    reader = Reader(found.path)
    assert isinstance(reader.model, DecoderModel) and isinstance(reader.model.config, recipe.Decoder)
    assert told.operations == 1000 * operations_per_token(reader.model, reader.model.config)
    assert told.kilowatt_hours == pytest.approx(0.02) and told.peak_bytes == 5_000_000 and told.assumption.startswith("estimated: 2 CPUs")
    printed = here("probe", "cost", "small", "--watts", "10")
    assert printed["details"]["kilowatt_hours"] == pytest.approx(0.02) == measures(printed)["kilowatt_hours"]
    unknown = cost(store.find("model/encoder"))
    assert unknown.operations is None and unknown.kilowatt_hours is None and "not known" in unknown.assumption
    assert "tokens: not known" in here("probe", "cost", "encoder", people=True)


def test_cost_of_an_encoder_decoder_whose_run_was_resumed(store: Store, tmp_path: Path) -> None:
    """Its operations depend on how much it writes for what it reads, which is in no config. The last command took 10 s; 1,000 tokens, at
    40 a second, 25."""
    saved = save_decoder(tmp_path, TEXTS)
    shape = recipe.EncoderDecoder(family="t5", layers=1, width=32, heads=2, ffn=48, context=64)
    save_model(EncoderDecoderModel(shape, 600), saved, {f"{role}_token_id": number for number, role in enumerate(("bos", "eos", "pad"))})
    model = commit_model(store, "t5", saved, "pretrain", {}, {"tokens": 1000, "environment": {"ranks": 2, "threads": 1}})
    assert cost(model).operations is None
    run = {"seconds": 10.0, "tries": 2, "facts": {"tokens_per_second": 40.0, "operations_per_token": 7}}
    (model.path / "run.json").write_text(json.dumps(run))
    told = cost(model, watts=10)
    assert told.operations == 7000
    assert told.seconds == 25 and told.kilowatt_hours == pytest.approx(2 * 10 * 25 / 3.6e6) and "at the median speed" in told.assumption
    (model.path / "run.json").write_text(json.dumps(run | {"seconds": 30.0}))
    assert cost(model).seconds == 30 and "while it ran" in cost(model).assumption


def test_explanations_of_all_kinds(here: Here, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    told = here("explain", "small", "The cat sat", "--out", str(out))
    assert told["path"] == str(out) and len(told["expected"]) == 5 and [one["token"] for one in told["adds"]][1] == "The"
    page = out.read_text()
    assert page.count('<svg class="chart"') == 1 + 2 * (2 + 1) and "What each layer would say" in page
    assert not re.search(r"<script|https?://|@import|url\(", page)
    told = here("explain", "encoder", "The [MASK] sat", "--out", str(out), "--target", "cat")
    assert told["target"] == "cat"
    told = here("explain", "small-finetuned", "The cat sat", "--out", str(out))
    assert told["target"] in ("negative", "positive") and "What each layer would say" not in out.read_text()
    for wrong, match in (
        (("explain", "encoder", "no mask", "--out", str(out)), "has 0 masks"),
        (("explain", "small", "x", "--out", str(tmp_path / "no" / "page.html")), "there is no folder"),
        (("probe", "memorisation", "small-finetuned"), "name them by --tokens"),
    ):
        with pytest.raises(RequestError, match=match):
            here(*wrong)


def test_tokens_are_those_of_the_training(store: Store, tmp_path: Path) -> None:
    model = store.find("model/small")
    assert training_tokens(store, model, None).reference == training_tokens(store, model, "small").reference
    (tmp_path / "other").mkdir()
    save_decoder(tmp_path / "other", ["quite another text, quite another vocabulary"])
    version = "20260101T000000000000Z-00000000"
    (store.root / "tokenizer" / "other").mkdir(parents=True)
    shutil.copytree(tmp_path / "other" / "tokenizer", store.root / "tokenizer" / "other" / version)
    (store.root / "tokens" / "other").mkdir()
    commit_tokens(store.root / "tokens" / "other" / version, [("en", "train", "text")], store.find("tokenizer/other"), shards=1)
    with pytest.raises(RequestError, match="whose ids are not those of model/small"):
        training_tokens(store, model, "other")

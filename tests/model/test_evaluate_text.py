"""Language modelling on held-out text: decoders beside n-grams and compressors, encoders by pseudo-likelihood."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard

from flows.summary import evaluation_lines
from model.checkpoint import save_model
from model.encoder import EncoderModel
from model.evaluate.__main__ import main as evaluate
from model.evaluate.compressors import compressed_nats
from model.evaluate.held_out import Text
from model.evaluate.pseudo import follows, frame_of, pseudo_nats
from model.evaluate.scoring import decoder_nats
from model.evaluate.tasks import main
from model.fill import Filler
from model.generate import Writer
from model.metrics.items import read_items
from schemas import recipe
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.recipe import Evaluation, HeldOutText
from schemas.results import MODEL
from tests.model.annotated import ROLES, annotated_documents
from tests.model.annotated import commit_tokenizer as commit_mask_tokenizer
from tests.model.annotated import commit_tokens as commit_annotated
from tests.model.labelled import commit_documents, small_reviews
from tests.model.test_evaluate_likelihood import saved
from tests.model.test_evaluate_tasks import artifact_of, draft_of, results


def test_compressors_add_up_to_the_whole_stream() -> None:
    texts = ["The same words. " * 9, "我们在家。" * 5, "The same words. " * 9, "x"]
    nats = compressed_nats(texts)
    whole = "".join(texts).encode()
    for name, least in (("gzip", len(gzip.compress(whole, 9))), ("zstd", len(zstandard.compress(whole, 19)))):
        sizes = nats[name] / math.log(2) / 8
        assert np.allclose(sizes, np.round(sizes)) and least <= sizes.sum() <= least + 16 * len(texts)
        assert sizes[2] < sizes[0]  # what was there before costs little


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def filler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Filler:
    folder = tmp_path_factory.mktemp("saved")
    tokenizer = commit_mask_tokenizer(tmp_path_factory.mktemp("store") / "tokenizer", [text for _, _, text in annotated_documents()])
    torch.manual_seed(0)
    task = {"task": "next_sentence"} if request.param == "bert" else {}
    model = EncoderModel(recipe.Encoder(family=request.param, layers=1, width=32, heads=2, ffn=48, context=20, **task), 600)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    special = tokenizer.facts("tokenizer")["special_tokens"]
    save_model(model, folder, {f"{role}_token_id": special[role] for role in ROLES})
    shutil.copyfile(tokenizer.paths("tokenizer")[0], folder / "tokenizer.json")
    filler = Filler(folder)
    filler.folder, filler.artifact = folder, tokenizer
    return filler


def texts_of(filler: Filler, texts: list[str]) -> list[Text]:
    ids = [np.array(filler.tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    return [Text(bytes([n]), "s", "en", len(text.encode()), tokens) for n, (text, tokens) in enumerate(zip(texts, ids, strict=True))]


@torch.no_grad()
def test_a_pseudo_likelihood_hides_one_token_at_a_time(filler: Filler) -> None:
    texts = texts_of(filler, ["The list", "def main", "中国 of the list and another one that is longer than the context is"])
    before, behind = frame_of(filler)
    heard: list[int] = []
    found = pseudo_nats(filler, texts, heard.append)
    assert sum(heard) == sum(len(text.tokens) for text in texts)
    room = 20 - len(before) - len(behind)
    for text, nats in zip(texts, found, strict=True):
        expected = 0.0
        for first in range(0, len(text.tokens), room):
            ids = torch.tensor([*before, *text.tokens[first : first + room], *behind])
            for place in range(len(before), len(ids) - len(behind)):
                hidden = ids.clone()
                hidden[place] = filler.mask_id
                expected -= float(filler.model(hidden[None])[0, place].log_softmax(-1)[ids[place]])
        assert nats == pytest.approx(expected, abs=1e-3)


def test_whether_a_half_follows_is_asked_twice_a_text(filler: Filler) -> None:
    if filler.model.next_sentence is None:
        return
    texts = texts_of(filler, ["The list of words", "", "def main and more", "中国 of " * 20])
    found = follows(filler, texts)
    assert [(number, own) for number, own, _ in found] == [(n, own) for n in (0, 2, 3) for own in (True, False)]
    assert follows(filler, texts[:2]) == []


def test_an_encoder_is_measured_by_language_with_pseudo_in_its_signature(filler: Filler, tmp_path: Path) -> None:
    model = artifact_of(tmp_path / "model", filler.folder)
    rows = [{"text": text, "lang": lang} for lang, _, text in annotated_documents()[:12]]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Evaluation(text=HeldOutText(name="text", max_bytes=3000))
    found = results(draft_of(tmp_path / "a", model, settings, {"text": str(tmp_path / "text.jsonl")}))
    langs = {f"text.{row['lang']}" for row in rows}
    nsp = {"text.next_sentence"} if filler.model.next_sentence is not None else set()
    assert set(found) == langs | nsp
    for name in langs:
        assert set(found[name].systems) == {MODEL} and "pseudo" in found[name].systems[MODEL]["bits_per_byte"].signature
        assert "compares with other encoders" in found[name].notes[0]
    for name in nsp:
        assert set(found[name].systems) == {MODEL, "majority"} and found[name].systems["majority"]["accuracy"].value == 0.5


def test_the_step_of_a_recipe_measures_an_encoder_too(filler: Filler, tmp_path: Path) -> None:
    tokens = commit_annotated(tmp_path / "tokens", filler.artifact)
    inputs = {"pretrain": artifact_of(tmp_path / "model", filler.folder), "tokens": tokens.path, "tokenizer": filler.artifact.path}
    settings = recipe.Evaluate(max_tokens=300, prompts=("The ",))
    draft = Draft.start(tmp_path / "a", "evaluation", "small", Identity("evaluate", 2, settings.as_json(), {}, {}))
    draft.assign(inputs=inputs, roots={}, run={"ranks": 1, "threads_per_rank": 1})
    assert evaluate([str(draft.path)]) == 0
    results = json.loads((draft.path / "results.json").read_bytes())
    assert (results["language_modelling"], results["classification"], results["samples"]) == (None, None, [])
    assert {"language_modelling.en", "language_modelling.zh"} <= {task["task"] for task in results["tasks"]}
    assert any("bits per byte of pseudo-likelihood" in line for line in evaluation_lines(results))
    assert draft.commit(["evaluate"]).facts("evaluate")["bits_per_byte"] == {}


def test_a_decoder_is_measured_beside_ngrams_compressors_and_another_model(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    models = {
        name: artifact_of(tmp_path / name, saved(tmp_path / "s" / name, tokenizer_artifact, name)) for name in ("decoder", "recurrent")
    }
    documents = commit_documents(tmp_path / "documents", small_reviews(80))
    text = HeldOutText(name="small", documents=True, max_bytes=1500, ngram_orders=(2,), baseline="lstm")
    draft = draft_of(
        tmp_path / "a", models["decoder"], Evaluation(text=text), {}, {"documents": documents.path, "baseline": models["recurrent"]}
    )
    found = results(draft)
    assert set(found) == {"small.en", "small.zh", "small.from.prose", "small.from.reviews"}
    for result in found.values():
        assert set(result.systems) == {MODEL, "kneser_ney_2", "model/lstm", "gzip", "zstd"} and result.kind == "language_modelling"
        assert set(result.systems[MODEL]) == {"bits_per_byte", "perplexity"} and set(result.systems["gzip"]) == {"bits_per_byte"}
        assert result.systems["kneser_ney_2"]["bits_per_byte"].value < result.systems[MODEL]["bits_per_byte"].value  # it never saw a text
    writer, result = Writer(models["decoder"]), found["small.en"]
    by_id = {row["doc_id"].hex(): row["text"] for path in documents.paths("documents") for row in _rows(path)}
    names = read_items(draft.path / result.items, MODEL).names
    statistics = read_items(draft.path / result.items, MODEL).statistics["bits_per_byte"]
    for name, (nats, tokens, n_bytes) in zip(names, statistics, strict=True):
        ids = writer.tokenizer.encode(by_id[name], add_special_tokens=False).ids
        own = decoder_nats(writer.model, [Text(b"", "s", "en", 1, np.array(ids))], writer.bos, min(writer.eos))
        assert (nats, tokens, n_bytes) == (pytest.approx(own[0], rel=1e-4), len(ids) + 1, len(by_id[name].encode()))


def _rows(path: Path) -> list[dict]:
    from schemas.arrow import read_shard

    return read_shard(path).to_pylist()


def test_text_that_cannot_be_read_is_named(tokenizer_artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = artifact_of(tmp_path / "model", saved(tmp_path / "saved", tokenizer_artifact, "decoder"))
    for name, content, said in (
        ("a.jsonl", b'{"text": "x"}\n{"txt": 1}\n', "a.jsonl, line 2: has no text under the key 'text'"),
        ("b.txt", b"\xff\xfe\x00", "b.txt: is not UTF-8 at byte 0"),
        ("c.txt", b"x" * 200, "none of 1 texts of the test subset fits 100 bytes: raise --max-bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        settings = Evaluation(text=HeldOutText(name="text", max_bytes=100))
        assert main([str(draft_of(tmp_path / f"draft-{name}", model, settings, {"text": str(tmp_path / name)}).path)]) == 1
        assert said in capsys.readouterr().err

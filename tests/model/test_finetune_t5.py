"""An encoder-decoder learns labels, tags and answers from files of examples, and `transformers` says of the saved model what we say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from model.evaluate.asking import Headed
from model.examples import Asked, Tagged
from model.finetune import classify
from model.finetune.__main__ import main
from model.finetune.answers import Answers
from model.finetune.reading import reading_of
from model.finetune.saved import load_headed
from model.finetune.tagging import Tagging
from model.probes.subjects import subject_of
from schemas import recipe
from schemas.artifact import Artifact
from tests.model.test_finetune_tasks import WORDS, commit_base, draft_of, taught

T5 = recipe.EncoderDecoder(family="t5", layers=1, width=32, heads=2, ffn=64, context=48)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return commit_base(tmp_path_factory.mktemp("base"), T5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_pairs(base: Artifact, tmp_path: Path, method: str) -> None:
    draw, rows = random.Random(1), []
    for _ in range(400):
        first, second = draw.choice(WORDS), draw.choice(WORDS)
        rows.append({"first": f"{first} {draw.random():.3f}", "second": second, "label": "中" if second[0] > "z" else "en"})
    made, facts = taught(base, tmp_path / "a", {"kind": "pairs"}, rows, method=method, lr=5e-3 if method == "full" else 2e-2)
    assert facts["test"]["accuracy"] > 0.9 and facts["labels"] == ["en", "中"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(made.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    assert model.config.id2label == {0: "en", 1: "中"}
    pairs = [("red 0.123", "北京"), ("北京 0.99", "stone"), ("red", "酒店 " * 60)]
    read = tokenizer([first for first, _ in pairs], [second for _, second in pairs], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = model(**read).logits.softmax(-1).max(-1)
    for (label, probability), place, theirs in zip(classify(made.path, pairs), found.indices, found.values, strict=True):
        assert (label, probability) == (facts["labels"][place], pytest.approx(float(theirs), abs=1e-5))
    with pytest.raises(ValueError, match="is an encoder-decoder, whose two sides"):
        subject_of(made.path, "red")


def test_tagging(base: Artifact, tmp_path: Path) -> None:
    draw, rows = random.Random(2), list[dict[str, Any]]()
    for _ in range(300):
        words = draw.choices(WORDS, k=draw.randint(2, 7))
        rows.append({"words": words, "tags": ["B-COL" if word in ("red", "green") else "O" for word in words]})
    made, facts = taught(base, tmp_path / "a", {"kind": "tagging"}, rows)
    assert facts["test"]["entity_f1"] > 0.9 and facts["labels"] == ["O", "B-COL"]
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(made.path)
    assert theirs.config.id2label == {0: "O", 1: "B-COL"}
    model, config = load_headed(made.path)
    assert not any("decoder" in name for name in model.state_dict()), "tokens are told by the encoder alone"
    kind = Tagging(reading_of(made.path, config, 40), model.labels)
    assert kind.answer(model, [Tagged("x", ("blue", "red", "early"), ("O",) * 3)]) == [["O", "B-COL", "O"]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    ids = tokenizer("blue red early", return_tensors="pt")
    with torch.no_grad():
        ours = model(ids["input_ids"], None, torch.tensor([ids["input_ids"].shape[1]]))
        torch.testing.assert_close(ours, theirs(**ids).logits, rtol=1e-5, atol=1e-5)


def test_answers(base: Artifact, tmp_path: Path) -> None:
    draw, rows = random.Random(3), list[dict[str, Any]]()
    for number in range(300):
        before, answer = " ".join(draw.choices(WORDS[5:], k=draw.randint(0, 30))), draw.choice(WORDS)
        context = f"{before} {number} early {answer} paper"
        rows.append({"question": "red?", "context": context, "answers": [{"text": answer, "answer_start": context.rindex(answer)}]})
    made, facts = taught(base, tmp_path / "a", {"kind": "answers"}, rows, epochs=12)
    assert facts["test"]["f1"] > 0.6, facts["test"]
    transformers.AutoModelForQuestionAnswering.from_pretrained(made.path)
    model, config = load_headed(made.path)
    kind = Answers(reading_of(made.path, config, 40), may_be_none=False)
    for row in rows[:20]:
        (said,) = kind.answer(model, [Asked("x", row["question"], row["context"], ())])
        assert isinstance(said, str) and said in row["context"]
    assert Headed(made.path).model.purpose == "spans"


def test_a_label_wants_an_eos(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`transformers` tells a sequence by the state at its eos."""
    base = commit_base(tmp_path, T5, roles=("bos", "pad"))
    rows = [{"text": f"{word} {number}", "label": "ab"[number % 2]} for number, word in enumerate(WORDS * 4)]
    assert main([str(draft_of(base, tmp_path, {"kind": "classification"}, rows).path)]) == 1
    assert "puts no eos behind a text, by which an encoder-decoder labels it" in capfd.readouterr().err

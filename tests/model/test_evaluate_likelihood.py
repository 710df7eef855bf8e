"""Log-likelihoods of continuations, and how models are asked in words."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.checkpoint import save_model
from model.decoder import DecoderModel
from model.encoder_decoder import EncoderDecoderModel
from model.evaluate.asking import InWords, drawn
from model.evaluate.likelihood import Pair, encode_pair, log_likelihoods
from model.evaluate.prompts import prompt_of
from model.examples import Answer, Asked, Classified, Written
from model.generate import Writer
from model.recurrent import RecurrentModel
from schemas import recipe
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Task, TaskData

DECODER = recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=48, context=48)
MODELS: dict[str, Callable[[int], torch.nn.Module]] = {
    "decoder": lambda size: DecoderModel(DECODER, size),
    "recurrent": lambda size: RecurrentModel(recipe.Recurrent(family="lstm", layers=1, width=32, context=48), size),
    "encoder_decoder": lambda size: EncoderDecoderModel(
        recipe.EncoderDecoder(family="t5", layers=1, width=32, heads=2, ffn=48, context=48), size
    ),
}


def saved(folder: Path, tokenizer: Artifact, kind: str) -> Path:
    """A model far from uniform, as pretraining saves it."""
    torch.manual_seed(0)
    facts = tokenizer.facts("tokenizer")
    model = MODELS[kind](facts["vocab_size"])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ids = {f"{role}_token_id": number for role, number in facts["special_tokens"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder, ids | ({"decoder_start_token_id": ids["pad_token_id"]} if kind == "encoder_decoder" else {}))
    shutil.copyfile(tokenizer.paths("tokenizer")[0], folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module", params=list(MODELS))
def writer(request: pytest.FixtureRequest, tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Writer:
    folder = saved(tmp_path_factory.mktemp("saved"), tokenizer_artifact, request.param)
    writer = Writer(folder)
    writer.folder = folder
    return writer


def task(kind: str, **keys: object) -> Task:
    return Task(name="t", kind=kind, data=TaskData(test="unused.jsonl"), **keys)


PAIRS = [("The ", "list"), ("def main(", "self, other) and more of it"), ("", "好的"), ("a " * 40, "b"), ("中文 and", " café")]


@torch.no_grad()
def test_batches_of_one_and_eight_say_the_same_and_what_the_model_says(writer: Writer) -> None:
    pairs = [encode_pair(writer, *pair) for pair in PAIRS]
    alone, together, by_length = (log_likelihoods(writer, pairs, rows) for rows in (1, 8, None))
    for one, other, third, pair in zip(alone, together, by_length, pairs, strict=True):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-5)
        assert one.log_likelihood == pytest.approx(third.log_likelihood, abs=1e-5)
        expected = 0.0
        for place, token in enumerate(pair.continuation):
            if writer.answers:
                logits = writer.model(torch.tensor([pair.context]), torch.tensor([[writer.start, *pair.continuation[:place]]]))
            else:
                whole = [*pair.context, *pair.continuation]
                cut = max(0, len(whole) - 1 - (writer.model.limit or len(whole)))  # the same for all tokens of a continuation
                logits = writer.model(torch.tensor([whole[cut : len(pair.context) + place]]))
            expected += float(logits[0, -1].double().log_softmax(-1)[token])
        assert one.log_likelihood == pytest.approx(expected, abs=1e-4)


def test_pairs_are_cut_where_the_continuation_begins(writer: Writer) -> None:
    pair = encode_pair(writer, "Label: ", "good")
    assert writer.tokenizer.decode(pair.continuation) == " good"
    assert not {writer.bos, *writer.eos} & set(encode_pair(writer, "", "good").continuation)
    with pytest.raises(ValueError, match="no token of its own"):
        encode_pair(writer, "x", "")
    if getattr(writer.model, "limit", None):
        with pytest.raises(ValueError, match="a continuation has 60 tokens, and the model reads 48"):
            log_likelihoods(writer, [Pair([0], [5] * 60)])


def test_a_label_is_the_likeliest_choice_a_byte(writer: Writer) -> None:
    asked = InWords(writer.folder, {})
    told = task("classification", choices={"neg": "bad", "pos": "quite good"})
    examples = [Classified(str(n), text, None, "pos") for n, text in enumerate(("The list", "好的", "{label} x"))]
    labels = asked.labels(told, ["neg", "pos"])
    said = asked.answer(told, examples, [], labels, lambda done: None)
    for example, answer in zip(examples, said, strict=True):
        prompt = f"Text: {example.text}\nLabel:"
        scores = {
            label: log_likelihoods(writer, [encode_pair(writer, prompt, text)], 1)[0].log_likelihood / len(text)
            for label, text in (("neg", " bad"), ("pos", " quite good"))
        }
        assert answer == max(scores, key=scores.__getitem__)
    with pytest.raises(RequestError, match="choices.other: the data has no such label: it has neg, pos"):
        asked.labels(task("classification", choices={"other": "x"}), ["neg", "pos"])
    with pytest.raises(RequestError, match="tagging can't be asked in words"):
        asked.labels(task("tagging"), ["O"])
    with pytest.raises(RequestError, match="is classification, and the model was taught generation"):
        InWords(writer.folder, {"kind": "generation"}).labels(told, ["neg", "pos"])


def test_what_is_written_ends_with_the_line(writer: Writer) -> None:
    asked = InWords(writer.folder, {})
    examples = [Written(str(n), "word " * n, ("x",)) for n in range(1, 20)]
    said = asked.answer(task("generation", max_tokens=6), examples, [], [], lambda done: None)
    assert len(said) == 19 and not any("\n" in text for text in said)
    taught = InWords(writer.folder, {"kind": "generation", "max_new_tokens": 3})
    assert taught.labels(task("generation"), []) == []
    assert len(taught.answer(task("generation"), examples[:2], [], [], lambda done: None)) == 2
    with pytest.raises(RequestError, match="asked without examples: leave --shots out"):
        taught.answer(task("generation"), examples[:2], examples[2:], [], lambda done: None)
    alone = asked.answer(task("generation", max_tokens=6), examples[4:5], [], [], lambda done: None)
    assert alone == said[4:5]


def test_prompts_show_shots_and_leave_braces_of_texts_alone() -> None:
    shot, asked = Classified("1", "fine {text}", None, "pos"), Classified("2", "{second}", "x", "neg")
    told = task("classification", choices={"pos": "good"})
    assert prompt_of(told, asked, [shot]) == "Text: fine {text}\nLabel: good\n\nText: {second}\nLabel:"
    assert prompt_of(task("pairs"), asked) == "First: {second}\nSecond: x\nLabel:"
    question = Asked("1", "Who?", "It was Ann.", (Answer("Ann", 7),))
    assert prompt_of(task("answers"), question, [question]).count("\nQuestion: Who?\nAnswer:") == 2
    assert prompt_of(task("generation", prompt="{prompt} ="), Written("1", "2", ("3",))) == "2 ="
    with pytest.raises(ValueError, match="has no {context}: a prompt of answers holds {question}, {context}"):
        task("answers", prompt="{question}")


def test_draws_are_of_the_seed_and_in_order() -> None:
    assert drawn(list(range(50)), 5, 3, "x") == sorted(drawn(list(range(50)), 5, 3, "x")) != drawn(list(range(50)), 5, 4, "x")
    assert drawn([1, 2], 5, 0, "x") == drawn([1, 2], None, 0, "x") == [1, 2]
    assert math.isclose(len(drawn(list(range(9)), 0, 0, "x")), 0)

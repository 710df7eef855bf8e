"""A recipe's model is of one of several architectures, by its family, and its objective fits it; errors name the key as it stands."""

from pathlib import Path
from typing import Any

import pytest

from schemas.recipe import Decoder, Encoder, EncoderDecoder, Pretrain, Recipe, Recurrent
from schemas.recipe_file import RecipeError, load_recipe

HEAD = "name: r\ncorpus:\n  sources: [{name: a, path: a, format: jsonl}]\npretrain:\n"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("  model: {layer: 3}", "5: pretrain.model.layer: unknown key; did you mean 'layers'?"),
        ("  model: {family: bert, layer: 3}", "5: pretrain.model.layer: unknown key; did you mean 'layers'?"),
        ("  model: {family: bert, kv_heads: 3}", "5: pretrain.model.kv_heads: unknown key; did you mean 'heads'?"),
        ("  model: {family: bert, width: -1}", "5: pretrain.model.width: Input should be greater than 0, not -1"),
        ("  model: {family: bet}", "5: pretrain.model: no such family: they are llama, gpt2, bert, modernbert, t5, lstm"),
        ("  model: 3", "5: pretrain.model: Input should be a valid dictionary"),
        ("  model: {family: bert}\n  objective: {name: next_token}", "6: pretrain.objective.name: next_token does not train bert"),
        ("  objective: {name: masked_tokens}", "5: pretrain.objective.name: masked_tokens does not train llama: it learns by next_token"),
        (
            "  model: {family: modernbert}\n  objective: {name: masked_tokens, next_sentence: true}",
            "6: pretrain.objective.next_sentence: modernbert has no head for it",
        ),
        (
            "  model: {family: bert}\n  objective: {name: masked_tokens, next_sentence: true}\n  packing: best_fit",
            "7: pretrain.packing: has no say over the pairs that objective.next_sentence reads",
        ),
        (
            "  model: {family: bert}\n  objective: {name: masked_tokens, next_sentence: true}\n  document_mask: true",
            "7: pretrain.document_mask: has no say over the pairs that objective.next_sentence reads",
        ),
        ("  objective: {name: next_token, shar: 0.2}", "5: pretrain.objective.shar: unknown key; did you mean 'share'?"),
        (
            "  objective: {name: next_token, share: 0.2}",
            "5: pretrain.objective.share: is a key of masked_tokens, span_corruption, denoising",
        ),
        ("  model: {family: bert}\n  z_loss: 0.1", "6: pretrain.z_loss: is not for bert"),
        ("  model: {family: bert}\ntokenizer: {kind: unigram}", "6: tokenizer: has no mask, by which masked_tokens hides others"),
        ("  model: {family: bert}", "1: tokenizer: has no mask"),
        ("  model: {family: bert, task: none}", "5: pretrain.model.task: follows from objective.next_sentence"),
        ("  model: {family: bert, rope_theta: 3}", "5: pretrain.model.rope_theta: bert has no such option"),
        ("  model: {family: bert, width: 30}", "5: pretrain.model: width must be a multiple of heads"),
        ("  model: {family: t5}\n  packing: best_fit", "6: pretrain.packing: span_corruption cuts spans out of samples of one length"),
        ("  model: {family: t5}\n  document_mask: true", "6: pretrain.document_mask: span_corruption cuts spans out of samples of one"),
        ("  model: {family: t5, width: 100, heads: 3}", "5: pretrain.model: width must be a multiple of heads, or give head_width"),
        ("  model: {family: t5}", "1: tokenizer.sentinels: span corruption puts them in the place of what it cuts out: set it to 100"),
        ("  model: {family: t5}\ntokenizer: {sentinels: 0}", "6: tokenizer.sentinels: span corruption puts them in the place of"),
        ("  model: {family: lstm, heads: 3}", "5: pretrain.model.heads: unknown key"),
        ("  model: {family: lstm, size: medium}", "5: pretrain.model.size: Input should be 'tiny', 'mini' or 'small', not 'medium'"),
        ("  model: {family: lstm}\n  objective: {name: denoising}", "6: pretrain.objective.name: denoising does not train lstm"),
        ("  model: {family: lstm}\nfinetune: {source: a}", "6: finetune: has no head for an lstm"),
        ("  model: {family: lstm}\nrun: {shard: fsdp}", "6: run.shard: fsdp cuts weights, which an lstm reads whole: take shard: ddp"),
        ("  model: {family: t5}\nevaluate: {}", "6: evaluate: is of text alone, to which a t5 gives no likelihood"),
    ],
)
def test_a_wrong_model_is_refused_at_its_key(tmp_path: Path, section: str, problem: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"{HEAD}{section}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}:{problem}")


def test_the_family_says_which_architecture_and_what_it_learns_by() -> None:
    encoder, plain = Pretrain.model_validate({"model": {"family": "modernbert", "layers": 2}}), Pretrain()
    assert isinstance(encoder.model, Encoder) and encoder.aim.name == "masked_tokens"
    assert isinstance(plain.model, Decoder) and plain.aim.name == "next_token"
    for settings in (encoder, plain):
        assert Pretrain.model_validate(settings.model_dump(mode="json")) == settings
        assert Pretrain.model_validate(settings.as_json()) == settings
        assert "objective" not in settings.as_json()
    recurrent = Pretrain.model_validate({"model": {"family": "lstm", "size": "mini"}}).model
    assert isinstance(recurrent, Recurrent) and recurrent.width == 448


def test_a_recipe_with_an_encoder_says_what_it_said() -> None:
    sources = [{"name": "a", "path": "a", "format": "jsonl"}]
    objective = {"name": "masked_tokens", "next_sentence": True}
    pretrain = {"model": {"family": "bert"}, "objective": objective}
    recipe = Recipe.model_validate({"name": "r", "corpus": {"sources": sources}, "tokenizer": {"family": "bert"}, "pretrain": pretrain})
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    "tokenizer",
    [{"sentinels": 9}, {"family": "t5"}, {"kind": "unigram"}, {"path": "tokenizer.json"}, {"pin": "mine@2026"}],
)
def test_span_corruption_goes_with_a_tokenizer_that_has_sentinels_or_may_have(tokenizer: dict[str, Any]) -> None:
    told = {"name": "r", "corpus": {"sources": [{"name": "a", "path": "a", "format": "jsonl"}]}, "tokenizer": tokenizer}
    recipe = Recipe.model_validate(told | {"pretrain": {"model": {"family": "t5", "size": "small", "layers": 3}}})
    assert recipe.pretrain is not None and isinstance(recipe.pretrain.model, EncoderDecoder)
    model = recipe.pretrain.model
    assert (model.layers, model.width, model.head_size, model.heads, model.size) == (3, 512, 64, 6, None)
    assert recipe.pretrain.aim.name == "span_corruption" and "size" not in model.as_json()
    assert Recipe.model_validate(told | {"tokenizer": {}, "pretrain": {"model": {"family": "t5"}, "objective": {"name": "denoising"}}})

"""The model: how *headed models* (`model.finetune.heads`) are written down for `transformers`: the class of each family and purpose, and
the names of its tensors. Below the head all is as the family's adapter says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from model.hf import adapter_for, adapter_named
from model.hf.adapter import HEAD, Adapter, NotRepresented, TensorOf
from schemas import recipe

_POOLER = "pooler."


@dataclass(frozen=True)
class HeadClass:
    """A class of `transformers` that has a head."""

    name: str
    purpose: str
    score: str
    """What it calls the layer that scores."""
    bias: bool = True
    base: str | None = None
    """Where it keeps what is below, if elsewhere than the family's other classes do."""


def _usual(model_type: str, family: str, score: str = "classifier", spans: str = "qa_outputs") -> dict[tuple[str, str], HeadClass]:
    return {
        (model_type, "sequence"): HeadClass(f"{family}ForSequenceClassification", "sequence", score),
        (model_type, "tokens"): HeadClass(f"{family}ForTokenClassification", "tokens", score),
        (model_type, "spans"): HeadClass(f"{family}ForQuestionAnswering", "spans", spans),
    }


def _llama(model_type: str, family: str) -> dict[tuple[str, str], HeadClass]:
    found = _usual(model_type, family, "score")
    sequence, spans = found[model_type, "sequence"], found[model_type, "spans"]
    return {**found, (model_type, "sequence"): replace(sequence, bias=False), (model_type, "spans"): replace(spans, base="transformer.")}


CLASSES: Mapping[tuple[str, str], HeadClass] = {
    **_usual("bert", "Bert"),
    **_usual("modernbert", "ModernBert", spans="classifier"),
    **_llama("llama", "Llama"),
    **_llama("qwen3", "Qwen3"),
    **_usual("gpt2", "GPT2"),
    ("gpt2", "sequence"): HeadClass("GPT2ForSequenceClassification", "sequence", "score", bias=False),
    ("t5", "sequence"): HeadClass("T5ForSequenceClassification", "sequence", "classification_head.out_proj", base="transformer."),
    ("t5", "tokens"): HeadClass("T5ForTokenClassification", "tokens", "classifier", base="transformer."),
    ("t5", "spans"): HeadClass("T5ForQuestionAnswering", "spans", "qa_outputs"),
}
"""By `model_type` and purpose."""

HEADLESS = {"bert": "BertModel", "modernbert": "ModernBertModel"}
"""Classes without heads, as what an encoder's config must name for the family's adapter to read it."""


def class_of(architecture: recipe.Architecture, purpose: str) -> HeadClass:
    """Raises `NotRepresented` for a family without such a class."""
    model_type = adapter_for(architecture).model_type
    if (model_type, purpose) not in CLASSES:
        raise NotRepresented(f"transformers has no class of {model_type} for {purpose}")
    return CLASSES[model_type, purpose]


def class_named(config: Mapping[str, Any]) -> HeadClass | None:
    """The class that wrote a `config.json`; None if it has no head of ours."""
    written = (config.get("architectures") or [None])[0]
    return next((found for found in CLASSES.values() if found.name == written), None)


def architecture_of(config: Mapping[str, Any]) -> recipe.Architecture:
    """What is below the head of a config that names a class with one. Raises `NotRepresented`."""
    adapter = adapter_named(config)
    below = {**config, "architectures": [HEADLESS.get(adapter.model_type, adapter.architecture)]}
    architecture: recipe.Architecture = adapter.architecture_of(below)
    return architecture


def head_adapter(architecture: recipe.Architecture, purpose: str) -> Adapter[Any]:
    """The family's adapter, for the class with this head: its tensors are those below the head, and the head's own."""
    adapter, written = adapter_for(architecture), class_of(architecture, purpose)

    def tensors(shape: Any) -> list[TensorOf]:
        encoder = isinstance(shape, recipe.Encoder)
        below = adapter.tensors(shape.model_copy(update={"task": "none"}) if encoder else shape)
        pooled = encoder and shape.family == "bert" and purpose == "sequence"
        below = [t for t in below if HEAD not in t.ours and (pooled or not t.ours[0].startswith(_POOLER))]
        if isinstance(shape, recipe.EncoderDecoder):
            below = _of_stacks(below, purpose)
        if written.base is not None:
            below = [replace(tensor, name=written.base + tensor.name.removeprefix(adapter.base)) for tensor in below]
        own = [TensorOf(f"head.{part}.weight", (f"head.{part}.weight",)) for part in ("dense", "norm")]
        kinds = ("weight", "bias") if written.bias else ("weight",)
        scores = [TensorOf(f"{written.score}.{kind}", (f"score.{kind}",)) for kind in kinds]
        if isinstance(shape, recipe.EncoderDecoder) and purpose == "sequence":
            scores = [*(TensorOf(f"classification_head.dense.{kind}", (f"pooler.{kind}",)) for kind in kinds), *scores]
        return [*below, *(own if encoder and shape.family == "modernbert" else []), *scores]

    def copies(shape: Any) -> dict[str, str]:
        if not isinstance(shape, recipe.EncoderDecoder):
            return {}
        base = written.base or adapter.base
        return {base + copy: base + tied for copy, tied in adapter.copies(shape).items() if copy != HEAD}

    def describe(shape: Any) -> dict[str, Any]:
        told = {**adapter.describe(shape), "architectures": [written.name]}
        if adapter.model_type == "modernbert":
            told["classifier_pooling"] = "mean"
        return told

    return replace(adapter, architecture=written.name, describe=describe, tensors=tensors, copies=copies, base=written.base or adapter.base)


def _of_stacks(tensors: list[TensorOf], purpose: str) -> list[TensorOf]:
    """Those of an encoder-decoder that a model with a head has (`model.finetune.heads.Stacks`)."""
    there = [tensor for tensor in tensors if purpose != "tokens" or not tensor.name.startswith("decoder.")]
    return [replace(tensor, ours=tuple(f"model.{name}" for name in tensor.ours)) for tensor in there]

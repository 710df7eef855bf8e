"""The model: a *saved headed model* is a folder that `transformers` loads as it is: `model.safetensors`, `config.json` with the labels,
and the tokenizer, which frames texts as they were framed in fine-tuning.

What was taught to write is saved as the plain model that it is (`AutoModelForCausalLM`, `AutoModelForSeq2SeqLM`), with a tokenizer that
frames as in pretraining, and a chat template if dialogues were taught.

What only we need, the kind of the task and how long texts may be, stands in `config.json` under `gristmill`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.checkpoint import Mismatch, copy_into, save_model
from model.decoder import DecoderModel
from model.dialogue import chat_template
from model.encoder import EncoderModel
from model.encoder_decoder import EncoderDecoderModel
from model.families import build_model, start_of
from model.finetune.heads import HeadedModel
from model.finetune.reading import Special
from model.finetune.written import WritingModel
from model.hf.adapter import EMBEDDING, NotRepresented
from model.hf.export import TOKENIZER, TOKENIZER_CONFIG, framing_bos, write_tokenizer
from model.hf.files import WEIGHTS, Weights, save_tensors
from model.hf.heads import architecture_of, class_named, head_adapter

OURS = "gristmill"
"""Key of `config.json`."""
CHAT_TEMPLATE = "chat_template.jinja"
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def save_headed(model: HeadedModel, folder: Path, config: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write `model.safetensors` (float32, vocabulary of its real size) and `config.json`; return both paths. `config` adds keys."""
    adapter, state = head_adapter(model.architecture, model.purpose), _trimmed(model)
    tensors = {t.name: t.export([state[name] for name in t.ours]).float() for t in adapter.tensors(model.architecture)}
    labels = {"id2label": {str(number): label for number, label in enumerate(model.labels)}}
    labels["label2id"] = {label: number for number, label in enumerate(model.labels)}  # type: ignore[misc]
    single = {"problem_type": "single_label_classification"} if model.purpose == "sequence" else {}
    told = adapter.config(model.architecture, model.vocab_size)
    content = {**told, **(labels if model.labels else {}), **single, "classifier_dropout": model.dropout.p, **config, OURS: dict(own)}
    weights, description = folder / WEIGHTS, folder / "config.json"
    save_tensors(tensors, weights)
    description.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return weights, description


def save_written(model: WritingModel, source: Path, folder: Path, config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[Path, str]:
    """Write what was taught to write, from the model in `source` with this `config.json`; return the files with their roles."""
    ids = {key: config[key] for key in _IDS if config.get(key) is not None}
    weights, description = save_model(model.base, folder, {**ids, OURS: dict(own)})
    names = write_tokenizer(source, folder, config)
    if own["kind"] == "chat":
        names = [name for name in names if name != CHAT_TEMPLATE]
        (folder / CHAT_TEMPLATE).unlink(missing_ok=True)
        _add_template(folder, Special.of(config))
    told = {folder / name: "tokenizer" if name == TOKENIZER else "transformers" for name in names}
    return {weights: "weights", description: "config", **told}


def _add_template(folder: Path, special: Special) -> None:
    tokenizer, path = Tokenizer.from_file(str(folder / TOKENIZER)), folder / TOKENIZER_CONFIG
    begins = framing_bos(tokenizer, special.bos)
    bos, eos = (None if number is None else tokenizer.id_to_token(number) for number in (begins, special.eos))
    assert eos is not None  # no dialogue is learned without one
    told = json.loads(path.read_text(encoding="utf-8"))
    told["chat_template"] = chat_template(bos, eos)
    path.write_text(json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def is_headed(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is of a model with a head of ours."""
    return class_named(config) is not None


def has_head(folder: Path) -> bool:
    """Whether the model of a folder has one: what was taught to write has none. Raises `Mismatch`."""
    path = folder / "config.json"
    try:
        return is_headed(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise Mismatch(f"{path}: does not describe a model: {error}") from error


def load_headed(folder: Path) -> tuple[HeadedModel, dict[str, Any]]:
    """The headed model of a folder, ready to answer, and its `config.json`; a folder that `transformers` wrote will do. Raises
    `Mismatch`."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        written = class_named(config)
        if written is None:
            raise NotRepresented(f"is a {config.get('architectures')}, which has no head that was fine-tuned")
        architecture, labels = architecture_of(config), _labels(config) if written.purpose != "spans" else []
        with torch.random.fork_rng(devices=[]):
            base = build_model(architecture, config["vocab_size"])
            assert isinstance(base, EncoderModel | DecoderModel | EncoderDecoderModel)
            model = HeadedModel(base, written.purpose, labels, start=start_of(config))  # type: ignore[arg-type]
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise Mismatch(f"{path}: does not describe a fine-tuned model: {error}") from error
    try:
        copy_into(_trimmed(model), head_adapter(architecture, written.purpose), architecture, Weights(folder))
    except NotRepresented as error:
        raise Mismatch(str(error)) from error
    return model.eval(), config


def _labels(config: Mapping[str, Any]) -> list[str]:
    named = config.get("id2label") or {str(number): f"LABEL_{number}" for number in range(config.get("num_labels", 2))}
    return [named[str(number)] for number in range(len(named))]


def _trimmed(model: HeadedModel) -> dict[str, Tensor]:
    """Its state, alive, with a vocabulary of its real size."""
    state: dict[str, Tensor] = model.state_dict()
    return state | {EMBEDDING: state[EMBEDDING][: model.vocab_size]}

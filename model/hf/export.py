"""The model: to *export* a saved model is to write a folder that `transformers` loads with `AutoModelForCausalLM` (or
`AutoModelForSeq2SeqLM`), `AutoTokenizer` and `pipeline`, with no code of ours: weights, `config.json`, `generation_config.json`, and the
tokenizer's files.

The tokenizer puts before a text what pretraining put before it, its `bos`, or behind it the `eos` of what an encoder reads: so a prompt is
read there as it is here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from model.hf.adapter import NotRepresented
from model.hf.files import SHARD_BYTES, copy_weights
from schemas.errors import RequestError
from schemas.files import remove_tree

CONFIG, TOKENIZER, TOKENIZER_CONFIG, GENERATION = "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"
CARRIED = (TOKENIZER_CONFIG, "special_tokens_map.json", "chat_template.jinja")
"""Files beside `tokenizer.json` that an imported model keeps, and hands on."""

_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def export_model(folder: Path, out: Path, shard_bytes: int = SHARD_BYTES) -> list[str]:
    """Write the saved model of `folder` to `out`, which must not be there or be empty; return the names of its files.

    All of it is there, or nothing. Raises `RequestError`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out}: is there already, and is not an empty folder: name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    making = out.with_name(f".{out.name}.{os.getpid()}")
    making.mkdir()
    try:
        names = _write(folder, making, shard_bytes)
        os.replace(making, out)
    except NotRepresented as error:
        raise RequestError(str(error)) from error
    finally:
        remove_tree(making)
    return names


def _write(folder: Path, out: Path, shard_bytes: int) -> list[str]:
    names = copy_weights(folder, out, shard_bytes)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    shutil.copyfile(folder / CONFIG, out / CONFIG)
    special = {f"{role}_token_id": config.get(f"{role}_token_id") for role in ("bos", "eos", "pad", "decoder_start")}
    _write_json(out / GENERATION, {key: value for key, value in special.items() if value is not None})
    names += [CONFIG, GENERATION, TOKENIZER]
    if (folder / TOKENIZER_CONFIG).is_file():
        carried = [name for name in CARRIED if (folder / name).is_file()]
        for name in (TOKENIZER, *carried):
            shutil.copyfile(folder / name, out / name)
        return names + carried
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    roles = {role: tokenizer.id_to_token(config[key]) for role in _ROLES if isinstance(config.get(key := f"{role}_token_id"), int)}
    reads = bool(config.get("is_encoder_decoder"))
    frame_as_pretraining(tokenizer, config["eos_token_id" if reads else "bos_token_id"], behind=reads)
    tokenizer.save(str(out / TOKENIZER))
    tokens = {f"{role}_token": token for role, token in roles.items()}
    others = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    others = [token for token in others if token not in roles.values()]
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": config.get("max_position_embeddings", config.get("n_positions")),
        "padding_side": "right" if reads else "left",
        **tokens,
        **({"extra_special_tokens": others} if others else {}),
    }
    _write_json(out / TOKENIZER_CONFIG, described)
    _write_json(out / "special_tokens_map.json", tokens)
    return [*names, TOKENIZER_CONFIG, "special_tokens_map.json"]


def frame_as_pretraining(tokenizer: Tokenizer, number: int, behind: bool) -> None:
    """Let the tokenizer put the bos before a text, and nothing behind it: what follows a prompt is the model's to say. Or else
    the eos ``behind`` it, where the model reads a text whole."""
    token = tokenizer.id_to_token(number)
    if token is None:
        raise NotRepresented(f"{CONFIG}: {'eos' if behind else 'bos'}_token_id {number} is no token of {TOKENIZER}")
    single, pair = (f"$A {token}", f"$A {token} $B {token}") if behind else (f"{token} $A", f"{token} $A $B")
    frame = processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(token, number)])
    own = tokenizer.post_processor
    plain = own is not None and own.num_special_tokens_to_add(False) == 0
    tokenizer.post_processor = processors.Sequence([own, frame]) if plain else frame


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

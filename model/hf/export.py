"""The model: to *export* a saved model is to write a folder that `transformers` loads with `AutoModelForCausalLM` (or
`AutoModelForSeq2SeqLM`), `AutoTokenizer` and `pipeline`, with no code of ours: weights, `config.json`, `generation_config.json`, and the
tokenizer's files.

The tokenizer puts before a text what pretraining put before it, its `bos`, and behind what an encoder reads the `eos`: so a text is read
there as it is here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from model.hf import adapter_named
from model.hf.adapter import NotRepresented
from model.hf.files import SHARD_BYTES, copy_weights, weight_files
from model.hf.heads import class_named
from schemas.errors import RequestError
from schemas.files import remove_tree

CONFIG, TOKENIZER, TOKENIZER_CONFIG, GENERATION = "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"
CARRIED = (TOKENIZER_CONFIG, "special_tokens_map.json", "chat_template.jinja")
"""Files beside `tokenizer.json` that an imported model keeps, and hands on."""

ENCODERS = ("bert", "modernbert")
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
    weight_files(folder)  # what has none has no config.json either, and that message says less
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if adapter_named(config).ours:
        raise NotRepresented(
            f"{folder}: is {config['model_type']}, which transformers has no class for: `gristmill generate` writes with it"
        )
    names = copy_weights(folder, out, shard_bytes)
    shutil.copyfile(folder / CONFIG, out / CONFIG)
    names.append(CONFIG)
    if class_named(config) is None:  # what has a head to tell labels or spans generates nothing
        special = {f"{role}_token_id": config.get(f"{role}_token_id") for role in ("bos", "eos", "pad", "decoder_start")}
        _write_json(out / GENERATION, {key: value for key, value in special.items() if value is not None})
        names.append(GENERATION)
    return [*names, *write_tokenizer(folder, out, config)]


def write_tokenizer(folder: Path, out: Path, config: Mapping[str, Any]) -> list[str]:
    """Write the tokenizer of the saved model of `folder` to `out`, as `transformers` reads it; return the names of its files."""
    if (folder / TOKENIZER_CONFIG).is_file():
        names = [TOKENIZER, *(name for name in CARRIED if (folder / name).is_file())]
        for name in names:
            shutil.copyfile(folder / name, out / name)
        return names
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    roles = {role: tokenizer.id_to_token(config[key]) for role in _ROLES if isinstance(config.get(key := f"{role}_token_id"), int)}
    t5 = config["model_type"] == "t5"
    decoder = not t5 and config["model_type"] not in ENCODERS
    frame_as_pretraining(tokenizer, None if t5 else config["bos_token_id"], None if decoder else config["eos_token_id"])
    tokenizer.save(str(out / TOKENIZER))
    tokens = {f"{role}_token": token for role, token in roles.items()}
    others = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    others = [token for token in others if token not in roles.values()]
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", *(["token_type_ids"] if config["model_type"] == "bert" else []), "attention_mask"],
        "model_max_length": config.get("max_position_embeddings", config.get("n_positions")),
        "padding_side": "left" if decoder else "right",
        **tokens,
        **({"additional_special_tokens": others} if others else {}),  # version 5 reads it, too; its own key is another thing to version 4
    }
    _write_json(out / TOKENIZER_CONFIG, described)
    _write_json(out / "special_tokens_map.json", tokens)
    return [TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json"]


def frame_as_pretraining(tokenizer: Tokenizer, bos: int | None, eos: int | None) -> None:
    """Let the tokenizer put the bos before a text and the eos behind it, as far as they are given: what follows a prompt is a decoder's to
    say, and an encoder-decoder reads no bos. Of two texts, the second has an eos too; if there is a bos, its tokens have type 1."""
    given = [(_token(tokenizer, role, number), number) for role, number in (("bos", bos), ("eos", eos)) if number is not None]
    first = "" if bos is None else f"{given[0][0]}:0 "
    last, kind = ("", 0) if eos is None else (f" {given[-1][0]}", 0 if bos is None else 1)
    single, pair = f"{first}$A:0{last}", f"{first}$A:0{last and last + ':0'} $B:{kind}{last and f'{last}:{kind}'}"
    frame = processors.TemplateProcessing(single=single, pair=pair, special_tokens=given)
    own = tokenizer.post_processor
    plain = own is not None and own.num_special_tokens_to_add(False) == 0
    tokenizer.post_processor = processors.Sequence([own, frame]) if plain else frame


def framing_bos(tokenizer: Tokenizer, bos: int | None) -> int | None:
    """The bos, if the tokenizer puts it before a text: some models have one that nothing begins with."""
    return bos if tokenizer.encode("a").ids[:1] == [bos] else None


def _token(tokenizer: Tokenizer, role: str, number: int) -> str:
    token: str | None = tokenizer.id_to_token(number)
    if token is None:
        raise NotRepresented(f"{CONFIG}: {role}_token_id {number} is no token of {TOKENIZER}")
    return token


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

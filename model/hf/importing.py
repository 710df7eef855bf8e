"""The model: the *import* step makes a model artifact of a folder of Hugging Face's: a decoder that an adapter reads, and its tokenizer.

    python -m model.hf.importing DRAFT

What decides it is the content of the files that it reads. Weights become float32 under the same names; `config.json` is
written anew, from what was understood of it. Exit 0: the part is recorded. Exit 1: an error, in one line.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.checkpoint import Mismatch, load_model, read_config, save_model
from model.hf.adapter import NotRepresented
from model.hf.export import CARRIED, CONFIG, GENERATION, TOKENIZER, TOKENIZER_CONFIG
from model.hf.files import INDEX, WEIGHTS, Weights, weight_files
from schemas.child import run_child
from schemas.draft import Draft
from schemas.fingerprint import digest_file, digest_json

STEP, KEY = "import", "model"
FILES = "files"
"""The input, and the root, that the folder is."""


def files_of(folder: Path) -> list[Path]:
    """What of a folder is imported. Raises `Mismatch` naming what it lacks."""
    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            hint = "; AutoTokenizer.from_pretrained(...).save_pretrained(...) writes it" if name == TOKENIZER else ""
            raise Mismatch(f"{folder / name}: is missing: a model to import has {CONFIG}, {TOKENIZER} and {WEIGHTS}{hint}")
    try:
        weights = weight_files(folder)
    except NotRepresented as error:
        raise Mismatch(str(error)) from error
    beside = [folder / name for name in (GENERATION, *CARRIED, INDEX) if (folder / name).is_file()]
    return [folder / CONFIG, folder / TOKENIZER, *weights, *beside]


def digest_of(folder: Path) -> str:
    """Digest of all that is imported of a folder: of names and contents, not of where it lies. Raises `Mismatch`."""
    return digest_json({path.name: digest_file(path) for path in files_of(folder)})


def examine(folder: Path) -> None:
    """See whether a folder can be imported, before anything is spent. Raises `Mismatch` naming what can't be represented."""
    files_of(folder)
    described = read_config(folder)
    if described.adapter.ours:
        raise Mismatch(f"{folder / CONFIG}: is {described.adapter.model_type}, which is a saved model of ours, none of transformers'")
    try:
        Weights(folder).names(described.adapter, described.architecture)
    except NotRepresented as error:
        raise Mismatch(str(error)) from error
    _check_tokenizer(folder / TOKENIZER, described.vocab_size)


def import_model(draft: Draft) -> None:
    """Do the step's work and record its part. Raises `Mismatch` naming the file, and what of it can't be represented."""
    if draft.part(STEP, KEY) is not None:
        return
    source, folder = Path(draft.task["roots"][FILES]), draft.scratch() / "model"
    if digest_of(source) != draft.identity.inputs[FILES]:
        raise Mismatch(f"{source}: was changed since the import was planned; run it again")
    folder.mkdir(exist_ok=True)
    examine(source)
    model, config = load_model(source)
    special = _special(source, config)
    weights, description = save_model(model, folder, special)
    roles = {weights: "weights", description: "config", Path(shutil.copyfile(source / TOKENIZER, folder / TOKENIZER)): "tokenizer"}
    carried = [name for name in CARRIED if (source / name).is_file()]
    roles |= {Path(shutil.copyfile(source / name, folder / name)): "transformers" for name in carried}
    if TOKENIZER_CONFIG not in carried:  # it tells that the tokenizer itself frames a prompt
        (folder / TOKENIZER_CONFIG).write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}\n', encoding="utf-8")
        roles[folder / TOKENIZER_CONFIG] = "transformers"
    facts = {
        "model_type": config["model_type"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocab_size": model.vocab_size,
        "special_tokens": special,
    }
    draft.add_part(STEP, KEY, [draft.adopt_as(path, path.name, role) for path, role in roles.items()], facts=facts)


def _special(source: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of bos, eos and pad: what generation is told to go by, or else what the model's config says."""
    generation = source / GENERATION
    try:
        told = json.loads(generation.read_text(encoding="utf-8")) if generation.is_file() else {}
        both = {**config, **{key: value for key, value in told.items() if value is not None}}
    except (AttributeError, ValueError) as error:
        raise Mismatch(f"{generation}: is not a JSON object: {error}") from error
    keys = [f"{role}_token_id" for role in ("bos", "eos", "pad", "decoder_start")]
    return {key: both[key] for key in keys if both.get(key) is not None}


def _check_tokenizer(path: Path, vocab_size: int) -> None:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise Mismatch(f"{path}: can't be read: {error}") from error
    if (known := tokenizer.get_vocab_size()) > vocab_size:
        raise Mismatch(f"{path}: has {known} tokens, config.json a vocab_size of {vocab_size}: they don't belong together")


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("model.hf.importing", arguments, import_model)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

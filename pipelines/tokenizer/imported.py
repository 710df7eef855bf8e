"""The model: an *imported* tokenizer is a `tokenizer.json` that somebody else trained: BPE, WordPiece, Unigram or WordLevel, byte-level
or not. It is used as it is; what this module finds out is which of its special tokens has which *role*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.tokenizer.families import ROLES
from schemas.errors import RequestError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_KINDS = ("BPE", "WordPiece", "Unigram", "WordLevel")

_USUAL: Mapping[str, tuple[str, ...]] = {
    "bos": ("<|bos|>", "<s>", "<bos>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "<|begin▁of▁sentence|>", "<｜begin▁of▁sentence｜>"),
    "eos": ("<|eos|>", "</s>", "<eos>", "[EOS]", "<|end_of_text|>", "<|endoftext|>", "<｜end▁of▁sentence｜>"),
    "pad": ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|▁pad▁|>", "<｜▁pad▁｜>"),
    "unk": ("<unk>", "[UNK]", "<|unk|>"),
    "cls": ("[CLS]", "<cls>"),
    "sep": ("[SEP]", "<sep>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
}
"""What published tokenizers call the token of a role; the first one that the file declares as special has it."""


def load(path: Path) -> Tokenizer:
    """The tokenizer in a file, without limits of length. Raises `RequestError` naming the file and what is wrong with it."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        reason = "there is no such file" if not path.is_file() else f"not a tokenizer.json: {error}"
        raise RequestError(f"tokenizer.path {path}: {reason}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    kind = json.loads(tokenizer.to_str())["model"]["type"]
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if kind not in _KINDS:
        raise RequestError(f"tokenizer.path {path}: a model of kind {kind}; known are {', '.join(_KINDS)}")
    if not ids:
        raise RequestError(f"tokenizer.path {path}: has an empty vocabulary; was it saved before training?")
    if ids != list(range(len(ids))):
        gap = next(number for number, found in enumerate(ids) if number != found)
        raise RequestError(f"tokenizer.path {path}: {len(ids):,} tokens have ids up to {ids[-1]:,}; id {gap:,} has no token of its own")
    return tokenizer


def roles(tokenizer: Tokenizer, declared: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Special token by role: as `declared` in the recipe, by the name it usually has, or as the model's own unknown token.

    Raises `RequestError` for a declared token that is not in the vocabulary.
    """
    if not isinstance(declared, Mapping):
        declared = {(ROLES[i] if i < 3 else token): token for i, token in enumerate(declared)}
    for role, token in declared.items():
        if tokenizer.token_to_id(token) is None:
            raise RequestError(f"tokenizer.special_tokens.{role}: {token!r} is not in the vocabulary of the tokenizer at tokenizer.path")
    document = json.loads(tokenizer.to_str())
    special = {added["content"] for added in document["added_tokens"] if added["special"]}
    found = {role: name for role, names in _USUAL.items() for name in reversed(names) if name in special}
    if (unk := _unknown(document["model"])) is not None:
        found["unk"] = unk
    return {**{role: found[role] for role in ROLES if role in found}, **{role: declared[role] for role in sorted(declared)}}


def unassigned(tokenizer: Tokenizer, assigned: Mapping[str, str]) -> list[str]:
    """Tokens that the file declares as special and that have no role, by id."""
    added = json.loads(tokenizer.to_str())["added_tokens"]
    return [token["content"] for token in added if token["special"] and token["content"] not in assigned.values()]


def _unknown(model: Mapping[str, Any]) -> str | None:
    if model["type"] == "Unigram":
        return None if model["unk_id"] is None else str(model["vocab"][model["unk_id"]][0])
    token = model.get("unk_token")
    return token if token in model["vocab"] else None

"""The model: the files beside `tokenizer.json` that make an artifact's folder load in Hugging Face `transformers`
(`AutoTokenizer.from_pretrained(folder)`), with equal ids and the same special tokens in the same roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CONFIG_FILE = "tokenizer_config.json"

_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def config(tokens: Mapping[str, str], more: Sequence[str], type_ids: bool) -> dict[str, Any]:
    """`tokenizer_config.json`, given special token by role or name, sentinels, and whether the model tells two texts apart by type ids.

    The roles are the tokenizer's own, none lent. Decoding leaves spaces as they are.
    """
    own = {f"{role}_token": tokens[role] for role in _ROLES if role in tokens}
    others = [token for name, token in tokens.items() if name not in _ROLES]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": [name for name in _INPUTS if type_ids or name != "token_type_ids"],
        **own,
        **({"extra_special_tokens": [*others, *more]} if others or more else {}),
    }

"""The model: *encoding* turns texts into token ids by a tokenizer artifact's `tokenizer.json`, without special tokens.

`byte_bpe` says what the tokenizers that we train are; `engine` runs one on many texts of any length.
"""

from __future__ import annotations

from pipelines.encode.byte_bpe import new_tokenizer, special_roles, train
from pipelines.encode.engine import Encoder, NotLossless

__all__ = ["Encoder", "NotLossless", "new_tokenizer", "special_roles", "train"]

"""The model: *encoding* turns texts into token ids by a tokenizer artifact's `tokenizer.json`, without special tokens.

`byte_bpe`, `wordpiece` and `unigram` say what the tokenizers that we train are; `engine` runs one on many texts of any length.
"""

from __future__ import annotations

from pipelines.encode.byte_bpe import new_tokenizer, train
from pipelines.encode.engine import Encoded, Encoder, NotLossless
from pipelines.encode.proven import AnyEncoder, open_encoder

__all__ = ["AnyEncoder", "Encoded", "Encoder", "NotLossless", "new_tokenizer", "open_encoder", "train"]

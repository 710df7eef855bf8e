"""The model: a *writing model* is a pretrained decoder or encoder-decoder as it is taught to write. It is asked for logits only at the
*places* where a token is wanted: most of what is read is a prompt, and its logits would cost more than all else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.decoder import DecoderModel
from model.encoder_decoder import EncoderDecoderModel
from schemas.errors import RequestError


class WritingModel(nn.Module):
    """See the module; `base` is what is saved."""

    def __init__(self, base: DecoderModel | EncoderDecoderModel, dropout: float = 0.0) -> None:
        super().__init__()
        self.base, self.dropout = base, nn.Dropout(dropout)

    def forward(self, ids: Tensor, written: Tensor, lengths: Tensor, places: Tensor) -> Tensor:
        """What is read, int64 [batch, time], of these lengths, and what an encoder-decoder has written, int64 [batch, time of it] ->
        logits of the tokens that follow, float [places, vocab]; a place is row x time + position, of ids or of what is written."""
        if isinstance(self.base, EncoderDecoderModel):
            text = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
            states = self.base.hidden(written, self.base.read(ids, text))
        else:
            states = self.base.hidden(ids)
        logits: Tensor = self.base.lm_head(self.dropout(states.flatten(0, 1)[places]))
        return logits[:, : self.base.vocab_size]


def writing(base: nn.Module, dropout: float = 0.0) -> WritingModel:
    """A writing model of a pretrained one. Raises `RequestError` for one that can't write."""
    if not isinstance(base, DecoderModel | EncoderDecoderModel):
        raise RequestError(
            f"the model is {type(base).__name__}, which is not taught to write: fine-tune a decoder (Llama, Qwen3, GPT-2) or a T5"
        )
    return WritingModel(base, dropout)

"""The model: a *recurrent* language model, a baseline for decoders: token embedding, layers of LSTM (Hochreiter & Schmidhuber 1997, with
the forget gate of Gers et al. 2000), and a *head* that scores the next token. All that it knows of what stands before a token is its
*state*: two vectors a layer, of one size however long the text.

It is called as `model.decoder.DecoderModel` is, so it is trained, validated, evaluated and written with by the same code. Where a text
begins inside a row, behind padding or another document, the state *begins anew*, at zero: the row is read in *pieces*, cut there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.decoder import PAD_TO, Packed
from schemas import recipe

State = tuple[Tensor, Tensor]
"""What a layer puts out, and its cell: float [1, batch, width] each."""


class StateCache:
    """The state of one layer after the positions seen so far."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.length = 0

    def keep(self, state: State, positions: int) -> None:
        """The state after so many positions more."""
        self.state, self.length = state, self.length + positions

    def select(self, rows: Tensor) -> None:
        """Go on with these rows, int64 [n], of the batch; one may be taken several times."""
        output, cell = self.state
        self.state = output[:, rows], cell[:, rows]


class RecurrentModel(nn.Module):
    """LSTM layers between an embedding and a head."""

    VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
    """Parameters with a row for each id of the vocabulary, padded."""

    def __init__(self, config: recipe.Recurrent, vocab_size: int) -> None:
        """Weights are drawn from torch's global generator: seed it first."""
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        rows = -(-vocab_size // PAD_TO) * PAD_TO
        self.embed_tokens = nn.Embedding(rows, config.width)
        self.layers = nn.ModuleList(nn.LSTM(config.width, config.width, batch_first=True) for _ in range(config.layers))
        self.lm_head = nn.Linear(config.width, rows, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Embedding and head normal with deviation 1/sqrt(width), LSTM weights as torch draws them, uniform up to that; biases zero, but
        for the forget gate's, which is 1, so that cells keep what they hold (Jozefowicz et al. 2015)."""
        for weight in (self.embed_tokens.weight, self.lm_head.weight):
            nn.init.normal_(weight, std=self.config.width**-0.5)
            weight[self.vocab_size :] = 0
        for layer in self.layers:
            for name, parameter in layer.named_parameters():
                if name.startswith("bias"):
                    nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    parameter[self.config.width : 2 * self.config.width] = 1  # gates are laid input, forget, cell, output

    def hidden(
        self, ids: Tensor, caches: list[StateCache] | None = None, packed: Packed | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """int64 [batch, time] -> states ready for the head, float [batch, time, width]. See ``forward``."""
        x = self.embed_tokens(ids)
        begins = None
        if packed is not None:
            begins = nn.functional.pad(packed[0][:, 1:] != packed[0][:, :-1], (1, 0))
        elif padding is not None:
            start = caches[0].length if caches else 0
            begins = torch.arange(start, start + ids.shape[1], device=ids.device) == padding[:, None]
        for number, layer in enumerate(self.layers):
            state = caches[number].state if caches else self._empty(len(ids))
            x, state = layer(x, state) if begins is None else _in_pieces(layer, x, state, begins)
            if caches:
                caches[number].keep(state, ids.shape[1])
        return x

    def forward(
        self, ids: Tensor, caches: list[StateCache] | None = None, packed: Packed | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """int64 [batch, time] -> logits of the next token, float [batch, time, vocab].

        With ``caches`` (see ``caches``), the ids continue what these have read. With ``packed``, a row holds several documents, and each is
        read as if it stood alone. With ``padding``, int64 [batch], each row, from where its caches were empty, begins with so many ids that
        are no text, and its text is read as if it began the row.
        """
        return self.lm_head(self.hidden(ids, caches, packed, padding))[..., : self.vocab_size]

    limit = None
    """A state has no end; ``config.context`` is of training."""

    def caches(self, batch: int, positions: int | None = None) -> list[StateCache]:
        """Those of rows of which nothing was read yet, one a layer; how many positions they will be asked for does not matter."""
        return [StateCache(self._empty(batch)) for _ in self.layers]

    def _empty(self, batch: int) -> State:
        zeros = self.lm_head.weight.new_zeros(1, batch, self.config.width)
        return zeros, zeros


def pieces_of(begins: Tensor) -> list[int]:
    """Where texts begin, bool [batch, time] -> lengths of the pieces that all rows are cut into, so that each begins where a piece does."""
    cuts = (begins[:, 1:].any(dim=0).nonzero()[:, 0] + 1).tolist()
    return [end - start for start, end in zip([0, *cuts], [*cuts, begins.shape[1]], strict=True)]


def _in_pieces(layer: nn.Module, x: Tensor, state: State, begins: Tensor) -> tuple[Tensor, State]:
    """float [batch, time, width] and the state before it -> what the layer puts out, of that shape, and the state after it.

    Where a text begins, bool [batch, time], the state of its row is zero.
    """
    found, start = [], 0
    for piece in x.split(pieces_of(begins), dim=1):
        anew = begins[:, start, None]
        states, state = layer(piece, (state[0].masked_fill(anew, 0), state[1].masked_fill(anew, 0)))
        found.append(states)
        start += piece.shape[1]
    return torch.cat(found, dim=1), state

"""The model: an *encoder teacher* is a pretrained BERT-like encoder in Hugging Face's layout (Devlin et al. 2019,
arXiv:1810.04805), fine-tuned to tag words: the first piece of each word, from a mix of its last layers, goes with the word's
*shape* (such encoders often read lower case only) through a bidirectional LSTM. As the recurrent teacher it is told which
treebank a sentence comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.annotate.training.tasks import Target, Tokens
from schemas.errors import RequestError

_LAYERS, _FROZEN = 4, 2
_SHAPE, _TREEBANK, _WIDTH, _DROP = 32, 16, 160, 0.2
_LR, _HEAD_LR, _WARM_UP = 1.5e-4, 2e-3, 0.06
_BATCH, _PIECES, _WORDS = 1500, 8, 120
_EPOCHS = 4

Sentence = tuple[str, ...]


class _Module(nn.Module):
    def __init__(self, encoder: Any, labels: int, treebanks: int) -> None:
        super().__init__()
        self.encoder = encoder
        encoder.embeddings.requires_grad_(False)
        for layer in encoder.encoder.layer[:_FROZEN]:
            layer.requires_grad_(False)
        self.shape = nn.Embedding(64, _SHAPE)
        self.treebank = nn.Embedding(treebanks, _TREEBANK)
        self.mix = nn.Parameter(torch.zeros(_LAYERS))
        self.rnn = nn.LSTM(encoder.config.hidden_size + _SHAPE + _TREEBANK, _WIDTH, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * _WIDTH, labels)

    def forward(self, pieces: Tensor, first: Tensor, shapes: Tensor, treebank: Tensor) -> Tensor:
        """Pieces (sentences, pieces), padded with 0; place of each word's first piece, shapes (sentences, words) -> scores."""
        states = self.encoder(pieces, attention_mask=(pieces != 0).long(), output_hidden_states=True).hidden_states[-_LAYERS:]
        mixed = torch.stack([weight * state for weight, state in zip(torch.softmax(self.mix, 0), states, strict=True)]).sum(0)
        words = torch.gather(mixed, 1, first[:, :, None].expand(-1, -1, mixed.shape[2]))
        words = nn.functional.dropout(words, _DROP, self.training)
        style = self.treebank(treebank)[:, None].expand(-1, first.shape[1], -1)
        hidden, _ = self.rnn(torch.cat([words, self.shape(shapes), style], -1).float())
        return self.output(nn.functional.dropout(hidden, _DROP, self.training))


class EncoderTeacher:
    """See the module."""

    def __init__(self, folder: Path, labels: int, seed: int) -> None:
        """Raises `RequestError` if `folder` holds no encoder, or transformers isn't installed."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise RequestError("an encoder as teacher needs transformers: pip install 'gristmill[train-tagger]'") from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            encoder = AutoModel.from_pretrained(str(folder), local_files_only=True, add_pooling_layer=False)
        except (OSError, ValueError, TypeError) as error:
            raise RequestError(f"{folder}: holds no BERT-like encoder: {error}") from error
        self._encoder, self._labels, self._seed = encoder, labels, seed
        self._pieces = lru_cache(maxsize=None)(self._pieces_of)

    def _pieces_of(self, word: str) -> list[int]:
        return self._tokenizer.encode(word, add_special_tokens=False)[:_PIECES] or [self._tokenizer.unk_token_id]

    def fit(self, sequences: Sequence[Tokens], targets: Sequence[Target], treebanks: Sequence[int], log: Callable[[str], None]) -> None:
        """Train on gold; treebanks are numbered from 0."""
        torch.manual_seed(self._seed)
        rng = np.random.default_rng(self._seed)
        self._net = net = _Module(self._encoder, self._labels, max(treebanks) + 1)
        cut = [
            (tuple(words[i : i + _WORDS]), target[i : i + _WORDS], treebank)
            for words, target, treebank in zip(sequences, targets, treebanks, strict=True)
            for i in range(0, len(words), _WORDS)
        ]
        sentences = [words for words, _, _ in cut]
        inner = [parameter for parameter in net.encoder.parameters() if parameter.requires_grad]
        outer = [parameter for name, parameter in net.named_parameters() if not name.startswith("encoder.")]
        optimizer = torch.optim.AdamW([{"params": inner, "lr": _LR}, {"params": outer, "lr": _HEAD_LR}], weight_decay=0.01, fused=True)
        peaks = [group["lr"] for group in optimizer.param_groups]
        total, step = _EPOCHS * len(list(self._batches(sentences, _BATCH, None))), 0
        for epoch in range(1, _EPOCHS + 1):
            losses = []
            for numbers in self._batches(sentences, _BATCH, rng):
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * min(1.0, (step + 1) / (_WARM_UP * total)) * max(1e-3, 1 - step / total)
                inputs, real = self._inputs([sentences[i] for i in numbers])
                with torch.autocast("cpu", torch.bfloat16):
                    scores = net(*inputs, torch.tensor([cut[i][2] for i in numbers]))
                gold = torch.from_numpy(np.concatenate([cut[i][1] for i in numbers]))
                loss = nn.functional.cross_entropy(scores.float()[real], gold)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                step += 1
                losses.append(loss.item())
            log(f"tagger: encoder teacher, pass {epoch} of {_EPOCHS}, loss {np.mean(losses):.4f}")

    def predict(self, sequences: Sequence[Tokens]) -> list[Target]:
        """Distributions over the labels of each sentence's words, in the style of treebank 0."""
        cut = [tuple(words[i : i + _WORDS]) for words in sequences for i in range(0, len(words), _WORDS)]
        found: list[Target] = [np.zeros((0, self._labels), np.float32)] * len(cut)
        self._net.eval()
        for numbers in self._batches(cut, 4 * _BATCH, None):
            inputs, real = self._inputs([cut[i] for i in numbers])
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                scores = self._net(*inputs, torch.zeros(len(numbers), dtype=torch.int64))
            labels = torch.softmax(scores.float()[real], -1).numpy()
            for i, part in zip(numbers, np.split(labels, np.cumsum([len(cut[i]) for i in numbers])[:-1]), strict=True):
                found[i] = part
        sizes = np.cumsum([len(words) for words in sequences])[:-1]
        return np.split(np.concatenate(found), sizes)

    def _batches(self, sentences: Sequence[Sentence], pieces: int, rng: np.random.Generator | None) -> Iterator[list[int]]:
        """Numbers of sentences of similar length, in batches of at most about so many pieces; in random order if there is a `rng`."""
        sizes = np.array([2 + sum(len(self._pieces(word)) for word in words) for words in sentences])
        order = np.argsort(sizes + (rng.integers(0, 4, sizes.size) if rng else 0), kind="stable")
        found: list[list[int]] = [[]]
        for i in order.tolist():
            if found[-1] and sizes[i] * (len(found[-1]) + 1) > pieces:
                found.append([])
            found[-1].append(i)
        for number in rng.permutation(len(found)) if rng else range(len(found)):
            yield found[number]

    def _inputs(self, sentences: Sequence[Sentence]) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """What the module reads, and which words are no padding."""
        rows = [[self._pieces(word) for word in words] for words in sentences]
        widest, most = 2 + max(sum(map(len, row)) for row in rows), max(map(len, rows))
        pieces = np.zeros((len(rows), widest), np.int64)
        first, shapes = np.zeros((len(rows), most), np.int64), np.zeros((len(rows), most), np.int64)
        real = np.zeros((len(rows), most), bool)
        for number, (row, words) in enumerate(zip(rows, sentences, strict=True)):
            sizes = np.array([len(word) for word in row])
            flat = [self._tokenizer.cls_token_id, *(piece for word in row for piece in word), self._tokenizer.sep_token_id]
            pieces[number, : len(flat)] = flat
            first[number, : len(row)] = 1 + np.cumsum(sizes) - sizes
            shapes[number, : len(row)] = [_shape(word) for word in words]
            real[number, : len(row)] = True
        return (torch.from_numpy(pieces), torch.from_numpy(first), torch.from_numpy(shapes)), torch.from_numpy(real)


def _shape(word: str) -> int:
    """Six yes-or-no questions about a word's characters, as bits."""
    answers = (
        word[:1].isupper(),
        len(word) > 1 and word.isupper(),
        any(char.isdigit() for char in word),
        any(char.isupper() for char in word[1:]),
        not any(char.isalnum() for char in word),
        len(word) > 1 and any(char in "-._@/" for char in word),
    )
    return sum(answer << bit for bit, answer in enumerate(answers))

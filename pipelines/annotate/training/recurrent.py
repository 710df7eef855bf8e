"""The model: a *recurrent teacher* is a two-layer bidirectional LSTM (Graves & Schmidhuber 2005) over the student's own
features. It reads whole sentences, and is told which *treebank* a sentence comes from, so that it can learn from several
annotation styles and answer in one (Stymne et al. 2018, aclanthology.org/P18-2098).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.annotate.training.tasks import Examples, Indices, Target, Task, Tokens

_WIDTH, _TREEBANK, _DROP = 200, 16, 0.33
_EMBEDDING = 64
_LR, _WARM_UP = 2e-3, 50
_BATCH = 1500
_EPOCHS = 12


class _Module(nn.Module):
    def __init__(self, task: Task, treebanks: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(
            nn.Embedding.from_pretrained(0.3 * torch.randn(rows, _EMBEDDING), freeze=False) for rows in task.rows
        )
        self.treebank = nn.Embedding(treebanks, _TREEBANK)
        self.lower = nn.LSTM(_EMBEDDING * len(task.rows), _WIDTH, batch_first=True, bidirectional=True)
        self.upper = nn.LSTM(2 * _WIDTH + _TREEBANK, _WIDTH, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * _WIDTH, task.labels)

    def forward(self, rows: Sequence[Tensor], treebank: Tensor) -> Tensor:
        """`rows[s]` int64 (sequences, tokens, features), `treebank` (sequences,) -> scores (sequences, tokens, labels)."""
        seen = torch.cat([embedding(row).sum(2) for embedding, row in zip(self.embeddings, rows, strict=True)], -1)
        lower, _ = self.lower(nn.functional.dropout(seen, _DROP, self.training))
        lower = nn.functional.dropout(lower, _DROP, self.training)
        upper, _ = self.upper(torch.cat([lower, self.treebank(treebank)[:, None].expand(-1, lower.shape[1], -1)], -1))
        return self.output(nn.functional.dropout(upper, _DROP, self.training))


class RecurrentTeacher:
    """See the module."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed

    def fit(self, sequences: Sequence[Tokens], targets: Sequence[Target], treebanks: Sequence[int], log: Callable[[str], None]) -> None:
        """Train on gold; treebanks are numbered from 0."""
        torch.manual_seed(self._seed)
        rng = np.random.default_rng(self._seed)
        self._net = _Module(self._task, max(treebanks) + 1)
        examples, treebank = Examples.of(self._task, sequences, targets), np.array(treebanks)
        optimizer = torch.optim.AdamW(self._net.parameters(), lr=_LR, weight_decay=0.01, fused=True)
        total, step = _EPOCHS * len(list(examples.batches(_BATCH, np.random.default_rng(0), similar=True))), 0
        for epoch in range(1, _EPOCHS + 1):
            losses = []
            for numbers in examples.batches(_BATCH, rng, similar=True):
                for group in optimizer.param_groups:
                    group["lr"] = _LR * min(1.0, (step + 1) / _WARM_UP) * max(0.02, 1 - step / total)
                rows, real, place = _padded(examples, numbers)
                scores = self._net(rows, torch.from_numpy(treebank[numbers]))[real]
                loss = nn.functional.cross_entropy(scores, torch.from_numpy(examples.targets[place]))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self._net.parameters(), 2.0)
                optimizer.step()
                step += 1
                losses.append(loss.item())
            if epoch % 3 == 0:
                log(f"{self._task.name}: recurrent teacher {self._seed}, pass {epoch} of {_EPOCHS}, loss {np.mean(losses):.4f}")

    def predict(self, sequences: Sequence[Tokens]) -> list[Target]:
        """Distributions over the labels of each sequence's tokens, in the style of treebank 0."""
        empty = [np.zeros((len(sequence), self._task.labels), np.float32) for sequence in sequences]
        examples = Examples.of(self._task, sequences, empty)
        self._net.eval()
        with torch.no_grad():
            for numbers in examples.batches(8 * _BATCH, np.random.default_rng(0), similar=True):
                rows, real, place = _padded(examples, numbers)
                scores = self._net(rows, torch.zeros(len(numbers), dtype=torch.int64))[real]
                examples.targets[place] = torch.softmax(scores, -1).numpy()
        return np.split(examples.targets, examples.ends[:-1])


def _padded(examples: Examples, numbers: Indices) -> tuple[list[Tensor], Tensor, Indices]:
    """Feature rows of sequences, padded at the end; which places are real; and what those are in the flat arrays."""
    sizes = (examples.ends - examples.starts)[numbers]
    place = examples.starts[numbers][:, None] + np.arange(int(sizes.max()))
    real = np.arange(int(sizes.max())) < sizes[:, None]
    place = np.where(real, place, 0)
    rows = [torch.from_numpy(rows[types[place]].astype(np.int64)) for types, rows in zip(examples.types, examples.features, strict=True)]
    return rows, torch.from_numpy(real), place[real]

"""The model: the *student* is the window net that ships; it learns the teachers' opinions (`tasks.Examples`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pipelines.annotate.fast.window_net import WindowNet, net_from
from pipelines.annotate.training.tasks import Examples, Indices, Task
from pipelines.annotate.training.window_net import StreamShape, WindowNetModule

_LR, _WARM_UP, _DECAY, _DROP = 4e-3, 100, 1e-3, 0.1
_BATCH = 8_000
"""Tokens."""


def train_student(
    task: Task, examples: Examples, *, passes: int, seed: int, log: Callable[[str], None], judge: Callable[[WindowNet], float] | None
) -> WindowNetModule:
    """A student that has seen the examples `passes` times. `judge` says how good it is, for the log."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    shapes = [StreamShape(*shape) for shape in zip(task.windows, task.rows, task.widths, task.hidden, strict=True)]
    net = WindowNetModule(shapes, task.channels, task.context, task.labels)
    optimizer = torch.optim.AdamW(net.parameters(), lr=_LR, weight_decay=_DECAY, fused=True)
    total, step = passes * -(-len(examples.targets) // _BATCH), 0
    for number in range(1, passes + 1):
        losses = []
        for numbers in examples.batches(_BATCH, rng):
            for group in optimizer.param_groups:
                group["lr"] = _LR * min(1.0, (step + 1) / _WARM_UP) * max(0.01, 1 - step / total)
            types, features, real, targets = _tensors(examples, numbers, net.margin)
            scores = net(types, features, real, _DROP)[real]
            loss = torch.nn.functional.cross_entropy(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            step += 1
            losses.append(loss.item())
        how = f", {judge(integer_twin(net, task)):.4f} of dev right" if judge else ""
        log(f"{task.name}: student, pass {number} of {passes}, {len(examples.targets):,} tokens, loss {np.mean(losses):.4f}{how}")
    return net


def integer_twin(net: WindowNetModule, task: Task) -> WindowNet:
    """The net as it will label."""
    return net_from(net.quantized(), task.windows)


def _tensors(examples: Examples, numbers: Indices, margin: int) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """Sequences one behind another with padding between, as `WindowNetModule` reads them, and the targets of their tokens."""
    padding = np.full(margin, -1, np.int64)
    place = np.concatenate([part for i in numbers for part in (np.arange(examples.starts[i], examples.ends[i]), padding)])
    real = place >= 0
    types, features = [], []
    for stream, rows in zip(examples.types, examples.features, strict=True):
        used, numbered = np.unique(np.where(real, stream[place], -1), return_inverse=True)
        types.append(torch.from_numpy(numbered.astype(np.int64)))
        features.append(torch.from_numpy(rows[used[1:]].astype(np.int64)))
    return types, features, torch.from_numpy(real), torch.from_numpy(examples.targets[place[real]])

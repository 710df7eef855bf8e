"""The model: a saved model as `transformers` has it, and what "the same" means for logits of ours and of theirs: the bounds that
docs/models.md states."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor


@cache
def in_transformers(folder: Path, kind: str) -> Any:
    """The model in a folder, as a class of `transformers` loads it, which finds all that it wants there and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        import transformers

        model, told = getattr(transformers, kind).from_pretrained(str(folder), dtype=torch.float32, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    return model.eval()


def assert_same(found: Tensor, expected: Tensor) -> None:
    """float [..., scores]: no score differs by more than 1e-4, no distribution by more than 1e-9 nats."""
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4
    p, q = found.double().log_softmax(-1), expected.double().log_softmax(-1)
    assert float((p.exp() * (p - q)).sum(-1).max()) <= 1e-9

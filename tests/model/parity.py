"""The model: what "the same" means for logits of ours and of `transformers`: the bounds that docs/models.md states."""

from __future__ import annotations

from torch import Tensor


def assert_same(found: Tensor, expected: Tensor) -> None:
    """float [..., scores]: no score differs by more than 1e-4, no distribution by more than 1e-9 nats."""
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4
    p, q = found.double().log_softmax(-1), expected.double().log_softmax(-1)
    assert float((p.exp() * (p - q)).sum(-1).max()) <= 1e-9

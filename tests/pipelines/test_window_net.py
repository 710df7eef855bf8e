"""The integer net labels as its torch twin does, exactly, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.fast import window_net
from pipelines.annotate.fast.window_net import MAX_TERMS, PROJECTIONS_TOP, TOP, Table, WindowNet, net_from, union

LABELS, CHANNELS, CONTEXT = 5, 16, 8
WINDOWS = ((-2, -1, 0, 1), (0, 1, 2, 3))
ROWS = 50


def random_tensors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights as large as they can be: whatever overflows does so here."""

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-TOP, TOP + 1, shape).astype(np.int8)

    def bias(size: int) -> np.ndarray:
        return rng.integers(-30_000, 30_000, size).astype(np.int32)

    tensors: dict[str, np.ndarray] = {}
    for stream, places in enumerate(WINDOWS):
        tensors[f"{stream}.embedding"] = weights(ROWS, 12)
        tensors[f"{stream}.hidden"], tensors[f"{stream}.hidden_bias"] = weights(12, 6), bias(6)
        tensors[f"{stream}.projection"] = weights(18, len(places) * CHANNELS)
        tensors[f"{stream}.projection_bias"] = bias(len(places) * CHANNELS)
    tensors["context"], tensors["context_bias"] = weights(3 * CHANNELS, CONTEXT), bias(CONTEXT)
    tensors["output"], tensors["output_bias"] = weights(CONTEXT + CHANNELS, LABELS), bias(LABELS)
    return tensors


def random_net(rng: np.random.Generator) -> WindowNet:
    return net_from(random_tensors(rng), WINDOWS)


def label_slowly(tensors: dict[str, np.ndarray], features: list[np.ndarray], types: list[np.ndarray], sequence: range) -> list[int]:
    """The labels of one sequence by the definitions, in Python's whole numbers."""
    clip = PROJECTIONS_TOP // sum(map(len, WINDOWS))

    def divided(value: int, by: int) -> int:
        return (2 * value + by) // (2 * by)

    def dense(inputs: list[int], weights: np.ndarray, bias: np.ndarray) -> list[int]:
        table, start = weights.astype(int).tolist(), bias.tolist()
        return [start[j] + sum(x * row[j] for x, row in zip(inputs, table, strict=True)) for j in range(weights.shape[1])]

    def clipped(value: int, low: int, high: int) -> int:
        return max(low, min(high, value))

    def projections(stream: int, kind: int) -> list[list[int]]:
        def layer(name: str, inputs: list[int]) -> list[int]:
            return dense(inputs, tensors[f"{stream}.{name}"], tensors[f"{stream}.{name}_bias"])

        total = tensors[f"{stream}.embedding"][features[stream][kind]].astype(int).sum(0).tolist()
        vector = [clipped(divided(x, 4), -TOP, TOP) for x in total]
        hidden = [clipped(divided(x, 64), 0, TOP) for x in layer("hidden", vector)]
        made = [clipped(divided(x, 4), -clip, clip) for x in layer("projection", vector + hidden)]
        return [made[i : i + CHANNELS] for i in range(0, len(made), CHANNELS)]

    channels = []
    for place in sequence:
        total = [0] * CHANNELS
        for stream, places in enumerate(WINDOWS):
            for number, offset in enumerate(places):
                if place + offset in sequence:
                    part = projections(stream, int(types[stream][place + offset]))[number]
                    total = [a + b for a, b in zip(total, part, strict=True)]
        channels.append([clipped(divided(x, 16), 0, TOP) for x in total])
    empty = [0] * CHANNELS
    labels = []
    for i, own in enumerate(channels):
        before, behind = channels[i - 1] if i else empty, channels[i + 1] if i + 1 < len(channels) else empty
        context = dense(before + own + behind, tensors["context"], tensors["context_bias"])
        scores = dense([clipped(divided(x, 64), 0, TOP) for x in context] + own, tensors["output"], tensors["output_bias"])
        labels.append(scores.index(max(scores)))
    return labels


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_labels_are_those_of_exact_arithmetic(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    tensors = random_tensors(rng)
    net = net_from(tensors, WINDOWS)
    features = [rng.integers(0, ROWS, (4, 3)).astype(np.int32) for _ in WINDOWS]
    ends = np.cumsum(sizes)
    types = [rng.integers(0, 4, int(ends[-1])).astype(np.int32) for _ in WINDOWS]
    expected = [
        label
        for end, size in zip(ends.tolist(), sizes, strict=True)
        for label in label_slowly(tensors, features, types, range(end - size, end))
    ]
    tables = net.tables(features)
    assert net.labels(types, tables, ends).tolist() == expected
    pairs, numbers = np.unique(np.stack(types), axis=1, return_inverse=True)
    joint = Table(union(*WINDOWS), np.zeros((len(union(*WINDOWS)), pairs.shape[1] + 1, CHANNELS), np.int16))
    tables[0].add(pairs[0], joint.offsets, joint.projections[:, 1:])
    net.streams[1].add(features[1][pairs[1]], net.clip, joint.offsets, joint.projections[:, 1:])
    assert net.labels([numbers.reshape(-1)], [joint], ends).tolist() == expected


def test_a_sequence_sees_no_other_and_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    net = random_net(rng)
    features = [rng.integers(0, ROWS, (30, 3)).astype(np.int32) for _ in WINDOWS]
    ends = np.cumsum(rng.integers(0, 40, 100))
    types = [rng.integers(0, 30, int(ends[-1])).astype(np.int32) for _ in WINDOWS]
    tables = net.tables(features)
    together = net.labels(types, tables, ends)
    alone = [net.labels([t[a:b] for t in types], tables, np.array([b - a])) for a, b in zip([0, *ends[:-1]], ends, strict=True) if b > a]
    assert np.array_equal(together, np.concatenate(alone))
    monkeypatch.setattr(window_net, "_CHUNK_TOKENS", 7)
    assert np.array_equal(together, net.labels(types, tables, ends))


def test_no_tokens_have_no_labels() -> None:
    net = random_net(np.random.default_rng(0))
    features = [np.zeros((0, 3), np.int32) for _ in WINDOWS]
    assert net.labels([np.zeros(0, np.int32)] * 2, net.tables(features), np.zeros(0, np.int64)).size == 0


def test_a_layer_that_float32_could_not_sum_exactly_is_refused() -> None:
    rng = np.random.default_rng(0)
    tensors = {"0.embedding": rng.integers(-9, 9, (4, 4)).astype(np.int8), "0.hidden": np.zeros((MAX_TERMS + 1, 2), np.int8)}
    with pytest.raises(ValueError, match="more than the .* that are exact"):
        net_from(tensors, ((0,),))

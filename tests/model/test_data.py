"""The model: which sample comes when: fair, complete, the same for any number of ranks, and straight from the shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import Batches, open_streams, training_batches
from model.order import Permutation, Schedule, integer_weights
from schemas.arrow import read_shard, write_shard
from schemas.artifact import Artifact, Damaged
from schemas.errors import RequestError

BOS, EOS = 0, 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.binary(max_size=20))
def test_a_permutation_is_a_bijection(size: int, key: bytes) -> None:
    image = Permutation(size, key)(np.arange(size))
    assert np.array_equal(np.sort(image), np.arange(size))


def test_a_permutation_depends_on_its_key_and_scatters_neighbours() -> None:
    one, other = Permutation(10_000, b"a")(np.arange(10_000)), Permutation(10_000, b"b")(np.arange(10_000))
    assert (one == other).mean() < 0.01
    assert abs(np.corrcoef(np.arange(10_000), one)[0, 1]) < 0.05
    assert (np.abs(np.diff(one)) == 1).mean() < 0.01


def test_a_permutation_of_very_many_things_needs_no_table() -> None:
    image = Permutation(1 << 40, b"")(np.arange(1000))
    assert len(set(image.tolist())) == 1000
    assert image.min() >= 0 and image.max() < 1 << 40


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_a_schedule_holds_every_share_at_every_prefix(weights: list[int]) -> None:
    schedule, samples = Schedule(weights), np.arange(3 * sum(weights) + 7)
    turn, rank = schedule.at(samples)
    for number, weight in enumerate(weights):
        mine = turn == number
        assert np.array_equal(rank[mine], np.arange(mine.sum()))
        exact = (samples + 1) * weight / sum(weights)
        assert np.abs(np.cumsum(mine) - exact).max() < len(weights)


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1e6), min_size=1))
def test_integer_weights_keep_the_shares(mix: dict[str, float]) -> None:
    weights = integer_weights(mix)
    assert set(weights) == set(mix)
    for name in mix:
        assert weights[name] / sum(weights.values()) == pytest.approx(mix[name] / sum(mix.values()), abs=2e-3)


def test_integer_weights_are_in_lowest_terms_and_judge_their_input() -> None:
    assert integer_weights({"zh": 2, "en": 1, "code": 1}) == {"zh": 2, "en": 1, "code": 1}
    assert integer_weights({"a": 1 / 3, "b": 2 / 3, "c": 0}) == {"a": 1, "b": 2}
    for bad in ({"a": -1.0, "b": 2.0}, {"a": float("nan")}, {"a": 0.0}, {}):
        with pytest.raises(RequestError, match="weights must be"):
            integer_weights(bad)


def plain_stream(shards: list[Path], lang: str, subset: str) -> list[int]:
    out: list[int] = []
    for path in shards:
        for row in read_shard(path).select(["lang", "subset", "tokens"]).to_pylist():
            if row["lang"] == lang and row["subset"] == subset:
                out += [BOS, *row["tokens"], EOS]
    return out


@pytest.mark.parametrize("subset", ["train", "validation"])
def test_a_stream_is_its_documents_in_shard_order(tokens_artifact: Artifact, subset: str) -> None:
    shards = tokens_artifact.paths("tokens")
    streams = open_streams(shards, subset, BOS, EOS)
    assert list(streams) == ["code", "en", "zh"]
    for lang, stream in streams.items():
        expected = plain_stream(shards, lang, subset)
        assert stream.at(np.arange(stream.tokens)).tolist() == expected
        assert stream.document(1).tolist() == expected[stream.length(0) : stream.length(0) + stream.length(1)]
        assert stream.n_bytes.sum() > 0


@pytest.fixture(scope="module")
def batches(tokens_artifact: Artifact) -> Batches:
    return training_batches(tokens_artifact, {"zh": 2, "en": 1, "code": 1}, 16, 3, BOS, EOS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 400), st.sampled_from([2, 3, 4, 6, 12]), st.sampled_from([12, 24]))
def test_ranks_together_take_the_one_batch(batches: Batches, step: int, ranks: int, batch: int) -> None:
    whole = batches.batch_at(step, 0, 1, batch)
    assert whole.shape == (batch, 17) and whole.dtype == torch.int64
    assert torch.equal(torch.cat([batches.batch_at(step, rank, ranks, batch) for rank in range(ranks)]), whole)


def test_batch_size_moves_no_sample(batches: Batches) -> None:
    large = torch.cat([batches.batch_at(step, 0, 1, 12) for step in range(4)])
    small = torch.cat([batches.batch_at(step, 0, 1, 4) for step in range(12)])
    assert torch.equal(large, small)


def test_tokens_stay_in_the_mapped_files(tokens_artifact: Artifact) -> None:
    before = pa.total_allocated_bytes()
    streams = open_streams(tokens_artifact.paths("tokens"), "train", BOS, EOS)
    assert pa.total_allocated_bytes() - before < 1000 < sum(stream.tokens for stream in streams.values())


def test_another_kind_of_shard_is_named(tmp_path: Path) -> None:
    schema = pa.schema([("text", pa.string())])
    write_shard(tmp_path / "a.arrow", schema, [pa.RecordBatch.from_pylist([{"text": "x"}], schema=schema)], compress=False)
    with pytest.raises(Damaged, match=r"a\.arrow: is not a token shard: it has no column 'lang'"):
        open_streams([tmp_path / "a.arrow"], "train", BOS, EOS)


def test_an_epoch_holds_every_block_once_and_the_next_in_another_order(tokens_artifact: Artifact) -> None:
    shards = tokens_artifact.paths("tokens")
    batches = training_batches(tokens_artifact, {"zh": 1}, 16, 0, BOS, EOS)
    stream = plain_stream(shards, "zh", "train")
    blocks = [tuple(stream[i * 16 : i * 16 + 17]) for i in range((len(stream) - 1) // 16)]
    epochs = [[tuple(row) for row in batches.samples(np.arange(len(blocks)) + e * len(blocks)).tolist()] for e in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(blocks)
    assert epochs[0] != epochs[1]
    assert batches.epochs(len(blocks)) == {"zh": 1.0}


def test_the_seed_and_the_corpus_decide_the_order(tokens_artifact: Artifact) -> None:
    streams = open_streams(tokens_artifact.paths("tokens"), "train", BOS, EOS)
    first = Batches(streams, {}, 16, "a", 0).batch_at(0, 0, 1, 32)
    assert torch.equal(first, Batches(streams, {}, 16, "a", 0).batch_at(0, 0, 1, 32))
    assert not torch.equal(first, Batches(streams, {}, 16, "a", 1).batch_at(0, 0, 1, 32))
    assert not torch.equal(first, Batches(streams, {}, 16, "b", 0).batch_at(0, 0, 1, 32))


def test_a_language_without_text_and_an_uneven_batch_are_errors(tokens_artifact: Artifact, batches: Batches) -> None:
    with pytest.raises(RequestError, match=r"mix: 'fr' has no block of 17 tokens to train on \(blocks: code [\d,]+, en"):
        training_batches(tokens_artifact, {"fr": 1, "en": 1}, 16, 0, BOS, EOS)
    with pytest.raises(RequestError, match="batch 16 does not divide over 3 ranks"):
        batches.batch_at(0, 0, 3, 16)

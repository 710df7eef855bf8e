"""The model: which sample comes when: fair, complete, the same for any number of ranks, and straight from the shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import Batch, Batches, training_batches
from model.objectives.next_token import own
from model.phases import Stage
from model.prefetch import Prefetch
from model.text import Special, open_text
from schemas.arrow import read_shard, write_shard
from schemas.artifact import Artifact, Damaged
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity

BOS, EOS = 0, 1
AROUND = Special(BOS, EOS)
MIX = {"zh": 2.0, "en": 1.0, "code": 1.0}
PHASES = [
    Stage(0, 12, 16, MIX),
    Stage(5, 24, 16, {"zh": 1.0, "en": 3.0}),
    Stage(9, 12, 32, {"en/en": 1.0, "zh": 2.0}),
    Stage(14, 12, 16, {}),
]
"""Every kind of change: of weights, of the batch, of the window; and back."""


def plain_stream(shards: list[Path], lang: str, subset: str) -> list[int]:
    """The stream of a language as a reader of the shards would write it down."""
    out: list[int] = []
    for path in shards:
        for row in read_shard(path).select(["lang", "subset", "tokens"]).to_pylist():
            if row["lang"] == lang and row["subset"] == subset:
                out += [BOS, *row["tokens"], EOS]
    return out


def batches_of(tokens: Artifact, stages: list[Stage], seed: int = 3, **options: object) -> Batches:
    return training_batches(tokens.path, stages, seed, AROUND, **options)  # type: ignore[arg-type]


def equal(one: Batch, other: Batch) -> bool:
    names = ("ids", "numbers", "documents", "positions")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    return all(torch.equal(a, b) if a is not None and b is not None else a is b for a, b in pairs)


@pytest.mark.parametrize("subset", ["train", "validation"])
def test_a_stream_is_its_documents_in_shard_order(tokens_artifact: Artifact, subset: str) -> None:
    text, digest = open_text(tokens_artifact.path, subset, AROUND)
    assert digest == tokens_artifact.manifest.content_digest
    assert list(text.index.streams) == ["code", "en", "zh"]
    for lang in text.index.streams:
        begin, end = text.index.span(lang)
        expected = plain_stream(tokens_artifact.paths("tokens"), lang, subset)
        segments = text.segments(np.array([begin]), end - begin)
        assert text.read(segments, segments.laid(1, end - begin), end - begin).tolist() == expected
        first, last = text.index.streams[lang]
        assert text.index.n_bytes[first:last].sum() > 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_run_of_positions_is_read_as_it_stands(tokens_artifact: Artifact, data: st.DataObject) -> None:
    text, _ = open_text(tokens_artifact.path, "train", AROUND)
    whole = [token for lang in text.index.streams for token in plain_stream(tokens_artifact.paths("tokens"), lang, "train")]
    window = data.draw(st.integers(1, 700))
    starts = data.draw(st.lists(st.integers(0, len(whole) - window), min_size=1, max_size=8))
    segments = text.segments(np.array(starts), window)
    rows = text.read(segments, segments.laid(len(starts), window), len(starts) * window).reshape(len(starts), window)
    assert rows.tolist() == [whole[start : start + window] for start in starts]


@pytest.fixture(scope="module", params=["blocks", "boundaries", "packs"])
def batches(request: pytest.FixtureRequest, tokens_artifact: Artifact) -> Batches:
    packing = "best_fit" if request.param == "packs" else "concat"
    return batches_of(tokens_artifact, PHASES, packing=packing, boundaries=request.param == "boundaries")


@settings(max_examples=40, deadline=None)
@given(step=st.integers(0, 400), ranks=st.sampled_from([1, 2, 3, 4, 6, 12]), parts=st.sampled_from([1, 2]))
def test_ranks_and_micro_batches_together_take_the_one_batch(batches: Batches, step: int, ranks: int, parts: int) -> None:
    row = batches.phases.of_step(step)
    samples = batches.samples(batches.phases.first_sample(step) + np.arange(row.batch))
    assert samples.ids.shape == (row.batch, row.context + 1) and samples.ids.dtype == torch.int64
    shares = [batches.batch_at(step, rank, ranks) for rank in range(ranks)]
    parts = parts if row.batch // ranks % parts == 0 else 1
    micro = [share.part(number, parts) for share in shares for number in range(parts)]
    assert torch.equal(torch.cat([batch.ids for batch in micro]), samples.ids)
    assert torch.equal(torch.cat([batch.numbers for batch in micro]), samples.numbers)
    if samples.documents is not None and samples.positions is not None:
        assert torch.equal(torch.cat([batch.documents for batch in micro if batch.documents is not None]), samples.documents)
        assert torch.equal(torch.cat([batch.positions for batch in micro if batch.positions is not None]), samples.positions)


def test_batch_size_moves_no_sample(tokens_artifact: Artifact) -> None:
    large, small = (batches_of(tokens_artifact, [Stage(0, batch, 16, MIX)]) for batch in (12, 4))
    rows = [torch.cat([batches.batch_at(step).ids for step in range(steps)]) for batches, steps in ((large, 4), (small, 12))]
    assert torch.equal(*rows)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_prefetched_batches_are_the_same_from_any_step_on(batches: Batches, workers: int, ranks: int) -> None:
    for first in (0, 4, 5, 8, 9, 13, 14, 17):
        with Prefetch(batches, lambda batch: batch, first, 20, ranks - 1, ranks, workers) as found:
            for step, batch in zip(range(first, 20), found, strict=True):
                assert equal(batch, batches.batch_at(step, ranks - 1, ranks))


def test_an_error_while_prefetching_reaches_the_reader(batches: Batches) -> None:
    with Prefetch(batches, lambda batch: batch, 0, 3, 0, 5) as found, pytest.raises(RequestError, match="does not divide over 5 ranks"):
        list(found)


def test_a_state_is_a_few_scalars_and_goes_on_at_any_boundary(tokens_artifact: Artifact, batches: Batches) -> None:
    for step in (0, 1, 4, 5, 6, 8, 9, 10, 13, 14, 15, 10**9):
        state = batches.state(step)
        assert set(map(type, state.values())) <= {int, str} and batches.resume(state) == step
    state = batches.state(7)
    others = {
        "tokens": {"tokens": "another"},
        "seed": {"seed": 4},
        "phases, weights or packing": {"order": "another"},
    }
    for meaning, change in others.items():
        with pytest.raises(RequestError, match=f"state at step 7 is of (other|another) {meaning}.*start from step 0"):
            batches.resume(state | change)
    with pytest.raises(RequestError, match="step 7 does not begin at sample 3"):
        batches.resume(state | {"sample": 3})


def test_a_phase_goes_on_where_the_one_before_left_each_stream(tokens_artifact: Artifact) -> None:
    """Whatever the weights do in between, a stream's samples come in its own order, none twice in an epoch."""
    table = [Stage(0, 4, 16, {"zh": 1, "en": 1}), Stage(3, 4, 16, {"zh": 1}), Stage(5, 4, 16, {"en": 3, "zh": 1})]
    mixed, alone = batches_of(tokens_artifact, table), batches_of(tokens_artifact, [Stage(0, 1, 16, {"zh": 1})])
    seen = [tuple(row) for step in range(9) for row in mixed.batch_at(step).ids.tolist()]
    zh = [tuple(row) for row in alone.samples(np.arange(6 + 8 + 4)).ids.tolist()]
    assert [row for row in seen if row in set(zh)] == zh
    assert mixed.epochs(9)["zh"] == alone.epochs(18)["zh"]


def test_tokens_stay_in_the_mapped_files(tokens_artifact: Artifact) -> None:
    before = pa.total_allocated_bytes()
    text, _ = open_text(tokens_artifact.path, "train", AROUND)
    assert pa.total_allocated_bytes() - before < 1000 < text.index.end[-1]


def commit_shards(folder: Path, tables: list[pa.Table]) -> Path:
    draft = Draft.start(folder, "tokens", "some", Identity("tokens", 1, {}, {}, {}))
    files = []
    for number, table in enumerate(tables):
        path = draft.scratch() / f"{number}.arrow"
        write_shard(path, table.schema, table.to_batches(), compress=False)
        files.append(draft.adopt(path, folder="tokens", stem=str(number), suffix=".arrow", role="tokens"))
    draft.add_part("tokens", "0", files)
    return draft.commit(["tokens"]).path


def test_another_kind_of_shard_is_named(tmp_path: Path) -> None:
    path = commit_shards(tmp_path / "a", [pa.table({"text": ["x"], "source": ["x"]})])
    with pytest.raises(Damaged, match=r"\.arrow: is not a token shard: it has no column 'lang'"):
        open_text(path, "train", AROUND)


@pytest.mark.parametrize("width", [pa.uint16(), pa.uint32()])
def test_ids_of_either_width_are_read(tmp_path: Path, width: pa.DataType) -> None:
    largest = (1 << width.bit_width) - 1
    rows = [[largest, 2], [], [3] * 300, [largest]]
    columns = {"source": ["s"] * 4, "lang": ["en"] * 4, "subset": ["train"] * 4, "n_bytes": pa.array([1, 0, 3, 4], pa.uint64())}
    tables = [pa.table({**columns, "tokens": pa.array(lists, pa.large_list(width))}) for lists in (rows, [[]] * 4)]
    text, _ = open_text(commit_shards(tmp_path / "a", tables), "train", AROUND)
    size = int(text.index.end[-1])
    segments = text.segments(np.array([0]), size)
    expected = [token for row in [*rows, *[[]] * 4] for token in [BOS, *row, EOS]]
    assert text.read(segments, segments.laid(1, size), size).tolist() == expected


def test_an_epoch_holds_every_block_once_and_the_next_in_another_order(tokens_artifact: Artifact) -> None:
    batches = batches_of(tokens_artifact, [Stage(0, 1, 16, {"zh": 1})])
    stream = plain_stream(tokens_artifact.paths("tokens"), "zh", "train")
    blocks = [tuple(stream[i * 16 : i * 16 + 17]) for i in range((len(stream) - 1) // 16)]
    epochs = [[tuple(row) for row in batches.samples(np.arange(len(blocks)) + e * len(blocks)).ids.tolist()] for e in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(blocks)
    assert epochs[0] != epochs[1]
    assert batches.epochs(len(blocks)) == {"zh": 1.0}


def test_the_seed_and_the_corpus_decide_the_order(tokens_artifact: Artifact) -> None:
    first, again, other = (batches_of(tokens_artifact, [Stage(0, 32, 16, {})], seed).batch_at(0).ids for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_kept_index_gives_the_same_batches_and_is_built_once(tokens_artifact: Artifact, tmp_path: Path) -> None:
    for packing in ("concat", "best_fit"):
        fresh = batches_of(tokens_artifact, PHASES, packing=packing)
        kept = [batches_of(tokens_artifact, PHASES, packing=packing, keep=tmp_path / packing) for _ in range(2)]
        files = sorted(path.name for path in (tmp_path / packing).iterdir())
        assert all(name.startswith(("index-", "packs-")) for name in files) and len(files) == (1 if packing == "concat" else 3)
        for step in (0, 7, 11, 30):
            assert equal(fresh.batch_at(step), kept[0].batch_at(step)) and equal(fresh.batch_at(step), kept[1].batch_at(step))


def test_positions_and_documents_restart_at_every_bos(tokens_artifact: Artifact) -> None:
    plain, marked = (batches_of(tokens_artifact, PHASES, boundaries=boundaries) for boundaries in (False, True))
    for step in (0, 6, 10):
        batch = marked.batch_at(step)
        assert torch.equal(batch.ids, plain.batch_at(step).ids) and batch.documents is not None and batch.positions is not None
        begins = batch.ids == BOS
        begins[:, 0] = True
        assert torch.equal(batch.documents, (begins.cumsum(1) - 1).int())
        assert torch.equal(batch.positions == 0, begins)
        assert ((batch.positions[:, 1:] - batch.positions[:, :-1] == 1) | begins[:, 1:]).all()
        assert torch.equal(own(batch.documents), ~begins[:, 1:])


def test_weights_by_source_name_streams_by_source(tokens_artifact: Artifact) -> None:
    by_source = batches_of(tokens_artifact, [Stage(0, 8, 16, {"zh/*": 1.0, "en": 1.0})])
    assert by_source.streams == ["code/code", "en/en", "zh/zh"] and set(by_source.epochs(1)) == {"en/en", "zh/zh"}
    with pytest.raises(RequestError, match="'zh/\\*' and 'zh' both weigh 'zh/zh'"):
        batches_of(tokens_artifact, [Stage(0, 8, 16, {"zh/*": 1.0, "zh": 1.0})])


def test_a_language_without_text_and_an_uneven_batch_are_errors(tokens_artifact: Artifact) -> None:
    with pytest.raises(RequestError, match=r"mix: 'fr' has no block of 17 tokens to train on \(blocks: code [\d,]+, en"):
        batches_of(tokens_artifact, [Stage(0, 16, 16, {"fr": 1, "en": 1})])
    with pytest.raises(RequestError, match="batch 16 does not divide over 3 ranks"):
        batches_of(tokens_artifact, [Stage(0, 16, 16, {})]).batch_at(0, 0, 3)

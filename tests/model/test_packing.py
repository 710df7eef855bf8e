"""The model: best-fit packing: as the paper's greedy rule says, nothing lost, nothing cut that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import training_batches
from model.index import Index
from model.objectives.next_token import own
from model.packing import best_fit, build_packs, items, open_packs, save_packs
from model.phases import Stage
from model.text import Special, open_text
from schemas.artifact import Artifact, Damaged

AROUND = Special(0, 1)
LENGTHS = st.lists(st.integers(2, 90), max_size=60)


def one_by_one(lengths: list[int], window: int) -> list[int]:
    """Best-fit decreasing, an item at a time: the fullest pack that takes it, the oldest of equal ones."""
    room: list[int] = []
    packs = [0] * len(lengths)
    for item in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        fitting = [pack for pack in range(len(room)) if room[pack] >= lengths[item]]
        if not fitting:
            fitting = [len(room)]
            room.append(window)
        pack = min(fitting, key=lambda pack: room[pack])
        room[pack] -= lengths[item]
        packs[item] = pack
    return packs


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 40), st.data())
def test_items_go_where_the_greedy_rule_puts_them(window: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, window), max_size=80))
    assert best_fit(np.array(lengths, dtype=np.int64), window).tolist() == one_by_one(lengths, window)


def index_of(*streams: list[int]) -> Index:
    lengths = np.array([length for stream in streams for length in stream], dtype=np.int64)
    ends = np.cumsum([len(stream) for stream in streams])
    spans = {str(number): (int(end) - len(stream), int(end)) for number, (stream, end) in enumerate(zip(streams, ends, strict=True))}
    return Index(np.cumsum(lengths), np.zeros_like(lengths), lengths, spans, 2)


@settings(max_examples=200, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(2, 40))
def test_packing_loses_no_token_and_cuts_only_what_is_too_long(first: list[int], second: list[int], window: int) -> None:
    index = index_of(first, second)
    packs = build_packs(index, window)
    sizes = np.add.reduceat(packs.length, packs.first[:-1]) if len(packs.length) else packs.length
    assert (sizes <= window).all() and (np.diff(packs.first) > 0).all()
    covered = np.zeros(len(first + second) and int(index.end[-1]), dtype=int)
    predicted = covered.copy()
    for start, length in zip(packs.start.tolist(), packs.length.tolist(), strict=True):
        covered[start : start + length] += 1
        predicted[start + 1 : start + length] += 1
    begins = np.concatenate(([0], index.end[:-1])).astype(int)[: len(index.end)]
    assert covered.min(initial=1) == 1
    assert (np.delete(predicted, begins) == 1).all() and not predicted[begins].any(), "each token is predicted once, but for a bos"
    for begin, end in zip(begins.tolist(), index.end.tolist(), strict=True):
        if end - begin <= window:
            whole = np.flatnonzero(packs.start == begin)
            assert len(whole) == 1 and packs.length[whole[0]] == end - begin
    for stream, (low, high) in packs.streams.items():
        inside = slice(packs.first[low], packs.first[high])
        lowest, highest = index.span(stream)
        assert ((packs.start[inside] >= lowest) & (packs.start[inside] + packs.length[inside] <= highest)).all()


def test_runs_of_a_long_document_share_one_token() -> None:
    start, length = items(np.array([0, 10]), np.array([10, 4]), 4)
    assert list(zip(start.tolist(), length.tolist(), strict=True)) == [(0, 4), (3, 4), (6, 4), (10, 4)]


def test_packs_of_web_length_documents_are_nearly_full() -> None:
    lengths = np.minimum(np.random.default_rng(0).lognormal(6, 1.2, 20_000).astype(np.int64) + 2, 2049)
    pack = best_fit(lengths, 2049)
    assert lengths.sum() / (pack.max() + 1) / 2049 > 0.999


def test_saved_packs_come_back_mapped(tmp_path: Path) -> None:
    packs = build_packs(index_of([5, 9, 3, 40], [], [7]), 16)
    save_packs(packs, tmp_path / "p.arrow")
    found = open_packs(tmp_path / "p.arrow")
    for name in ("first", "start", "length"):
        assert np.array_equal(getattr(found, name), getattr(packs, name))
    assert found.streams == packs.streams
    (tmp_path / "p.arrow").write_bytes(b"no")
    with pytest.raises(Damaged, match=r"p\.arrow: not a readable Arrow file.*remove it"):
        open_packs(tmp_path / "p.arrow")


def test_an_epoch_of_packs_holds_every_document_whole(tokens_artifact: Artifact) -> None:
    window = 600
    batches = training_batches(tokens_artifact.path, [Stage(0, 1, window - 1, {"zh": 1})], 0, AROUND, packing="best_fit")
    text, _ = open_text(tokens_artifact.path, "train", AROUND)
    first, last = text.index.streams["zh"]
    samples = batches.samples(np.arange(batches.phases.steps_within(1)))
    assert samples.documents is not None and samples.positions is not None
    found = []
    for ids, documents, positions in zip(samples.ids, samples.documents, samples.positions, strict=True):
        for number in range(int(documents.max()) + 1):
            found.append(tuple(ids[documents == number].tolist()))
            assert positions[documents == number].tolist() == list(range(len(found[-1])))
        filling = documents == -1
        assert (ids[filling] == AROUND.eos).all() and not filling[: int((~filling).sum())].any()
    stream = [(text.index.begin(document), int(text.index.end[document])) for document in range(first, last)]
    whole = [text.read(text.segments(np.array([a]), b - a), np.zeros(1, np.int64), b - a) for a, b in stream if b - a <= window]
    assert len(whole) == len(stream), "no document of this text is longer"
    assert sorted(found) == sorted(tuple(ids.tolist()) for ids in whole)
    assert int(own(samples.documents).sum()) == sum(len(ids) - 1 for ids in whole)

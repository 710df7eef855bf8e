"""What the search finds is what a search of everything in everything finds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.probes import memorised as module
from model.probes.memorised import memorised
from schemas.arrow import tokens_schema, write_shard


def write(path: Path, documents: list[list[int]], subsets: list[str] | None = None, rows: int = 3, vocab: int = 600) -> Path:
    """A token shard; document n has id n."""
    schema = tokens_schema(vocab)
    made = [
        {
            "doc_id": number.to_bytes(16, "big"),
            "source": "s",
            "lang": "en",
            "subset": subsets[number] if subsets else "train",
            "weight": 1.0,
            "tokens": tokens,
            "n_bytes": 1,
        }
        for number, tokens in enumerate(documents)
    ]
    write_shard(path, schema, pa.Table.from_pylist(made, schema=schema).to_batches(max_chunksize=rows), compress=False)
    return path


def by_brute_force(documents: list[list[int]], sample: list[int]) -> list[int]:
    """For each place of the sample, how long the longest match is that starts there."""

    def alike(a: list[int], b: list[int]) -> int:
        return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

    return [
        max((alike(sample[i:], document[j:]) for document in documents for j in range(len(document))), default=0)
        for i in range(len(sample))
    ]


def spans_of(found: list[int], at_least: int) -> list[tuple[int, int]]:
    spans, covered = [], 0
    for place, length in enumerate(found):
        if length >= at_least and place + length > covered:
            spans.append((place, length))
            covered = place + length
    return spans


few = st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=8)


@settings(max_examples=60)
@given(few, few, st.integers(1, 9), st.integers(1, 50), st.sampled_from([1, 4, 64]))
def test_it_finds_what_brute_force_finds(
    documents: list[list[int]], samples: list[list[int]], at_least: int, piece: int, pairs: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in (("PIECE", piece), ("FIRST", max(piece // 3, 1)), ("PAIRS", pairs), ("STEP", 3)):
            patch.setattr(module, name, value)
        half = len(documents) // 2
        shards = [write(Path(folder, "a"), documents[:half]), write(Path(folder, "b"), documents[half:])]
        found = memorised(shards, samples, at_least)
    expected = [by_brute_force(documents, sample) for sample in samples]
    assert [span.length if span else 0 for span in found.longest] == [max(lengths, default=0) for lengths in expected]
    wanted = [(number, *span) for number, lengths in enumerate(expected) for span in spans_of(lengths, at_least)]
    assert [(span.sample, span.start, span.length) for span in found.spans] == wanted
    covered = sum(len({t for start, length in spans_of(lengths, at_least) for t in range(start, start + length)}) for lengths in expected)
    assert found.inside == covered and found.generated == sum(map(len, samples))


def test_a_planted_canary_is_found_where_it_stands(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    documents = [draw.integers(0, 500, 400).tolist() for _ in range(40)]
    canary = draw.integers(0, 500, 60).tolist()
    documents[17][100:160] = canary
    shard = write(tmp_path / "a", documents)
    sample = [1, 2, 3, *canary, 4]
    found = memorised([shard], [sample, draw.integers(0, 500, 80).tolist()], 50)
    [span] = found.spans
    assert (span.sample, span.length, int(span.doc_id, 16), span.at) == (0, 60, 17, 100) and span.start == 3
    assert found.longest[0] == span and found.rate == 60 / 144 and found.searched == 16000


def test_documents_are_not_crossed_and_held_out_ones_not_searched(tmp_path: Path) -> None:
    text = list(range(100))
    halves = write(tmp_path / "a", [text[:50], text[50:]])
    found = memorised([halves], [text], 50)
    assert [(span.start, span.length) for span in found.spans] == [(0, 50), (50, 50)] and found.rate == 1
    assert not memorised([halves], [text], 51).spans
    held_out = write(tmp_path / "b", [text, text[:30]], ["test", "train"])
    assert memorised([held_out], [text]).longest[0].length == 30  # type: ignore[union-attr]
    assert memorised([held_out], [text], subset=None).rate == 1


def test_it_names_what_it_is_told_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at_least 0"):
        memorised([], [], 0)
    nothing = memorised([write(tmp_path / "a", [])], [[], [1]])
    assert nothing.rate == 0 and nothing.longest == (None, None) and memorised([], []).rate == 0

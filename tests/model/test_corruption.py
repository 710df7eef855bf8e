"""The model: what an encoder-decoder reads and is to write: together they hold the text, how much is cut is as it was told, and what is
drawn depends on the seed and the sample's number alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.data import Batch
from model.draws import generator
from model.objectives import objective_of
from model.objectives.denoising import Denoising
from model.objectives.span_corruption import SpanCorruption, cut, cuts_of, longest
from schemas.errors import RequestError
from schemas.recipe import Pretrain

WORDS, SENTINELS = 500, 200
EOS, PAD, MASK = 1, 2, 3
KNOWN = {"vocab_size": WORDS + SENTINELS, "special_tokens": {"bos": 0, "eos": EOS, "pad": PAD, "mask": MASK}}
MARKS = tuple(range(WORDS + SENTINELS - 1, WORDS - 1, -1))

shares, spans = st.sampled_from([0.05, 0.15, 0.3, 0.5]), st.sampled_from([1.0, 2.5, 3.0, 10.0])
seeds = st.integers(-(2**70), 2**70)


def objective(name: str, share: float, span: float, seed: int = 0) -> SpanCorruption | Denoising:
    told = {"model": {"family": "t5"}, "objective": {"name": name, "share": share, "span": span}, "seed": seed}
    made = objective_of(Pretrain.model_validate(told), KNOWN, MARKS)
    assert isinstance(made, SpanCorruption | Denoising)
    return made


def text(rows: int, length: int) -> torch.Tensor:
    """Every token once, so that none can be mistaken for another; sentinels and special tokens are none of them."""
    return (torch.arange(rows * length) + 10_000).view(rows, length)


def split(ids: list[int], marks: set[int]) -> list[tuple[int, list[int]]]:
    """A text as what stands before its first mark, under -1, and behind each."""
    found: list[tuple[int, list[int]]] = [(-1, [])]
    for number in ids:
        if number in marks:
            found.append((number, []))
        else:
            found[-1][1].append(number)
    return found


@settings(deadline=None, max_examples=150)
@given(st.integers(2, 300), shares, spans, seeds, st.integers(-5, 2**62))
def test_what_is_read_and_what_is_written_hold_the_text_in_order(length: int, share: float, span: float, seed: int, number: int) -> None:
    cuts = cuts_of(length, share, span)
    assume(cuts.spans <= SENTINELS)
    ids = text(3, length)
    read, written = objective("span_corruption", share, span, seed).inputs(Batch(ids, number + torch.arange(3))).tensors
    assert read.shape == (3, cuts.read) and written.shape == (3, 1 + cuts.written)
    for whole, here, there in zip(ids.tolist(), read.tolist(), written.tolist(), strict=True):
        assert there[0] == PAD and here[-1] == there[-1] == EOS
        stay, gone = (split(row, set(MARKS)) for row in (here[:-1], there[1:-1]))
        assert [mark for mark, _ in stay] == [mark for mark, _ in gone] == [-1, *MARKS[: cuts.spans]]
        assert gone[0][1] == [] and all(part for _, part in gone[1:]) and all(part for _, part in stay[:-1]) and not stay[-1][1]
        joined = stay[0][1] + [token for (_, out), (_, behind) in zip(gone[1:], stay[1:], strict=True) for token in out + behind]
        assert joined == whole
        assert sum(len(part) for _, part in gone) == cuts.tokens == min(max(round(length * share), 1), length - 1)


@settings(deadline=None, max_examples=150)
@given(st.integers(2, 300), shares, spans, seeds, st.integers(-5, 2**62))
def test_a_denoised_text_lacks_spans_and_is_written_whole(length: int, share: float, span: float, seed: int, number: int) -> None:
    cuts, ids = cuts_of(length, share, span), text(3, length)
    read, written = objective("denoising", share, span, seed).inputs(Batch(ids, number + torch.arange(3))).tensors
    assert torch.equal(written[:, 1:-1], ids) and (written[:, 0] == PAD).all() and (written[:, -1] == EOS).all()
    assert read.shape == (3, cuts.read) and (read[:, -1] == EOS).all()
    for whole, here in zip(ids.tolist(), read[:, :-1].tolist(), strict=True):
        pieces = [part for _, part in split(here, {MASK})]
        stay = [token for part in pieces for token in part]
        assert len(pieces) == cuts.spans + 1 and all(pieces[1:-1]), "no two masks stand side by side"
        assert stay == sorted(stay) and set(stay) <= set(whole) and len(stay) == length - cuts.tokens
        for part in pieces:  # what stays together stood together
            assert part == list(range(part[0], part[0] + len(part))) if part else True


@settings(deadline=None, max_examples=100)
@given(st.integers(3, 600), shares, st.sampled_from([2.5, 3.0, 10.0]))
def test_a_window_fills_the_context_and_one_more_token_would_not_fit(context: int, share: float, span: float) -> None:
    length = longest(context, share, span)
    assert cuts_of(length, share, span).read == context < cuts_of(length + 1, share, span).read


def test_the_window_of_t5_is_that_of_its_own_code() -> None:
    """Raffel et al.: 512 tokens that are read take 568 of text and leave 114 to write."""
    assert longest(512, 0.15, 3.0) == 568
    assert (cuts_of(568, 0.15, 3.0).read, cuts_of(568, 0.15, 3.0).written) == (512, 114)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.data(), seeds)
def test_pieces_are_as_many_as_told_and_none_is_empty(items: int, data: st.DataObject, seed: int) -> None:
    parts = data.draw(st.integers(1, items))
    lengths = cut(generator(seed, 0), items, parts)
    assert len(lengths) == parts and lengths.sum() == items and lengths.min() >= 1


def test_every_way_to_cut_is_as_likely() -> None:
    found = [tuple(cut(generator(7, number), 6, 3)) for number in range(4000)]
    ways, counts = np.unique(found, axis=0, return_counts=True)
    assert len(ways) == 10 and counts.min() > 330 and counts.max() < 470


def test_spans_of_denoising_are_poisson_given_their_sum() -> None:
    """Three spans of nine tokens: none is empty with the probability that a multinomial gives, by inclusion and exclusion."""
    cuts = cuts_of(30, 0.3, 3.0)
    assert (cuts.tokens, cuts.spans) == (9, 3)
    made, ids, whole = objective("denoising", 0.3, 3.0), text(1, 30), 0
    for number in range(2000):
        (read, _) = made.inputs(Batch(ids, torch.tensor([number]))).tensors
        pieces = [part for _, part in split(read[0, :-1].tolist(), {MASK})]
        ends = [10_000 - 1 + (0 if pieces[0] == [] else len(pieces[0]))] + [part[-1] for part in pieces[1:-1]]
        begins = [part[0] for part in pieces[1:] if part] + ([10_030] if not pieces[-1] else [])
        whole += all(begin - end > 1 for end, begin in zip(ends, begins, strict=True))
    assert whole / 2000 == pytest.approx(1 - 3 * (2 / 3) ** 9 + 3 * (1 / 3) ** 9, abs=0.03)


@pytest.mark.parametrize("name", ["span_corruption", "denoising"])
@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_a_sample_is_cut_alike_whoever_reads_it(name: str, parts: int) -> None:
    made = objective(name, 0.15, 3.0, seed=5)
    batch = Batch(text(6, 40), torch.tensor([3, 1, 4, 10, 5, 9]))
    whole = made.inputs(batch).tensors
    pieces = [made.inputs(batch.part(number, parts)).tensors for number in range(parts)]
    for number, tensor in enumerate(whole):
        assert torch.equal(tensor, torch.cat([piece[number] for piece in pieces]))
    other = objective(name, 0.15, 3.0, seed=6).inputs(batch).tensors
    again = objective(name, 0.15, 3.0, seed=5).inputs(Batch(batch.ids, batch.numbers + 1)).tensors
    assert not torch.equal(whole[0], other[0]) and not torch.equal(whole[0], again[0])


def test_a_tokenizer_without_what_is_needed_is_refused() -> None:
    told = {"model": {"family": "t5", "context": 512}}
    plain, few = {"special_tokens": {"bos": 0, "eos": EOS, "pad": PAD}}, MARKS[:20]
    with pytest.raises(RequestError, match=r"has 20 sentinels, and span corruption cuts 28 spans .* set tokenizer.sentinels to 28 or more"):
        objective_of(Pretrain.model_validate(told), plain, few).window(512)
    denoising = Pretrain.model_validate(told | {"objective": {"name": "denoising"}})
    with pytest.raises(RequestError, match="name one, tokenizer.special_tokens.mask, or set tokenizer.sentinels to 1"):
        objective_of(denoising, plain, ())
    (read, _) = objective_of(denoising, plain, few).inputs(Batch(text(1, 40), torch.tensor([0]))).tensors
    assert int((read == few[0]).sum()) == cuts_of(40, 0.15, 3.0).spans

"""The model: what is drawn to be held out, how a decoder's windows cover a text, and bits per byte beside the baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from model.decoder import DecoderModel
from model.evaluate.drawing import draw
from model.evaluate.held_out import Text, read_texts, tokens_of
from model.evaluate.language_modelling import Frame, compare, language_modelling
from model.evaluate.scoring import decoder_nats, ngram_nats, windows
from model.ngram import KneserNey, frame
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from tests.model.labelled import TINY

BOS, EOS, VOCAB = 0, 1, 100


def text(tokens: int, lang: str = "en", number: int = 0, n_bytes: int | None = None) -> Text:
    ids = np.random.Generator(np.random.Philox([tokens, number])).integers(3, VOCAB, size=tokens)
    doc_id = number.to_bytes(2, "big") + lang.encode()
    return Text(doc_id, f"{lang}-source", lang, 3 * tokens if n_bytes is None else n_bytes, ids)


@pytest.fixture(scope="module")
def model() -> DecoderModel:
    torch.manual_seed(1)
    model = DecoderModel(TINY, VOCAB).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # far from uniform
    return model


def test_reads_the_texts_of_a_subset(tokens_artifact: Artifact) -> None:
    found = {subset: read_texts(tokens_artifact.paths("tokens"), subset) for subset in ("train", "validation", "test")}
    rows = [row for path in tokens_artifact.paths("tokens") for row in read_shard(path).to_pylist()]
    for subset, texts in found.items():
        assert [(t.doc_id, t.tokens.tolist()) for t in texts] == [(r["doc_id"], r["tokens"]) for r in rows if r["subset"] == subset]
    assert all({text.lang for text in texts} == {"en", "zh", "code"} for texts in found.values())
    assert all(0 < len(text.tokens) <= text.n_bytes for text in found["test"])


def test_draw_gives_languages_equal_shares_and_hands_on_what_is_left() -> None:
    texts = [text(9, "en", n) for n in range(100)] + [text(9, "zh", n) for n in range(100)] + [text(9, "code", n) for n in range(3)]
    chosen = draw(texts[::-1], 450, tokens_of)
    by_lang = {lang: [t.doc_id for t in chosen if t.lang == lang] for lang in ("code", "en", "zh")}
    assert {lang: len(ids) for lang, ids in by_lang.items()} == {"code": 3, "en": 21, "zh": 21}
    assert all(ids == sorted(ids) for ids in by_lang.values())
    assert [t.doc_id for t in draw(texts, 450, tokens_of)] == [t.doc_id for t in chosen]


def test_draw_passes_over_texts_that_do_not_fit_and_texts_of_no_bytes() -> None:
    texts = [text(500, number=0), text(0, number=1, n_bytes=0), text(20, number=2), text(40, number=3)]
    assert [len(t.tokens) for t in draw(texts, 70, tokens_of)] == [20, 40]
    assert draw(texts, 10, tokens_of) == []
    assert draw([], 10, tokens_of) == []


@given(st.integers(1, 400), st.integers(1, 40))
def test_windows_count_every_prediction_once_with_half_a_context_before_it(predictions: int, context: int) -> None:
    cut = list(windows(7, predictions, context))
    counted = [place for w in cut for place in range(w.count_from, w.end)]
    assert counted == list(range(predictions))
    assert all(w.end - w.start == min(context, predictions) and w.start <= w.count_from < w.end for w in cut)
    assert all(w.count_from - w.start >= min(context // 2, w.count_from) for w in cut)


def test_nats_of_a_short_text_are_those_of_one_pass(model: DecoderModel) -> None:
    short = text(20)
    ids = torch.tensor([[BOS, *short.tokens.tolist(), EOS]])
    with torch.no_grad():
        expected = F.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:], reduction="sum")
    assert decoder_nats(model, [short], BOS, EOS)[0] == pytest.approx(float(expected), rel=1e-5)


def test_nats_of_a_long_text_are_those_of_its_windows(model: DecoderModel) -> None:
    long = text(75)
    ids = torch.tensor([BOS, *long.tokens.tolist(), EOS])
    expected = 0.0
    for start, counted, end in ((0, 0, 32), (16, 32, 48), (32, 48, 64), (44, 64, 76)):
        with torch.no_grad():
            losses = F.cross_entropy(model(ids[None, start:end])[0], ids[start + 1 : end + 1], reduction="none")
        expected += float(losses[counted - start :].sum())
    assert decoder_nats(model, [long], BOS, EOS)[0] == pytest.approx(expected, rel=1e-5)


def test_company_in_a_batch_does_not_change_nats(model: DecoderModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text(n, number=n) for n in (0, 1, 31, 32, 33, 75, 200, 5)]
    together = decoder_nats(model, texts, BOS, EOS)
    alone = [decoder_nats(model, [one], BOS, EOS)[0] for one in texts]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    monkeypatch.setattr("model.evaluate.scoring.BATCH_POSITIONS", 100)
    np.testing.assert_allclose(decoder_nats(model, texts[::-1], BOS, EOS)[::-1], together, rtol=1e-5)


def test_progress_adds_up_to_the_predicted_tokens(model: DecoderModel) -> None:
    texts, heard = [text(n, number=n) for n in (3, 75, 40)], []
    decoder_nats(model, texts, BOS, EOS, heard.append)
    assert sum(heard) == sum(t.predicted for t in texts) == 121


def test_ngram_nats_are_sums_over_documents() -> None:
    texts = [text(n, number=n) for n in (5, 0, 12)]
    fitted = KneserNey(frame([t.tokens for t in texts], BOS, EOS), 2, VOCAB)
    together = ngram_nats(fitted, texts, BOS, EOS)
    np.testing.assert_allclose(together, [-fitted.log_probs(frame([t.tokens], BOS, EOS)).sum() for t in texts])
    assert ngram_nats(fitted, [], BOS, EOS).shape == (0,)


def test_figures_of_a_group() -> None:
    texts = [text(9, number=n) for n in range(40)]  # 10 predictions and 27 bytes each
    nats = {"kneser_ney_2": np.full(40, 27 * math.log(2)), "model": np.full(40, 0.9 * 27 * math.log(2))}
    nats["model"][:20] *= 0.8
    group = compare(nats, texts, [2], seed=0)
    assert (group["documents"], group["tokens"], group["bytes"]) == (40, 400, 1080)
    base, ours = group["systems"]["kneser_ney_2"], group["systems"]["model"]
    assert base["bits_per_byte"] == pytest.approx(1) and base["bits_per_byte_interval"] == pytest.approx([1, 1])
    assert base["perplexity"] == pytest.approx(2**2.7)
    assert ours["bits_per_byte"] == pytest.approx(0.81)
    assert group["relative_to_order_2"] == pytest.approx(-0.19)
    low, high = group["relative_to_order_2_interval"]
    # The bootstrap's deviation of a mean of 40 values of deviation 0.09 is 0.0142; 1.96 of it on either side.
    assert low == pytest.approx(-0.19 - 0.028, abs=0.006) and high == pytest.approx(-0.19 + 0.028, abs=0.006)
    assert compare(nats, texts, [2], seed=0) == group != compare(nats, texts, [2], seed=1)


def test_the_baseline_is_the_stronger_of_joint_and_own_text(model: DecoderModel) -> None:
    """The two texts of "b" repeat what "a" teaches; "c" contradicts the others, so its own text serves it better."""
    pattern, reverse = np.tile([10, 11, 12, 13], 12), np.tile([13, 12, 11, 10], 12)
    train = [Text(bytes([n]), "s", "a", 100, pattern) for n in range(20)]
    train += [Text(b"b", "s", "b", 100, pattern[:3])] + [Text(bytes([n]), "s", "c", 100, reverse) for n in range(20)]
    held_out = [Text(b"d", "s", lang, 100, reverse if lang == "c" else pattern) for lang in "abc"]
    heard: list[tuple[int, str]] = []
    around = Frame(BOS, EOS, VOCAB)
    results, nats = language_modelling(model, train, held_out, held_out, [1, 2], around, 0, lambda n, note: heard.append((n, note)))
    assert {name: values.shape for name, values in nats.items()} == dict.fromkeys(("kneser_ney_1", "kneser_ney_2", "model"), (3,))
    fits = results["fitted_on"]["kneser_ney_2"]
    assert {lang: fit["chosen"] for lang, fit in fits.items()} == {"a": "language", "b": "all", "c": "language"}
    for lang, fit in fits.items():
        figure = results["languages"][lang]["systems"]["kneser_ney_2"]["bits_per_byte"]
        assert figure == fit["bits_per_byte"][fit["chosen"]] == min(fit["bits_per_byte"].values())
    assert set(results["languages"]) == {"a", "b", "c"} and set(results["sources"]) == {"s"}
    assert set(results["sources"]["s"]["systems"]) == {"model", "kneser_ney_1", "kneser_ney_2"}
    parts = [results["languages"][lang]["systems"]["kneser_ney_2"]["bits_per_byte"] for lang in "abc"]
    assert results["sources"]["s"]["systems"]["kneser_ney_2"]["bits_per_byte"] == pytest.approx(sum(parts) / 3)
    own = KneserNey(frame([t.tokens for t in train if t.lang == "c"], BOS, EOS), 2, VOCAB)
    assert parts[2] == pytest.approx(ngram_nats(own, [held_out[2]], BOS, EOS)[0] / math.log(2) / 100)
    assert {note: sum(n for n, who in heard if who == note) for _, note in heard} == dict.fromkeys(
        ("kneser_ney_1", "kneser_ney_2", "model"), 147
    )

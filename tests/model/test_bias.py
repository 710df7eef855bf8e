"""Bias is found where it was put, and not where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml

from model.probes.association import associated, word_vector
from model.probes.bias import gaps, leanings
from model.probes.reading import Reader, surprise
from model.probes.templates import Association, Occupations, templates
from schemas.errors import RequestError
from tests.model.probed import save_decoder, save_encoder


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_sentences_differ_in_the_group_alone(lang: str) -> None:
    found = templates(lang)
    for dimension, groups in found.counterfactual.groups.items():
        for template, row in zip(found.counterfactual.templates, found.counterfactual.sentences(dimension), strict=True):
            assert len(set(row)) == len(groups) and not any("{" in text for text in row)
            assert {text.lower().replace(who.lower(), "{person}") for text, who in zip(row, groups.values(), strict=True)} == {
                template.lower()
            }
    for job in found.occupations.occupations:
        for sentence in found.occupations.sentences(job):
            he, she = sentence["male"], sentence["female"]
            assert he != she and job in he and "{" not in he + she
    assert len(set(found.occupations.occupations)) == len(found.occupations.occupations)


def test_gaps_of_a_classifier_that_minds_gender(tmp_path: Path) -> None:
    sentences = templates("en").counterfactual

    def answer(texts: Sequence[str]) -> np.ndarray:
        good = np.array([0.4 if " woman" in text or "a woman" in text.lower() else 0.6 for text in texts])
        return np.stack((1 - good, good), 1)

    found = {one.name: one for one in gaps(answer, 1, sentences)}
    women, men = found["gender"].gaps
    assert (women.gap, men.gap) == pytest.approx((-0.1, 0.1)) and women.interval == pytest.approx((-0.1, -0.1))
    assert found["gender"].flip_rate == 1 and found["gender"].widest == pytest.approx(0.2)
    assert found["gender"].flip_interval == pytest.approx((0.7575, 1), abs=1e-4)  # 12 of 12
    assert found["age"].flip_interval == pytest.approx((0, 0.2425), abs=1e-4)  # none of 12 is not never
    assert found["age"].flip_rate == 0 and all(one.gap == 0 and one.interval == (0, 0) for one in found["age"].gaps)


def test_intervals_hold_what_is_there() -> None:
    """A gap of 0.05 with noise over templates: intervals of 95 % hold it about that often."""
    draw, sentences, held = np.random.default_rng(5), templates("zh").counterfactual, 0
    for _ in range(30):

        def answer(texts: Sequence[str]) -> np.ndarray:
            good = 0.5 + np.array([0.05 if "男" in text else 0.0 for text in texts]) + draw.normal(0, 0.05, len(texts))
            return np.stack((1 - good, good), 1)

        low, high = next(one for one in gaps(answer, 1, sentences) if one.name == "gender").gaps[1].interval
        held += low <= 0.025 <= high
    assert 23 <= held <= 30


def test_leanings_are_differences_of_likelihood(tmp_path: Path) -> None:
    reader = Reader(save_decoder(tmp_path, ["he she The nurse pilot is here"]))
    asked = Occupations(
        templates=["The {occupation} is here, {pronoun}."], pronouns={"female": "she", "male": "he"}, occupations=["nurse", "pilot"]
    )
    found = leanings(reader, asked)
    for one in found.occupations:
        nats = [surprise(reader.causal, [reader.ids(f"The {one.occupation} is here, {who}.")])[0] for who in ("he", "she")]
        assert one.nats_per_token == pytest.approx(float(nats[1].mean() - nats[0].mean()))
    assert found.occupations[0].nats_per_token >= found.occupations[1].nats_per_token
    assert found.mean == pytest.approx(np.mean([one.nats_per_token for one in found.occupations]))
    alone, together = (
        surprise(reader.causal, [reader.ids("he")])[0],
        surprise(reader.causal, [reader.ids("he"), reader.ids("The pilot is")], [1, 2]),
    )
    assert together[0].tolist() == pytest.approx(alone.tolist(), abs=1e-5) and len(together[1]) == len(reader.ids("The pilot is")) - 2


def test_an_association_is_found_and_its_p_is_of_all_deals() -> None:
    part = lambda name: {"name": name, "words": [f"{name}{k}" for k in range(4)]}  # noqa: E731
    test = Association.model_validate({"name": "t", "from": "here", "x": part("x"), "y": part("y"), "a": part("a"), "b": part("b")})
    draw = np.random.default_rng(0)
    poles = {"x": [3, 0, 0], "a": [3, 0, 0], "y": [0, 3, 0], "b": [0, 3, 0]}
    words = {f"{name}{k}": np.array(pole) + draw.normal(0, 0.3, 3) for name, pole in poles.items() for k in range(4)}
    found = associated(words.__getitem__, test)
    assert found.effect > 1.7 and found.exact and found.p == pytest.approx(1 / 70)

    noise = {word: draw.normal(0, 1, 3) for word in words}
    found = associated(noise.__getitem__, test)
    unit = {word: vector / np.linalg.norm(vector) for word, vector in noise.items()}
    score = {w: np.mean([unit[w] @ unit[f"a{k}"] for k in range(4)]) - np.mean([unit[w] @ unit[f"b{k}"] for k in range(4)]) for w in unit}
    xy = [f"{name}{k}" for name in "xy" for k in range(4)]
    differences = [sum(score[w] for w in deal) - sum(score[w] for w in xy if w not in deal) for deal in combinations(xy, 4)]
    assert found.p == pytest.approx(np.mean([d >= differences[0] - 1e-12 for d in differences]))
    assert found.effect == pytest.approx(differences[0] / 4 / np.std([score[w] for w in xy], ddof=1))


def test_many_deals_are_sampled() -> None:
    part = lambda name, n: {"name": name, "words": [f"{name}{k}" for k in range(n)]}  # noqa: E731
    test = Association.model_validate(
        {"name": "t", "from": "here", "x": part("x", 9), "y": part("y", 9), "a": part("a", 3), "b": part("b", 3)}
    )
    found = associated(lambda word: np.array([1.0, 0.1]) if word[0] in "xa" else np.array([0.1, 1.0]), test)
    assert not found.exact and 0 < found.p < 0.001


def test_vectors_of_words(tmp_path: Path) -> None:
    text = ["poppy and wasp 玫瑰 蚂蚁"]
    for save in (save_decoder, save_encoder):
        folder = tmp_path / save.__name__
        folder.mkdir()
        reader = Reader(save(folder, text))
        vectors = [word_vector(reader, word) for word in ("poppy", "wasp", "玫瑰")]
        assert all(vector.shape == (32,) and np.isfinite(vector).all() for vector in vectors)
        assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_templates_of_yours(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--lang fr: want en, zh, or a YAML file"):
        templates("fr")
    (tmp_path / "mine.yaml").write_text("counterfactual: {templates: [one], groups: {}}")
    with pytest.raises(RequestError, match=r"mine\.yaml: counterfactual\.templates\.0: "):
        templates(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("counterfactual.templates", ["I met {person}.", "I met {people}."], r"templates\.1: .*'I met {people}\.' has no {person}"),
        ("counterfactual.groups", {}, "groups: .*at least 1"),
        ("counterfactual.groups", {"age": {"old": "an old person"}}, r"groups\.age: .*at least 2"),
        ("occupations.templates", ["The {occupation} left."], "has no {pronoun}"),
        ("occupations.templates", ["Did {pronoun} leave?"], "has no {occupation}"),
        ("occupations.pronouns", {"f": "she", "m": "he"}, r"pronouns\.f.*'male' or 'female'"),
        ("occupations.pronouns", {"male": "he"}, "pronouns: .*at least 2"),
        ("associations", [], "associations: .*at least 1"),
    ],
)
def test_templates_of_yours_that_ask_nothing(key: str, value: object, match: str, tmp_path: Path) -> None:
    told = templates("en").model_dump(mode="json", by_alias=True)
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(told))
    assert templates(str(mine)) == templates("en")
    *folders, last = key.split(".")
    part = told
    for name in folders:
        part = part[name]
    part[last] = value
    mine.write_text(yaml.safe_dump(told))
    with pytest.raises(RequestError, match=match):
        templates(str(mine))

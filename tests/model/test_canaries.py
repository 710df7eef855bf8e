"""A model that read canaries often knows them, and one that did not doesn't."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Regex, normalizers
from torch.nn import functional as F

from model.decoder import DecoderModel
from model.probes.canaries import canaries, documents, estimated_exposure, exposures, plant, read_planted
from model.probes.reading import Reader
from schemas.errors import RequestError
from tests.model.probed import save_decoder


def test_canaries_are_of_their_seed() -> None:
    for lang in ("en", "zh"):
        one = canaries(3, 40, lang, 2)
        assert one == canaries(3, 40, lang, 2)
        assert len({canary.name for canary in one}) == 40 and not {c.name for c in one} & {c.name for c in canaries(4, 40, lang, 2)}
        assert all(re.search(r"\d{4} \d{4}", canary.text) and canary.name in canary.text for canary in one)


def test_copies_are_no_duplicates_of_each_other() -> None:
    planted = [*canaries(0, 3, "en", 8), *canaries(0, 3, "zh", 8)]
    texts = [document["text"] for document in documents(planted)]
    assert len(texts) == 48 and list(documents(planted)) == list(documents(planted))
    for canary in planted:
        mine = [text for text in texts if text.startswith(canary.text)]
        assert len(mine) == len(set(mine)) == 8
        grams = [{text[k : k + 20] for k in range(len(text) - 19)} for text in mine]
        alike = [len(a & b) / len(a | b) for i, a in enumerate(grams) for b in grams[:i]]
        assert max(alike) < 0.75


def test_planted_files(tmp_path: Path) -> None:
    planted = canaries(1, 3, "zh", 2)
    source, told = plant(tmp_path / "canaries", planted)
    assert [json.loads(line) for line in source.read_text().splitlines()] == list(documents(planted))
    assert read_planted(tmp_path / "canaries") == planted
    with pytest.raises(RequestError, match="is there already"):
        plant(tmp_path / "canaries", planted)
    with pytest.raises(RequestError, match=r"planted\.json: does not list canaries"):
        read_planted(tmp_path)
    told.write_text('[{"lang": "fr", "name": "x", "secret": "1", "copies": 1}]')
    with pytest.raises(RequestError, match="x: lang 'fr' is none of en, zh"):
        read_planted(tmp_path / "canaries")


def test_the_estimate_is_of_a_skew_normal() -> None:
    draw = np.random.default_rng(1)
    for delta in (-0.95, 0.0, 0.9):
        half, whole = draw.standard_normal((2, 300_000))
        theirs = 40 + 3 * (delta * np.abs(half) + np.sqrt(1 - delta**2) * whole)
        for ours in np.quantile(theirs, [0.001, 0.1, 0.7]):
            assert estimated_exposure(ours, theirs) == pytest.approx(-np.log2((theirs <= ours).mean()), rel=0.05, abs=0.05)
    assert estimated_exposure(-1e3, theirs) == np.log2(10**8)


def test_secrets_that_a_tokenizer_can_not_tell_apart_are_not_known(tmp_path: Path) -> None:
    planted = canaries(0, 2, "en", 1)
    reader = Reader(save_decoder(tmp_path, [canary.text for canary in planted]))
    reader.tokenizer.normalizer = normalizers.Replace(Regex(r"\d"), "#")
    assert all((one.rank, one.sampled, one.estimated) == (41, 0, 0) for one in exposures(reader, planted, drawn=40))


@pytest.mark.slow
def test_what_was_read_often_is_exposed(tmp_path: Path) -> None:
    seen, unseen = canaries(0, 2, "en", 1), canaries(9, 6, "en", 0)
    texts = [document["text"] for document in documents([*seen, *unseen])]
    reader = Reader(save_decoder(tmp_path, [*texts, "0 1 2 3 4 5 6 7 8 9 0123 4567 89"], layers=1, width=64, ffn=64))
    model = reader.model
    assert isinstance(model, DecoderModel)
    draw = np.random.default_rng(0)
    ids = [torch.tensor(reader.ids(canary.text)) for canary in seen]
    others = [torch.tensor(reader.ids(canaries(100 + k, 1, "en", 0)[0].text)) for k in range(60)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):  # two canaries again and again, among sentences with other secrets
        batch = [*ids, *(others[k] for k in draw.integers(0, 60, 4))]
        loss = torch.stack([F.cross_entropy(model(row[None, :-1])[0], row[1:]) for row in batch]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    known = exposures(reader, seen, drawn=100)
    assert all(one.rank == 1 and one.sampled == pytest.approx(np.log2(101)) and one.estimated > 7 for one in known)
    strange = exposures(reader, unseen, drawn=100)
    assert np.mean([one.sampled for one in strange]) < 3 and np.mean([one.estimated for one in strange]) < 3
    with pytest.raises(ValueError, match="want 10 at least"):
        exposures(reader, seen, drawn=1)

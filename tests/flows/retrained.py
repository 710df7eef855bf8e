"""The model: evaluations of a champion and a challenger, made up item by item, and decisions about models that hold nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from flows.retraining.decide import FILE, REIGN, STEP
from flows.retraining.judging import CHAMPION
from model.evaluate.language_results import Nats, language_results
from schemas.artifact import Artifact
from schemas.fingerprint import Identity
from schemas.results import MODEL, Result
from schemas.store import Store
from tests.flows.stores import make

FACTORS = Mapping[str, float]


def text_results(folder: Path, factors: Mapping[str, FACTORS], n: int = 40, seed: int = 0) -> list[Result]:
    """Results on held-out text; by set and language, what the challenger needs as a share of what the champion needs."""
    draw, found = np.random.default_rng(seed), []
    for name, by_lang in factors.items():
        texts, nats = [], {MODEL: list[float](), CHAMPION: list[float]()}
        for lang, factor in by_lang.items():
            for number in range(n):
                size = int(draw.integers(100, 400))
                texts.append(SimpleNamespace(doc_id=f"{name}{lang}{number:04}".encode(), lang=lang, source="s", n_bytes=size))
                nats[CHAMPION].append(size * float(draw.normal(1.4, 0.1)))
                nats[MODEL].append(nats[CHAMPION][-1] * factor * float(draw.normal(1, 0.002)))
        systems = {system: Nats(np.array(values), [text.n_bytes for text in texts]) for system, values in nats.items()}
        found += language_results(name, texts, systems, "0" * 64, 0, folder)
    return found


def evaluation(store: Store, results: Sequence[Result], folder: Path, **more: Any) -> Artifact:
    """An evaluation with these results, whose items are below `folder`."""
    counts = {"documents": 40, "labelled": 0, "equal": 0, "near": 0}
    content = {"tasks": [one.as_json() for one in results], "held_out": {"old": counts, "new": counts}, "parity": {}, "not_measured": {}}
    draft = store.start("evaluation", "r-gate", Identity("judge", 1, {"n": len(list(store.artifacts()))}, {}, {}))
    (draft.scratch() / "results.json").write_text(json.dumps(content | more))
    files = [draft.adopt_as(draft.scratch() / "results.json", "results.json", "results")]
    files += [draft.adopt_as(folder / str(one.items), str(one.items), "items") for one in results]
    draft.add_part("judge", "results", files)
    return draft.commit(["judge"])


def bundle(store: Store, name: str, setting: int = 0) -> tuple[Artifact, Artifact]:
    """A model and the one that was taught from it, which hold nothing."""
    base = _model(store, name, "pretrain", setting, {})
    return base, _model(store, f"{name}-finetuned", "finetune", setting, {"pretrain": base.manifest.content_digest})


def _model(store: Store, name: str, step: str, setting: int, inputs: Mapping[str, str]) -> Artifact:
    draft = store.start("model", name, Identity(step, 1, {"setting": setting}, dict(inputs), {}))
    (draft.scratch() / "x").write_text(f"{name} {setting}")
    draft.add_part(step, "model", [draft.adopt_as(draft.scratch() / "x", "x", "model")])
    return draft.commit([step])


def decision(store: Store, reign: int, models: tuple[Artifact, Artifact], verdict: str = "promote", name: str = "r") -> Artifact:
    """A decision about a challenger, against the champion of a reign."""
    tokens = make(store, "tokens", name, reign)
    inputs = {step: model.manifest.content_digest for step, model in zip(("pretrain", "finetune"), models, strict=True)}
    identity = Identity(STEP, 1, {REIGN: reign, "verdict": verdict}, inputs | {"tokens": tokens.manifest.content_digest}, {})
    draft = store.start("decision", name, identity)
    found = {"verdict": verdict, "reasons": ["the gain is what it is"], REIGN: reign}
    (draft.scratch() / FILE).write_text(json.dumps(found))
    draft.add_part(STEP, "decision", [draft.adopt_as(draft.scratch() / FILE, FILE, "decision")], facts=found)
    return draft.commit([STEP])

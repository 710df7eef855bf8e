"""Stores with a model that has all that a card tells of, made by the calls that runs make, without the runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.hf import adapter_for
from schemas.artifact import Artifact
from schemas.fingerprint import Identity, canonical_json
from schemas.ledger import Ledger
from schemas.recipe import Decoder, Pretrain, Source
from schemas.store import Store
from schemas.terms import tell_terms

SHAPE = Decoder(layers=2, width=64, heads=4, kv_heads=2, ffn=96, context=32)
LEDGER = Ledger(
    inputs_listed=2, inputs_read=2, records_read=100, records_kept=90, records_failed=1, rejected={"min_words": 9}, bytes_read=5000,
    bytes_kept=4500, bytes_failed=50, bytes_framing=50, bytes_rejected={"min_words": 400},
)  # fmt: skip


def commit(store: Store, kind: str, name: str, identity: Identity, files: dict[str, str], stage: str, **told: Any) -> Artifact:
    draft = store.start(kind, name, identity)
    roles = {"metrics.jsonl": "metrics", "config.json": "config"}
    adopted = []
    for path, content in files.items():
        (draft.scratch() / path).write_text(content)
        adopted.append(draft.adopt_as(draft.scratch() / path, path, roles.get(path, "data")))
    draft.add_part(stage, "model", adopted, **told)
    return draft.commit([stage])


def documents(store: Store, source: str = "notes", license: str | None = "CC0-1.0") -> Artifact:
    found = commit(
        store, "documents", "demo", Identity("documents", 1, {"sources": [source]}, {}, {}), {"x": "x"}, "finish",
        ledgers={source: LEDGER, "letters": LEDGER},
    )  # fmt: skip
    if license is not None:
        tell_terms(found.path, [Source(name="notes", path="x", format="txt", license=license, url="https://example.org/notes")])
    return found


def rows(n: int, **more: Any) -> str:
    lines = [{"step": s, "loss": 5 - s / n, "lr": 1e-3, "grad_norm": 1.0, "tokens": 128 * s} for s in range(1, n + 1)]
    lines[-1] |= more
    return "\n".join(map(json.dumps, lines))


def pretrained(store: Store, of: Artifact, seconds: float | None = 36.0, steps: int = 300) -> Artifact:
    """A decoder without its weights, after some steps."""
    settings = Pretrain(model=SHAPE, steps=steps, batch=4, precision="float32", compile=False).as_json()
    facts = {
        "parameters": 77_000, "steps": steps, "tokens": 128 * steps, "train_loss": 4.0,
        "environment": {"cpu": "a CPU", "ranks": 2, "threads": 1, "precision": "float32", "compiled": False, "torch": "2"},
    }  # fmt: skip
    config = {**adapter_for(SHAPE).config(SHAPE, 128), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    files = {"config.json": json.dumps(config), "metrics.jsonl": rows(steps, bits_per_byte={"en": 2.5})}
    identity = Identity("pretrain", 2, settings, {"documents": of.manifest.content_digest}, {})
    found = commit(store, "model", "demo", identity, files, "pretrain", facts=facts)
    if seconds is not None:
        run = {"seconds": seconds, "tries": 1, "facts": {"peak_bytes": 2_000_000, "tokens_per_second": 1000.0, "utilization": 0.5}}
        (found.path / "run.json").write_bytes(canonical_json(run))
    return found


def finetuned(store: Store, of: Artifact, label: str = "positive", seeds: int = 3) -> Artifact:
    """A classifier of the same shape, by three seeds."""
    labels = ["negative", label]
    tests = [{"accuracy": 0.8 + seed / 100, "macro_f1": 0.79} for seed in range(seeds)]
    facts = {
        "task": {"name": "sentiment", "kind": "classification", "version": 1}, "labels": labels, "parameters": 77_128, "seed": 1,
        "n": {"train": {"negative": 60, label: 40}, "test": {"negative": 6, label: 4}}, "metric": "accuracy",
        "test": {**tests[-1], "accuracy_standard_error": 0.02}, "validation": {"accuracy": 0.8},
        "seeds": [{"seed": n, "best_epoch": 1, "test": one, "validation": {}} for n, one in enumerate(tests)],
        "over_seeds": {"accuracy": {"mean": 0.81, "deviation": 0.01}, "macro_f1": {"mean": 0.79, "deviation": 0.0}},
        "examples": {"notes": ["1 example was dropped"], "rejected": {}},
        "environment": {"cpu": "a CPU", "ranks": 1, "threads": 2},
    }  # fmt: skip
    config = {
        **adapter_for(SHAPE).config(SHAPE, 128), "architectures": ["LlamaForSequenceClassification"],
        "id2label": dict(enumerate(labels)),
    }  # fmt: skip
    files = {"config.json": json.dumps(config), "metrics.jsonl": rows(40, validation_accuracy=0.8)}
    inputs = {"pretrain": of.manifest.content_digest, "train": "f" * 64}
    settings = {"method": "full", "max_tokens": 16, "seeds": seeds, "epochs": 1, "task": {"name": "sentiment"}}
    return commit(store, "model", "demo-sentiment", Identity("finetune", 2, settings, inputs, {}), files, "finetune", facts=facts)


CAREFUL = (
    "figures of these sentences and words; they do not say how a model treats people where it is used, nor that nothing else is biased"
)
FOUND: dict[str, tuple[dict[str, dict[str, Any]], list[str], dict[str, Any]]] = {
    "bias-en": (
        {"gender_widest_gap": {"value": 0.028, "interval": [0.007, 0.046]}, "gender_flip_rate": {"value": 0.0}},
        [CAREFUL],
        {
            "positive": "positive",
            "dimensions": [
                {"name": "gender", "gaps": [{"group": "Frauen", "probability": 0.58, "gap": 0.1, "interval": [0.08, 0.12]}] * 2},
            ],
        },
    ),
    "bias-zh": (
        {"occupation_spread": {"value": 0.05}, "association: 花与昆虫（对照）": {"value": 0.6}},
        [CAREFUL],
        {
            "occupations": {"occupations": [{"occupation": "护士", "nats_per_token": -0.2}] * 26, "mean": -0.2, "interval": [-0.3, -0.1]},
            "associations": [{"name": "花与昆虫（对照）", "effect": 0.6, "p": 0.12}],
        },
    ),
    "memorisation": (
        {"verbatim_rate": {"value": 0.25}, "verbatim_texts": {"value": 0.5, "interval": [0.2, 0.8]}},
        ["text that many documents share, such as a licence, counts as that of the first of them"],
        {
            "rate_by_prompt": {"prefix": 0.5, "free": 0.0}, "median_longest": 3.5, "generated": 770, "searched": 2_666_012,
            "longest": {"tokens": 61, "text": "a text of somebody's"},
        },
    ),
    "canaries": (
        {"exposure": {"value": 6.87}},
        ["a canary that is not known has 1.44 on average; sampled exposures end at 9.97"],
        {"canaries": [{"canary": {"copies": copies}, "sampled": copies, "estimated": 2 * copies} for copies in (0, 8, 8)]},
    ),
    "harm": (
        {"harmful_rate": {"value": 0.0, "interval": [0.0, 0.107]}},
        ["values are found by their form: most that a model writes are made up; `gristmill probe memorisation` looks for what is not"],
        {"harmful": {"zh: 赌博": 1}, "personal_data": {"email": 2}},
    ),
}  # fmt: skip
"""What a probe finds of a model, by the name of its result: measures, notes, details."""


def kept(store: Store, model: Artifact, task: str, setting: int = 0) -> Artifact:
    """What `gristmill probe` keeps."""
    measures, notes, details = FOUND[task]
    systems = {"model": {name: {"better": "lower", "signature": f"sig|{task}|v1", **one} for name, one in measures.items()}}
    result = {
        "task": task, "kind": "probe", "version": 1, "headline": next(iter(measures)), "n": 40, "seed": 0, "data": "d" * 64,
        "systems": systems, "items": None, "shots": 0, "notes": notes,
    }  # fmt: skip
    identity = Identity("probe", 1, {"setting": setting}, {"model": model.manifest.content_digest}, {})
    draft = store.start("evaluation", f"{model.name}-probe-{task}", identity)
    (draft.scratch() / "r").write_text(json.dumps({"tasks": [result], "details": {task: details}}))
    draft.add_part("probe", "results", [draft.adopt_as(draft.scratch() / "r", "results.json", "results")])
    return draft.commit(["probe"])


def probe(path: Path, model: Artifact, task: str = "bias-en") -> Path:
    """What `gristmill probe bias --json` prints."""
    measures = {"gender_widest_gap": {"value": 0.125, "better": "lower", "signature": "gap|en|v1"}}
    result = {
        "task": task, "kind": "probe", "version": 1, "headline": "gender_widest_gap", "n": 40, "seed": 0, "data": "d" * 64,
        "systems": {"model": measures}, "items": None, "shots": 0, "notes": ["figures of these sentences"],
    }  # fmt: skip
    path.write_text(json.dumps({"model": model.reference, "result": result, "details": {}}))
    return path

"""The model: the *evaluate* step makes an evaluation artifact: one `results.json` of *tasks*, each a versioned comparison
of systems on held-out text with a declared metric, and samples to read.

    python -m model.evaluate DRAFT

    {"subset": "test", "tasks": [Result.as_json(), ...],
     "language_modelling": {"task", "version", "metric", "better", "context", "languages", "sources",
        "fitted_on": {"kneser_ney_2": {LANG: {"chosen": "language", "bits_per_byte": {"all", "language"}}}}} or null, of an encoder,
     "classification": {"task", "version", "metric", "better", "n", "systems"} or null,
     "samples": [{"prompt", "text"}]}

Languages and sources hold groups {"documents", "tokens", "bytes", "systems", "relative_to_order_2", ..._interval}; systems
are `model` and its baselines by name: {"bits_per_byte", "bits_per_byte_interval", "perplexity"} in language modelling,
{"accuracy", "accuracy_standard_error", "macro_f1", "classes": {LABEL: {"n", "precision", "recall", "f1"}}} in classification. The same
stands in `tasks` as `schemas.results` has it, with items, so that models compare.

Floats are rounded to 6 significant digits, so that equal inputs, threads and torch give equal bytes. Exit 0: the part is
recorded. Exit 1: an error, in one line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from tokenizers import Tokenizer

from model.checkpoint import load_model
from model.device import environment
from model.evaluate.classification import classification
from model.evaluate.drawing import draw
from model.evaluate.encoder_results import encoder_results
from model.evaluate.held_out import Text, read_texts, tokens_of
from model.evaluate.language_modelling import Frame, language_modelling
from model.evaluate.language_results import Nats, language_results
from model.evaluate.results import judged
from model.evaluate.rounding import rounded
from model.evaluate.samples import samples
from model.families import Causal
from model.fill import Filler
from model.finetune.labelled import read_labelled
from schemas.artifact import Artifact, Damaged
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.progress import ProgressFile
from schemas.recipe import Evaluate, Task, TaskData
from schemas.results import MODEL, Result

STAGE, KEY = "evaluate", "results"


def evaluate(draft: Draft, settings: Evaluate) -> None:
    """Do the step's work and record its part. Raises RequestError, Damaged or Mismatch."""
    tokenizer = draft.input("tokenizer").facts("tokenizer")
    special = tokenizer["special_tokens"]
    around = Frame(special["bos"], special["eos"], tokenizer["vocab_size"])
    model, _ = load_model(draft.input("pretrain").path)
    if model.vocab_size != around.vocab_size:
        raise Damaged(f"{draft.input('pretrain').path}: has a vocabulary of {model.vocab_size} ids, its tokenizer {around.vocab_size}")
    results: dict[str, Any] = {"subset": settings.subset, "language_modelling": None, "classification": None, "samples": []}
    if isinstance(model, Causal):
        results["language_modelling"], tasks = _language_modelling(draft, settings, model, around)
        encoder = Tokenizer.from_file(str(draft.input("tokenizer").paths("tokenizer")[0]))
        results["samples"] = samples(
            model, encoder, settings.prompts, settings.sample_tokens, settings.temperature, settings.seed, around.bos, around.eos
        )
    else:
        filler, texts = Filler(draft.input("pretrain").path), _held_out(draft, settings)
        tasks = encoder_results("language_modelling", filler, texts, _tokenizer(draft), settings.seed, draft.scratch())
    if draft.has_input("finetune") and draft.input("finetune").manifest.identity.settings["source"] is not None:
        results["classification"], task = _classification(draft, settings)
        tasks.append(task)
    results["tasks"] = [json.loads(json.dumps(task.as_json())) for task in tasks]
    results = rounded(results)
    written = draft.scratch() / "results.json"
    written.write_text(json.dumps(results, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    facts = {**headlines(results), "environment": environment("float32", compiled=False, ranks=1)}
    files = [draft.adopt_as(written, "results.json", "results")]
    files += [draft.adopt_as(draft.scratch() / task.items, task.items, "items") for task in tasks if task.items]
    draft.add_part(STAGE, KEY, files, facts=facts)


def _tokenizer(draft: Draft) -> str:
    """Digest of the tokenizer."""
    return draft.input("tokenizer").manifest.files("tokenizer")[0].digest


def _held_out(draft: Draft, settings: Evaluate) -> list[Text]:
    held_out = draw(read_texts(draft.input("tokens").paths("tokens"), settings.subset), settings.max_tokens, tokens_of)
    if not held_out:
        raise RequestError(
            f"{draft.input('tokens').path}: no text of the {settings.subset} subset fits evaluate.max_tokens {settings.max_tokens}: "
            f"raise it, or corpus.held_out.{settings.subset}"
        )
    return held_out


def _language_modelling(draft: Draft, settings: Evaluate, decoder: Causal, around: Frame) -> tuple[dict[str, Any], list[Result]]:
    shards = draft.input("tokens").paths("tokens")
    train = read_texts(shards, "train")
    validation = draw(read_texts(shards, "validation"), settings.max_tokens, tokens_of)
    held_out = _held_out(draft, settings)
    if not train:
        raise RequestError(f"{draft.input('tokens').path}: has no training text for the n-gram baselines")
    scored = sum(text.predicted for text in held_out)
    progress = ProgressFile(draft.scratch(), scored * (1 + len(settings.ngram_orders)), "tokens")
    progress.tell(0, "counting n-grams" if settings.ngram_orders else MODEL, force=True)
    done = 0

    def advance(tokens: int, note: str) -> None:
        nonlocal done
        done += tokens
        progress.tell(done, note)

    found, nats = language_modelling(decoder, train, validation, held_out, settings.ngram_orders, around, settings.seed, advance)
    tokens = [text.predicted for text in held_out]
    systems = {name: Nats(nats[name], tokens) for name in sorted(nats, key=lambda name: name != MODEL)}
    tasks = language_results(found["task"], held_out, systems, _tokenizer(draft), settings.seed, draft.scratch())
    progress.tell(done, "classification and samples", force=True)
    return found, tasks


def _classification(draft: Draft, settings: Evaluate) -> tuple[dict[str, Any], Result]:
    finetuned: Artifact = draft.input("finetune")
    learned = finetuned.manifest.identity.settings
    subsets = read_labelled(draft.input("documents"), learned["source"], learned["label_field"])
    figures, answers = classification(finetuned.path, subsets, settings.subset)
    task = Task(name=learned["source"], kind="classification", data=TaskData())
    examples = subsets[settings.subset]
    labels = sorted({example.label for found in subsets.values() for example in found})
    return figures, judged(task, labels, examples, answers, settings.seed, draft.scratch())


def headlines(results: dict[str, Any]) -> dict[str, Any]:
    """The few figures that matter: bits per byte by language and system, accuracy by system."""
    facts: dict[str, Any] = {"bits_per_byte": {}, "relative_to_order_2": {}}
    for lang, group in (results["language_modelling"] or {"languages": {}})["languages"].items():
        facts["bits_per_byte"][lang] = {name: figures["bits_per_byte"] for name, figures in group["systems"].items()}
        if "relative_to_order_2" in group:
            facts["relative_to_order_2"][lang] = group["relative_to_order_2"]
    if results["classification"]:
        for figure in ("accuracy", "accuracy_standard_error"):
            facts[figure] = {name: figures[figure] for name, figures in results["classification"]["systems"].items()}
    return facts


def _work(draft: Draft) -> None:
    if draft.part(STAGE, KEY):
        return
    run = draft.task["run"]
    torch.set_num_threads(int(run.get("ranks", 1)) * int(run.get("threads_per_rank", 1)))
    torch.use_deterministic_algorithms(True)
    evaluate(draft, Evaluate.model_validate(draft.settings))


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("model.evaluate", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

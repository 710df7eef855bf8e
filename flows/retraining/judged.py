"""The model: what judging asks (see `flows.retraining.judging`), as results:

    old.LANG new.LANG     bits per byte of held-out text (`flows.retraining.held_out`)
    SOURCE.old .new       labels of held-out documents of the source that the fine-tuned model learned from; or TASK of `finetune.task`
    bias.* memorisation   `flows.retraining.probes`

    python -m flows.retraining.judged DRAFT

`results.json` holds beside the tasks what was held out, whether the challenger's export has parity, and what could not be measured.
Exit 0: the part is recorded. Exit 1: an error, in one line.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from flows.retraining.held_out import SUBSET, HeldOut, held_out
from flows.retraining.judging import BIAS, MEMORISATION, PARITY, SETS, STEP, TASKS, role_of
from flows.retraining.probes import Found, labels_bias, memorisation, pronoun_bias
from model.checkpoint import Mismatch, read_config
from model.device import environment
from model.evaluate.asking import asking, known_labels
from model.evaluate.encoder_results import COMPARED_ALONE
from model.evaluate.held_out_text import Passage, frame_of, tokenized
from model.evaluate.language_results import Nats, language_results
from model.evaluate.pseudo import pseudo_nats
from model.evaluate.results import judged
from model.evaluate.rounding import rounded
from model.evaluate.scoring import decoder_nats
from model.examples import Classified, read_task
from model.examples.opened import check_files
from model.families import Causal
from model.fill import Filler
from model.finetune.classifying import classify
from model.generate import Writer
from model.hf.export import TOKENIZER
from model.hf.parity import parity
from model.probes.reading import Reader
from schemas import recipe
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.progress import ProgressFile
from schemas.recipe import Finetune, Task, TaskData
from schemas.results import MODEL, Result

STAGE, KEY = STEP, "results"


@dataclass(frozen=True)
class _Judging:
    """What the child works on."""

    draft: Draft
    settings: Mapping[str, Any]
    sets: HeldOut
    scratch: Path
    tell: Callable[[str], None]

    def folders(self, step: str) -> dict[str, Path]:
        """By system, of those that have a model of this step."""
        roles = {name: role_of(name, step) for name in self.settings["systems"]}
        return {name: self.draft.input(role).path for name, role in roles.items() if self.draft.has_input(role)}


def judge_draft(draft: Draft) -> None:
    """Do the step's work and record its part. Raises `RequestError`, `Damaged` or `Mismatch`."""
    settings, scratch = draft.settings, draft.scratch()
    progress = ProgressFile(scratch, 5, "stages")
    asked, done = set(settings["asked"]), 0

    def tell(note: str) -> None:
        progress.tell(done, note)

    learned = Finetune.model_validate(settings["finetune"]) if settings["finetune"] is not None and TASKS in asked else None
    labels = (learned.source, learned.label_field) if learned is not None and learned.source is not None else None
    sets = held_out(draft.input("before"), draft.input("documents"), settings["max_bytes"], labels, tell)
    work = _Judging(draft, settings, sets, scratch, tell)
    results: list[Result] = []
    missing: dict[str, str] = {}
    found_parity: dict[str, Any] = {}
    for stage in (_text, _tasks, _bias, _memorisation):
        done += 1
        progress.tell(done, stage.__name__.lstrip("_"), force=True)
        found = stage(work, asked)
        results += found.results
        missing |= dict(found.missing)
    if PARITY in asked:
        models = {step: folder for step in ("pretrain", "finetune") if (folder := work.folders(step).get(MODEL)) is not None}
        found_parity = {step: asdict(parity(folder, scratch)) for step, folder in models.items()}
    content = rounded(
        {
            "subset": SUBSET,
            "tasks": [json.loads(json.dumps(result.as_json())) for result in results],
            "held_out": sets.as_json(),
            "parity": found_parity,
            "not_measured": missing,
        }
    )
    written = scratch / "results.json"
    written.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    files = [draft.adopt_as(written, "results.json", "results")]
    files += [draft.adopt_as(scratch / result.items, result.items, "items") for result in results if result.items]
    facts = {"held_out": sets.as_json(), "not_measured": missing, "environment": environment("float32", compiled=False, ranks=1)}
    draft.add_part(STAGE, KEY, files, facts=facts)


def _text(work: _Judging, asked: set[str]) -> Found:
    if isinstance(read_config(work.folders("pretrain")[MODEL]).architecture, recipe.EncoderDecoder):
        raise RequestError("retrain.gate: an encoder-decoder gives no likelihood to text alone, so that no gain can be measured")
    results: list[Result] = []
    for name in SETS:
        if passages := work.sets.text[name]:
            nats, digest, pseudo = {}, "", False
            for system, folder in work.folders("pretrain").items():
                work.tell(f"{system}: {name} text")
                nats[system], digest, pseudo = _nats(folder, passages)
            notes = (COMPARED_ALONE,) if pseudo else ()
            results += language_results(name, passages, nats, digest, work.settings["seed"], work.scratch, pseudo, notes)
    return Found(tuple(results))


def _nats(folder: Path, passages: Sequence[Passage]) -> tuple[Nats, str, bool]:
    """What a model needs for texts, the digest of its tokenizer, and whether that is a pseudo-likelihood."""
    if isinstance(read_config(folder).architecture, recipe.Encoder):
        filler = Filler(folder)
        texts = tokenized(passages, filler.tokenizer)
        return Nats(pseudo_nats(filler, texts), [len(text.tokens) for text in texts]), _digest(folder), True
    writer = Writer(folder)
    assert isinstance(writer.model, Causal)
    texts, around = tokenized(passages, writer.tokenizer), frame_of(writer)
    nats = decoder_nats(writer.model, texts, around.bos, around.eos)
    return Nats(nats, [text.predicted for text in texts]), _digest(folder), False


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / TOKENIZER).read_bytes()).hexdigest()


def _tasks(work: _Judging, asked: set[str]) -> Found:
    if TASKS not in asked:
        return Found()
    if work.settings["finetune"] is None:
        return Found(missing=((TASKS, "the recipe fine-tunes nothing"),))
    folders, learned = work.folders("finetune"), Finetune.model_validate(work.settings["finetune"])
    if len(folders) < len(work.settings["systems"]):
        lacking = sorted(set(work.settings["systems"]) - set(folders))
        return Found(missing=((TASKS, f"{', '.join(lacking)} has no fine-tuned model"),))
    return _labels(work, learned, folders) if learned.task is None else _task(work, learned, folders)


def _labels(work: _Judging, learned: Finetune, folders: Mapping[str, Path]) -> Found:
    results = []
    for name in SETS:
        examples: Sequence[Classified] = work.sets.labelled[name]
        if examples:
            said = {system: [label for label, _ in classify(folder, [one.text for one in examples])] for system, folder in folders.items()}
            task = Task(name=f"{learned.source}.{name}", kind="classification", data=TaskData())
            labels = sorted({one.label for one in examples})
            results.append(judged(task, labels, examples, said, work.settings["seed"], work.scratch))
    return Found(tuple(results), () if results else ((TASKS, "no labelled document is held out"),))


def _task(work: _Judging, learned: Finetune, folders: Mapping[str, Path]) -> Found:
    roots = work.draft.task["roots"]
    check_files(roots, work.draft.identity.inputs)
    task = learned.at(roots)
    assert task is not None
    subsets = read_task(task)
    examples: list[Any] = list(subsets.by_name[SUBSET])
    if not examples:
        return Found(missing=((TASKS, f"task {task.name} has no {SUBSET} subset"),))
    known, said = known_labels([*subsets.by_name.values()]), {}
    for system, folder in folders.items():
        asked = asking(folder)
        said[system] = asked.answer(task, examples, (), asked.labels(task, known), lambda count: None)
    return Found((judged(task, sorted(known), examples, said, work.settings["seed"], work.scratch),))


def _bias(work: _Judging, asked: set[str]) -> Found:
    if BIAS not in asked:
        return Found()
    folders = work.folders("finetune")
    if len(folders) == len(work.settings["systems"]):
        found = labels_bias(folders, work.scratch)
        if found.results:
            return found
    try:
        return pronoun_bias({name: Reader(folder) for name, folder in work.folders("pretrain").items()}, work.scratch)
    except (Mismatch, ValueError) as error:
        return Found(missing=((BIAS, str(error)),))


def _memorisation(work: _Judging, asked: set[str]) -> Found:
    if MEMORISATION not in asked:
        return Found()
    folders = work.folders("pretrain")
    if len({_digest(folder) for folder in folders.values()}) > 1:  # prompts are ids, which mean other things to each
        return Found(missing=((MEMORISATION, "the models have not the same tokenizer"),))
    readers = {name: Reader(folder) for name, folder in folders.items()}
    return memorisation(readers, work.draft.input("tokens"), work.settings["seed"], work.scratch)


def _work(draft: Draft) -> None:
    if draft.part(STAGE, KEY):
        return
    run = draft.task["run"]
    torch.set_num_threads(int(run.get("ranks", 1)) * int(run.get("threads_per_rank", 1)))
    torch.use_deterministic_algorithms(True)
    judge_draft(draft)


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("flows.retraining.judged", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

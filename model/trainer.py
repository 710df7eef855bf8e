"""The model: a *trainer* takes steps: a batch, its gradients, a verdict of all ranks, an update; at times it validates and leaves a
checkpoint. `model.train` runs one on each rank.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from model.average import WeightAverage
from model.backward import Backward
from model.checkpoint import Checkpoints, save_model
from model.data import Batch, training_batches
from model.device import environment, left_idle, random_states, set_random_states
from model.families import build_model, special_ids, stays_uncompiled
from model.hardware import compiler_problem
from model.moving import Moves
from model.objectives import Inputs, objective_of
from model.optim import build_optimizer
from model.parallel import NotFinite, Ranks, Stopped
from model.phases import stages
from model.prefetch import Prefetch
from model.record import Record
from model.schedule import decay_begins, lr_scale
from model.sentinels import sentinels_of
from model.speed import matmul_peak, operations_per_token
from model.spread import assembled, build, choose, cut, gathered, recompute, whole
from model.start import not_replayed, replay_of, start_of, steps_of
from model.text import Special
from model.trackers import tracked
from model.trunk import TrunkKeeper
from model.watch import dead_units
from schemas.artifact import File
from schemas.draft import Draft
from schemas.recipe import Challenger

STAGE = "pretrain"
DRY_PASSES = 2
MOST_SKIPS = 10
"""Steps in a row that may be skipped: weights that went wrong never come right again."""
AVERAGE = "average"


class Trainer:
    """One rank's part of a pretraining run on a draft."""

    def __init__(self, draft: Draft, settings: Challenger, group: Ranks) -> None:
        self.draft, self.settings, self.group = draft, settings, group
        tokens, vocabulary = draft.input("tokens"), draft.input("tokenizer").facts("tokenizer")
        self.special: dict[str, int] = vocabulary["special_tokens"]
        around = Special(self.special["bos"], self.special["eos"])
        run = draft.task["run"]
        self.make = partial(build_model, settings.architecture, vocabulary["vocab_size"])
        self.shard = choose(run.get("shard", "auto"), self.make, settings.optimizer.name, group)
        # Whose samples differ: tensor parallel ranks read the same.
        self.readers = Ranks(0, 1, group.device) if self.shard == "tensor" else group
        self.start = start_of(draft, settings)
        self.objective = objective_of(settings, vocabulary, sentinels_of(draft.input("tokenizer")))
        self.batches = training_batches(
            tokens.path, stages(settings), settings.seed, around, packing=self.objective.packing, boundaries=settings.document_mask,
            window=self.objective.window, words=self.objective.words, keep=draft.scratch() / "index",
            replay=replay_of(draft, settings),
        )  # fmt: skip
        for phase in self.batches.phases.rows:
            self.batches.batch_at(phase.step, self.readers.rank, self.readers.count).part(0, settings.accumulate)
        self.steps = steps_of(draft, settings, self.batches)
        key = f"{tokens.manifest.content_digest}/{settings.seed}"
        self.validation = self.objective.validation(tokens.path, around, key, self.readers)
        self.dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self.record = Record(draft.scratch(), self.steps, group.first, *tracked(draft, os.environ), device=group.device)
        if unheard := not_replayed(draft, settings, self.batches):
            self.record.say(unheard)
        if idle := left_idle(run.get("device", "auto"), group.device):
            self.record.say(idle)
        if self.objective.words and not self.batches.know_words:
            self.record.say("the token shards don't say where words begin, so tokens are hidden one by one")
        self.compiled = settings.compile and self._can_compile()
        torch.manual_seed(settings.seed)
        self.model = build(self.make, self.shard, group)
        if self.start and (group.first or self.shard == "ddp"):
            self.start.give_weights(self.model)
        self.module = self.objective.module(self.model)
        if run.get("recompute"):
            recompute(self.model)
        if self.shard != "ddp":
            cut(self.model, self.module, self.shard, self.dtype, group, self.compiled)
        self.optimizer = build_optimizer(self.model, settings.optimizer, group)
        self.checkpoints = Checkpoints(draft.scratch() / "checkpoints", settings.keep_checkpoints, group)
        if self.start:
            self.start.give_trunk(self._learned(), self.optimizer, self.checkpoints.load)
        self.average = WeightAverage(self.model, settings.average.decay) if settings.average else None
        self.skipped = self.skipped_in_row = 0
        self.trunk = TrunkKeeper(draft, decay_begins(self.steps, settings.schedule), group) if settings.keep_trunk else None
        self.environment = environment(settings.precision, self.compiled, group.count, group.device)
        computes = "card" if "card" in self.environment else "cpu"
        self.environment[computes] = " + ".join(dict.fromkeys(group.gather(self.environment[computes])))  # machines may differ
        if self.shard != "ddp":
            self.environment["shard"] = self.shard
        if self.compiled and run.get("recompute"):
            self.environment["recompute"] = True  # the compiler joins other operations then
        self.moved = Moves(run.get("reshard", False))

    def _can_compile(self) -> bool:
        problem = (stays_uncompiled(self.settings.model) or compiler_problem()) if self.group.first else None
        if self.shard == "tensor":
            problem = "run.shard: tensor does without"
        if problem:
            self.record.say(f"training without torch.compile: {problem}")
        return self.group.first_decides(problem is None)

    def run(self) -> None:
        """Train from the newest durable checkpoint, or from the start, to the last step. Raises Stopped, NotFinite, Mismatch."""
        step = self._resume()
        try:
            if step < self.steps:
                self._warm_up(step)
                with Prefetch(self.batches, self._passes, step, self.steps, self.readers.rank, self.readers.count) as batches:
                    for passes in batches:
                        step += 1
                        self._step_and_record(step, passes)
        finally:
            self.checkpoints.finish()
            self.record.close(done=step == self.steps)
        self._finish()
        self.group.wait()

    def _passes(self, batch: Batch) -> list[Inputs]:
        """What the passes over this rank's share of a batch read."""
        parts = [self.objective.inputs(batch.part(number, self.settings.accumulate)) for number in range(self.settings.accumulate)]
        return [part.ready_for(self.group.device) for part in parts]

    def _step_and_record(self, step: int, passes: Sequence[Inputs]) -> None:
        """Take the step that makes it ``step`` steps; validate and leave a checkpoint if it is time to. Raises Stopped, NotFinite."""
        last = self.steps
        row, stop = self._step(step - 1, passes)
        if self._validates(step):
            self._validate(row)
        self.record.add(row)
        if self.trunk and step == self.trunk.at:  # before a checkpoint is left, lest a run go on behind it without
            samples = self.batches.phases.first_sample(step)
            self.trunk.keep(self._learned(), samples, self._updates(step), self.settings.optimizer.name)
        stop = stop and step < last
        if step % self.settings.checkpoint_every == 0 or stop or step == last:
            self._save(step, wait=stop or step == last)
        if stop:
            raise Stopped(f"stopped by SIGTERM after step {step} of {last}; start it again to go on")

    def _validates(self, step: int) -> bool:
        return step % self.settings.validate_every == 0 or step == self.steps

    def _validate(self, row: dict[str, Any]) -> None:
        """Add the measure of the weights that will be the model, and of the average if it is kept beside them."""
        if self.average is None or self._average_beside():
            with gathered(self.module):
                row |= self.validation.measures(self.model, self.dtype)
        if self.average is not None:
            with self.average.in_place(), gathered(self.module):
                kind = "average_" if self._average_beside() else ""
                row |= {f"{kind}{name}": found for name, found in self.validation.measures(self.model, self.dtype).items()}

    def _average_beside(self) -> bool:
        return self.settings.average is not None and self.settings.average.export == "beside"

    def _warm_up(self, step: int) -> None:
        passes = self._passes(self.batches.batch_at(step, self.readers.rank, self.readers.count))
        operations = operations_per_token(self.model, self.settings.model, passes[0])
        self.record.compare_with(matmul_peak(self.dtype, self.group), operations)
        self.backward = Backward(self.module, self.dtype, self.group, self.compiled, cut=self.shard != "ddp")
        self.record.progress(step, "compiling" if self.compiled else "starting", force=True)
        for _ in range(DRY_PASSES):
            # DDP orders its buckets anew after the first backward passes; the sum's bits must not depend on when a run began.
            self.backward(passes)
            self.optimizer.zero_grad()

    def _step(self, step: int, passes: Sequence[Inputs]) -> tuple[dict[str, Any], bool]:
        """Take step ``step`` (from 0); return its metrics (loss: mean nats a token) and whether some rank was asked to stop."""
        loss = self.backward(passes)
        parameters = list(self.model.parameters())
        norm = whole(get_total_norm([p.grad for p in parameters if p.grad is not None]))
        verdict = self.group.agree(loss, norm)
        scale = lr_scale(step, self.steps, self.settings.schedule)
        row: dict[str, Any] = {"step": step + 1, "loss": verdict.loss, "lr": self.settings.optimizer.lr * scale, "grad_norm": float(norm)}
        row["tokens"] = self.batches.phases.tokens(step + 1)
        if verdict.finite:
            if self._validates(step + 1) and (dead := dead_units(self.model)):
                row["dead_units"] = dead
            clip_grads_with_norm_(parameters, self.settings.optimizer.clip, norm)
            self.optimizer.step(scale)
            self.skipped_in_row = 0
            if self.average is not None:
                self.average.follow(step + 1 - self.skipped)
        else:
            self._skip(step)
            row |= {"loss": None, "grad_norm": None, "skipped": self.skipped}
        self.optimizer.zero_grad()
        return row, verdict.stop

    def _skip(self, step: int) -> None:
        """Count a step that is not finite on some rank; all ranks know. Raises NotFinite if that ends the run."""
        self.skipped, self.skipped_in_row = self.skipped + 1, self.skipped_in_row + 1
        problem = f"step {step + 1}: the loss or the gradient norm is not finite, so no update was made"
        if self.settings.on_nonfinite == "stop" or self.skipped_in_row > MOST_SKIPS:
            before = f", nor at the {MOST_SKIPS} steps before" if self.settings.on_nonfinite == "skip" else ""
            raise NotFinite(f"{problem}{before}; lower the learning rate (optimizer.lr, optimizer.muon_lr) or lengthen schedule.warmup")
        self.record.say(f"{problem}; the run goes on with the next batch")

    def _updates(self, step: int) -> int:
        """That the optimizer has made by ``step``, those of the trunk it went on from counted."""
        return (self.start.updates if self.start else 0) + step - self.skipped

    def _learned(self) -> dict[str, Tensor]:
        """Weights and moments, alive."""
        weights = {f"model.{name}": p.detach() for name, p in self.model.named_parameters()}
        return {**weights, **{f"optimizer.{name}": value for name, value in self.optimizer.state().items()}}

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors that a checkpoint holds, alive: weights, moments, and this rank's random state."""
        average = {f"{AVERAGE}.{name}": value for name, value in self.average.weights.items()} if self.average else {}
        return {**self._learned(), **average, **random_states(self.group.device, f"random.{self.group.rank}")}

    def _save(self, step: int, wait: bool) -> None:
        loader = self.batches.state(step)
        state = {"step": step, "loader": loader, "environment": self.environment, "metrics_bytes": self.record.sync()}
        state |= {"skipped": self.skipped, "skipped_in_row": self.skipped_in_row, "moves": self.moved.made}
        self.checkpoints.begin(step, self._tensors(), state)
        if wait:
            self.checkpoints.finish()

    def _resume(self) -> int:
        """Load the newest durable checkpoint, if any; return the number of steps taken."""
        newest = self.checkpoints.newest()
        if newest is None:
            self.record.start(0)
            return 0
        path, state = newest
        step = self.batches.resume(state["loader"])
        changed = self.moved.check(path, state, self.environment, step)
        tensors = self._tensors()
        if "ranks" in changed:  # nobody left a random state for just these ranks: begin others, which are as good
            torch.manual_seed(self.settings.seed + step)
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("random.")}
        self.checkpoints.load(path, tensors)
        if "ranks" not in changed:
            set_random_states(self.group.device, f"random.{self.group.rank}", tensors)
        self.skipped, self.skipped_in_row = state.get("skipped", 0), state.get("skipped_in_row", 0)  # older checkpoints have none
        self.optimizer.set_steps(self._updates(step))
        self.record.start(state["metrics_bytes"])
        return step

    def _finish(self) -> None:
        """Write the model's files and its part record; rank 0 does, the others help to put the weights together."""
        folder = self.draft.scratch() / "model"
        folder.mkdir(exist_ok=True)
        files: list[File] = []
        if self.average is None or self._average_beside():
            files += self._adopt_model(folder)
        if self.average is not None:
            with self.average.in_place():
                files += self._adopt_model(folder, AVERAGE if self._average_beside() else "")
        if self.group.first:
            self._describe(folder, files + (self.trunk.adopt() if self.trunk else []))

    def _describe(self, folder: Path, files: list[File]) -> None:
        """Add what goes with the weights, and record the part."""
        draft = self.draft
        tokenizer = Path(shutil.copyfile(draft.input("tokenizer").paths("tokenizer")[0], folder / "tokenizer.json"))
        metrics = Path(shutil.copyfile(self.record.metrics, folder / "metrics.jsonl"))
        files += [draft.adopt_as(tokenizer, "tokenizer.json", "tokenizer"), draft.adopt_as(metrics, "metrics.jsonl", "metrics")]
        rows = self.record.rows()
        losses = [row["loss"] for row in rows if row["loss"] is not None]
        if not losses:
            raise NotFinite("no step was finite, so there is no model: lower the learning rate (optimizer.lr, optimizer.muon_lr)")
        tail = losses[-max(len(rows) // 20, 1) :]
        facts = {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": self.steps,
            "tokens": rows[-1]["tokens"],
            "epochs": self.batches.epochs(self.steps),
            "train_loss": sum(tail) / len(tail),
            self.validation.fact: rows[-1][self.validation.measure],
            "environment": self.environment,
            **({"skipped_steps": self.skipped} if self.skipped else {}),
            **({"moves": self.moved.made} if self.moved.made else {}),
        }
        self.record.tell_run()
        draft.add_part(STAGE, "model", files, facts=facts)
        self.record.progress(self.steps, "done", force=True)

    def _adopt_model(self, folder: Path, below: str = "") -> list[File]:
        """Write the model's weights and description, and make them the draft's, in a folder of their own if ``below`` names one. Only
        rank 0 has files to show for it."""
        model = assembled(self.model, self.make, self.group)
        if model is None or not self.group.first:
            return []
        ids = special_ids(self.settings.model, self.special)
        place, kind = (f"{below}/", f"{below}_") if below else ("", "")
        weights, config = save_model(model, folder, ids)
        return [
            self.draft.adopt_as(weights, f"{place}model.safetensors", f"{kind}weights"),
            self.draft.adopt_as(config, f"{place}config.json", f"{kind}config"),
        ]

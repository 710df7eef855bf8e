"""The model: *pretraining* turns a tokens artifact into a model artifact. A *trainer* takes steps: a batch, its gradients,
a verdict of all ranks, an update; at times it validates and leaves a checkpoint. A run that was killed goes on from its
newest durable checkpoint and ends in the same bits.

    torchrun --standalone --nproc-per-node=2 -m model.train DRAFT        or, as one process: python -m model.train DRAFT

Exit 0: the model's part is recorded. Exit 75: stopped by SIGTERM after a checkpoint; start it again to go on (torchrun
itself then exits with 1). Exit 1: an error, in one line.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
from pydantic import ValidationError
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from model.checkpoint import Checkpoints, Mismatch, save_model
from model.data import Batch, training_batches
from model.decoder import DecoderModel, NextToken, NextTokenOfDocument
from model.hardware import compiler_problem, environment
from model.optim import build_optimizer
from model.parallel import NotFinite, Ranks, Stopped, ranks
from model.phases import stages
from model.prefetch import Prefetch
from model.record import Record
from model.schedule import lr_scale
from model.stream import validation_streams
from model.text import Special
from model.validate import Validation
from schemas.artifact import Damaged
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Pretrain

STAGE = "pretrain"
EXIT_STOPPED = 75
DRY_PASSES = 2


class Trainer:
    """One rank's part of a pretraining run on a draft."""

    def __init__(self, draft: Draft, settings: Pretrain, group: Ranks) -> None:
        self.draft, self.settings, self.group = draft, settings, group
        tokens, vocabulary = draft.input("tokens"), draft.input("tokenizer").facts("tokenizer")
        self.special: dict[str, int] = vocabulary["special_tokens"]
        context, around = settings.model.context, Special(self.special["bos"], self.special["eos"])
        self.batches = training_batches(
            tokens.path, stages(settings), settings.seed, around, packing=settings.packing, boundaries=settings.document_mask,
            keep=draft.scratch() / "index",
        )  # fmt: skip
        for phase in self.batches.phases.rows:
            self.batches.batch_at(phase.step, group.rank, group.count)
        self.steps = settings.steps or self.batches.phases.steps_within(settings.epochs or 0)
        held_out = validation_streams(tokens.path, around)
        key = f"{tokens.manifest.content_digest}/{settings.seed}"
        self.validation = Validation(held_out, settings.validate_tokens, context, key, group, settings.document_mask)
        torch.manual_seed(settings.seed)
        self.model = DecoderModel(settings.model, vocabulary["vocab_size"])
        self.optimizer = build_optimizer(self.model, settings.optimizer, group)
        self.dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self.checkpoints = Checkpoints(draft.scratch() / "checkpoints", settings.keep_checkpoints, group)
        self.record = Record(draft.scratch(), self.steps, group.first)
        self.compiled = settings.compile and self._can_compile()
        self.environment = environment(settings.precision, self.compiled, group.count)

    def _can_compile(self) -> bool:
        problem = compiler_problem() if self.group.first else None
        if problem:
            self.record.say(f"training without torch.compile: {problem}")
        return self.group.first_decides(problem is None)

    def run(self) -> None:
        """Train from the newest durable checkpoint, or from the start, to the last step. Raises Stopped, NotFinite, Mismatch."""
        step = self._resume()
        if step < self.steps:
            self._warm_up(step)
            with Prefetch(self.batches, step, self.steps, self.group.rank, self.group.count) as batches:
                for batch in batches:
                    step += 1
                    self._step_and_record(step, batch)
        if self.group.first:
            self._finish()
        self.group.wait()

    def _step_and_record(self, step: int, batch: Batch) -> None:
        """Take the step that makes it ``step`` steps; validate and leave a checkpoint if it is time to. Raises Stopped, NotFinite."""
        last = self.steps
        row, stop = self._step(step - 1, batch)
        if step % self.settings.validate_every == 0 or step == last:
            row["bits_per_byte"] = self.validation.bits_per_byte(self.model, self.dtype)
        self.record.add(row)
        stop = stop and step < last
        if step % self.settings.checkpoint_every == 0 or stop or step == last:
            self._save(step)
        if stop:
            raise Stopped(f"stopped by SIGTERM after step {step} of {last}; start it again to go on")

    def _warm_up(self, step: int) -> None:
        boundaries = self.settings.document_mask or self.settings.packing == "best_fit"
        objective = NextTokenOfDocument(self.model, self.settings.document_mask) if boundaries else NextToken(self.model)
        if self.compiled:
            torch._dynamo.config.optimize_ddp = False  # one graph: there is one bucket, so nothing to overlap by cutting it
            torch._inductor.config.fx_graph_cache = False  # these two caches would be pickles; compiled C++ is still kept
            torch._functorch.config.enable_autograd_cache = False
            objective.compile(dynamic=False)  # a phase's other window is compiled as if it were the first, so a resumed run has its bits
        self.replica = self.group.replicate(objective)
        self.record.progress(step, "compiling" if self.compiled else "starting", force=True)
        batch = self.batches.batch_at(step, self.group.rank, self.group.count)
        for _ in range(DRY_PASSES):
            # DDP orders its buckets anew after the first backward passes; the sum's bits must not depend on when a run began.
            self._backward(batch)
            self.optimizer.zero_grad()

    def _backward(self, batch: Batch) -> Tensor:
        rows: tuple[Tensor, ...] = (batch.ids,)
        if batch.documents is not None and batch.positions is not None:
            rows = (batch.ids, batch.documents, batch.positions, torch.tensor(max(batch.predicted, 1) / self.group.count))
        with torch.autocast("cpu", dtype=self.dtype, enabled=self.dtype != torch.float32):
            loss: Tensor = self.replica(*rows)
        loss.backward()
        return loss

    def _step(self, step: int, batch: Batch) -> tuple[dict[str, Any], bool]:
        """Take step ``step`` (from 0); return its metrics (loss: mean nats a token) and whether some rank was asked to stop."""
        loss = self._backward(batch)
        parameters = list(self.model.parameters())
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        verdict = self.group.agree(loss, norm)
        if not verdict.finite:
            raise NotFinite(
                f"step {step + 1}: the loss or the gradient norm is not finite, so no update was made; "
                "lower the learning rate (optimizer.lr, optimizer.muon_lr) or lengthen schedule.warmup"
            )
        clip_grads_with_norm_(parameters, self.settings.optimizer.clip, norm)
        scale = lr_scale(step, self.steps, self.settings.schedule)
        self.optimizer.step(scale)
        self.optimizer.zero_grad()
        tokens = self.batches.phases.tokens(step + 1)
        lr = self.settings.optimizer.lr * scale
        return {"step": step + 1, "loss": verdict.loss, "lr": lr, "grad_norm": float(norm), "tokens": tokens}, verdict.stop

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors that a checkpoint holds, alive: weights, moments, and this rank's random state."""
        weights = {f"model.{name}": p.detach() for name, p in self.model.named_parameters()}
        moments = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        return {**weights, **moments, f"random.{self.group.rank}": torch.get_rng_state()}

    def _save(self, step: int) -> None:
        loader = self.batches.state(step)
        state = {"step": step, "loader": loader, "environment": self.environment, "metrics_bytes": self.record.sync()}
        self.checkpoints.save(step, self._tensors(), state)

    def _resume(self) -> int:
        """Load the newest durable checkpoint, if any; return the number of steps taken."""
        newest = self.checkpoints.newest()
        if newest is None:
            self.record.start(0)
            return 0
        path, state = newest
        for key, was in state["environment"].items():
            now = self.environment[key]
            if now != was:
                raise Mismatch(
                    f"{path}: was made with {key} {was!r}, now it is {now!r}, and the result would differ; "
                    f"go on with {was!r}, or remove {path.parent} to train from the start"
                )
        step = self.batches.resume(state["loader"])
        tensors = self._tensors()
        self.checkpoints.load(path, tensors)
        torch.set_rng_state(tensors[f"random.{self.group.rank}"])
        self.optimizer.set_steps(step)
        self.record.start(state["metrics_bytes"])
        return step

    def _finish(self) -> None:
        """Write the model's files and its part record."""
        draft, folder = self.draft, self.draft.scratch() / "model"
        folder.mkdir(exist_ok=True)
        ids = {f"{name}_token_id": number for name, number in self.special.items()}
        weights, config = save_model(self.model, folder, ids)
        tokenizer = Path(shutil.copyfile(draft.input("tokenizer").paths("tokenizer")[0], folder / "tokenizer.json"))
        metrics = Path(shutil.copyfile(self.record.metrics, folder / "metrics.jsonl"))
        files = [
            draft.adopt_as(weights, "model.safetensors", "weights"),
            draft.adopt_as(config, "config.json", "config"),
            draft.adopt_as(tokenizer, "tokenizer.json", "tokenizer"),
            draft.adopt_as(metrics, "metrics.jsonl", "metrics"),
        ]
        rows = self.record.rows()
        tail = rows[-max(len(rows) // 20, 1) :]
        facts = {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": self.steps,
            "tokens": rows[-1]["tokens"],
            "epochs": self.batches.epochs(self.steps),
            "train_loss": sum(row["loss"] for row in tail) / len(tail),
            "validation_bits_per_byte": rows[-1]["bits_per_byte"],
            "environment": self.environment,
        }
        draft.add_part(STAGE, "model", files, facts=facts)
        self.record.progress(self.steps, "done", force=True)


def main(arguments: list[str]) -> int:
    """Run the step on the draft at ``arguments[0]``; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m model.train DRAFT", file=sys.stderr)
        return 2
    try:
        draft = Draft.open(arguments[0])
        if draft.part(STAGE, "model"):
            return 0
        settings = Pretrain.model_validate(draft.settings)
    except (RequestError, Damaged, ValidationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # Kernels are kept with the draft: a resumed run needs no second compilation, and nothing is left in the home folder.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(draft.scratch() / "kernels")
    with ranks(int(draft.task["run"].get("threads_per_rank", 1))) as group:
        try:
            Trainer(draft, settings, group).run()
        except Stopped as stopped:
            print(stopped, file=sys.stderr, flush=True)
            return EXIT_STOPPED
        except (RequestError, Damaged) as error:
            if group.first:
                print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

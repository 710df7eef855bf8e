"""One training of `bench_train` as a process of its own: `python train_peers.py WAY TASK`, WAY one of ours, trainer, trainer-fast.

TASK is a JSON file. Writes to its `stamps` a line a step: seconds of the clock, CPU seconds of the process, and seconds that the step
waited for its data, where that can be told. Under torchrun rank 0 writes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Stamps:
    """The file of a training's steps."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")

    def add(self, waited: float | None = None) -> None:
        print(json.dumps([time.time(), time.process_time(), waited]), file=self._file, flush=True)


def ours(task: dict[str, Any]) -> None:
    """The real step, but for its stamps."""
    from model.parallel import ranks
    from model.trainer import Trainer
    from schemas.draft import Draft
    from schemas.recipe import Challenger

    draft = Draft.open(task["draft"])
    with ranks(draft.task["run"]["threads_per_rank"]) as group:
        stamps = Stamps(Path(task["stamps"])) if group.first else None

        class Stamped(Trainer):
            """The time between two steps is what the loop waits for its next batch."""

            ended = time.perf_counter()

            def _step_and_record(self, *step: Any) -> None:
                waited = time.perf_counter() - self.ended
                super()._step_and_record(*step)
                if stamps:
                    stamps.add(waited)
                self.ended = time.perf_counter()

        Stamped(draft, Challenger.model_validate(draft.settings), group).run()


def trainer(task: dict[str, Any], fast: bool) -> None:
    """Hugging Face's Trainer, as it comes; ``fast``: told to use bf16 and torch.compile."""
    from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback, TrainingArguments
    from transformers import Trainer as HuggingFaceTrainer

    shape, stamps = task["model"], Stamps(Path(task["stamps"]))
    ids = np.load(task["ids"])

    class Blocks(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return len(ids) // shape["context"]

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            block = torch.from_numpy(ids[number * shape["context"] : (number + 1) * shape["context"]].astype(np.int64))
            return {"input_ids": block, "labels": block}

    class Stamper(TrainerCallback):
        def on_step_end(self, *event: Any, **more: Any) -> None:
            stamps.add()

    config = LlamaConfig(
        vocab_size=task["vocabulary"], hidden_size=shape["width"], intermediate_size=shape["ffn"], num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"], max_position_embeddings=shape["context"],
        tie_word_embeddings=shape["tie_embeddings"],
    )  # fmt: skip
    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=task["folder"], max_steps=task["steps"], per_device_train_batch_size=task["batch"], disable_tqdm=True, report_to="none",
        **({"bf16": True, "torch_compile": True, "use_cpu": True} if fast else {}),
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters())}))
    HuggingFaceTrainer(model=model, args=arguments, train_dataset=Blocks(), callbacks=[Stamper()]).train()


def main(way: str, task: dict[str, Any]) -> None:
    torch.set_num_threads(task["threads"])
    if way == "ours":
        ours(task)
    else:
        trainer(task, fast=way == "trainer-fast")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
